"""Whether the rate of each scenario is within its limits: exact binomial intervals, at one or at several looks.

A rate over a given number of pairs is judged by its Clopper-Pearson interval at 95 %. Who adds pairs until a rate can
be told looks at it more than once, and would, with intervals of 95 %, be wrong about it more often than in one of 20.
So the number of looks is fixed beforehand, and the interval at each has the level 1 - 0.05 / looks (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy import special

from tests.benchmarks.calibration.edits import EditedSnapshots
from tests.benchmarks.calibration.snapshots import Snapshots

COVERED = (0.93, 0.97)
"""Limits of an interval's coverage, nominally 95 %."""

P_REJECTS = (0.035, 0.065)
"""Limits of the share of nulls with p at most 0.05."""

ERROR = 0.05
"""Of all looks at one rate together."""

WITHIN, UNKNOWN, OUTSIDE = "within", "cannot be told at this number of pairs", "outside"


@dataclass(frozen=True)
class Rate:
    """A rate of one scenario with the limits that its true value must keep.

    Attributes:
        name: what is counted, and the scenario.
        hits, trials: successes, and pairs.
        low, high: limits of the true rate.
        looks: how often the rate is looked at; every interval is wide enough for all of them together.
    """

    name: str
    hits: int
    trials: int
    low: float
    high: float
    looks: int = 1

    @property
    def value(self) -> float:
        """The rate; NaN without pairs."""
        return self.hits / self.trials if self.trials else float("nan")

    @property
    def standard_error(self) -> float:
        """Of the rate, binomial; NaN without pairs."""
        return float((self.value * (1 - self.value) / self.trials) ** 0.5) if self.trials else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval (1934, Biometrika 26) of the true rate; 0 to 1 without pairs."""
        tail = ERROR / self.looks / 2
        missed = self.trials - self.hits
        below = float(special.betaincinv(self.hits, missed + 1, tail)) if self.hits else 0.0
        above = float(special.betaincinv(self.hits + 1, missed, 1 - tail)) if missed else 1.0
        return below, above

    @property
    def verdict(self) -> str:
        """`WITHIN` if the interval is within the limits, `OUTSIDE` if it and they have nothing in common."""
        below, above = self.interval
        if self.low <= below and above <= self.high:
            return WITHIN
        return OUTSIDE if above < self.low or self.high < below else UNKNOWN


def snapshot_rates(result: Snapshots, looks: int = 1) -> list[Rate]:
    """Coverage of the interval, and for a null the share of pairs with p at most 0.05."""
    scenario, pairs = result.scenario, len(result.low)
    rates = [Rate(f"interval holds the truth: {scenario}", result.covered, pairs, *COVERED, looks)]
    if result.drift == "none":
        rates.append(Rate(f"p at most 0.05: {scenario}", result.rejected, pairs, *P_REJECTS, looks))
    return rates


def edit_rates(result: EditedSnapshots, looks: int = 1) -> list[Rate]:
    """The same of snapshots with edited documents; none where the documents are too few, or edits are not known."""
    if not result.bounded or not result.paired:
        return []
    scenario, pairs = result.scenario, len(result.p)
    rates = [Rate(f"interval holds the truth: {scenario}", result.covered, pairs, *COVERED, looks)]
    if not result.directed:
        below = sum(p <= 0.05 for p in result.p)
        rates.append(Rate(f"p at most 0.05: {scenario}", below, pairs, *P_REJECTS, looks))
    return rates


def all_decided(rates: Iterable[Rate]) -> bool:
    """Whether each rate is known to be within or outside its limits."""
    return all(rate.verdict != UNKNOWN for rate in rates)


def sizes_of_looks(first: int, most: int) -> list[int]:
    """Pairs of a scenario at each look: doubled from ``first``, and ``most`` at the last.

    Raises:
        ValueError: if ``most`` is less than ``first``.
    """
    if most < first:
        raise ValueError(f"at most {most} pairs, which is less than the {first} of the first look")
    sizes = [first]
    while sizes[-1] < most:
        sizes.append(min(2 * sizes[-1], most))
    return sizes


def rate_table(rates: Sequence[Rate]) -> list[list[str]]:
    """Rows of the printed table, the heading first."""
    rows = [["Rate of a scenario", "pairs", "rate", "s.e.", "exact interval", "limits", ""]]
    for rate in rates:
        below, above = rate.interval
        rows.append(
            [
                f"  {rate.name}",
                str(rate.trials),
                f"{100 * rate.value:.1f} %",
                f"{100 * rate.standard_error:.1f} %",
                f"{100 * below:.1f} to {100 * above:.1f} %",
                f"{100 * rate.low:g} to {100 * rate.high:g} %",
                rate.verdict,
            ]
        )
    return rows
