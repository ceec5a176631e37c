"""What must hold: limits on pooled rates, each with its observed value and number of trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tests.benchmarks.calibration.domains import ClassifierNulls, DomainShares
from tests.benchmarks.calibration.edits import EditedSnapshots
from tests.benchmarks.calibration.pairs import DRIFTS
from tests.benchmarks.calibration.planted import Planted
from tests.benchmarks.calibration.rates import COVERED, P_REJECTS
from tests.benchmarks.calibration.snapshots import Snapshots

Z_REJECTS = (0.035, 0.065)
MONROE_REJECTS = 0.065
LEAST_KS = 0.001
LEAST_COVERAGE = 0.93
MOST_FAILED = 0.025
SHARES_COVERED = (0.93, 0.97)
LEAST_ATTRIBUTION = 0.95
CLASSIFIER_REJECTS = 0.065
"""No requirement: 5 % and two standard errors of 800 splits."""

BY_CHANCE = 0.001
"""A single scenario misses a limit only if its trials have at most this probability at the limit."""


@dataclass(frozen=True)
class Limit:
    """One limit; ``holds`` is False where the value is NaN."""

    name: str
    value: float
    low: float
    high: float
    trials: int

    @property
    def family(self) -> str:
        """What is limited, without the scenario."""
        return self.name.partition(" - ")[0]

    @property
    def margin(self) -> float:
        """Distance to the nearer limit, negative outside; limits at 0 and 1 are none."""
        above = self.value - self.low if self.low > 0 else 1.0
        below = self.high - self.value if self.high < 1 else 1.0
        return min(above, below)

    @property
    def holds(self) -> bool:
        """Whether the value is between ``low`` and ``high``."""
        return self.low <= self.value <= self.high


def share(hits: int, trials: int) -> float:
    """``hits / trials``, NaN of nothing."""
    return hits / trials if trials else float("nan")


def snapshot_limits(results: Sequence[Snapshots]) -> Iterable[Limit]:
    """Limits on pairs of snapshots."""
    nulls = [one for one in results if one.drift == "none"]
    tested = sum(sum(one.tested) for one in nulls)
    clustered, monroe = (sum(sum(getattr(one, name)) for one in nulls) for name in ("clustered", "monroe"))
    yield Limit("clustered z rejects, pooled over tokens", share(clustered, tested), *Z_REJECTS, tested)
    for one in nulls:
        name = f"clustered z rejects in a scenario - {one.source}, {one.plan}"
        yield Limit(name, share(sum(one.clustered), sum(one.tested)), *Z_REJECTS, sum(one.tested))
    yield Limit("Monroe rejects, pooled over tokens", share(monroe, tested), 0.0, MONROE_REJECTS, tested)
    for one in nulls:
        name = f"Monroe rejects in a scenario - {one.source}, {one.plan}"
        yield Limit(name, share(sum(one.monroe), sum(one.tested)), 0.0, MONROE_REJECTS, sum(one.tested))
    yield from divergence_limits(results)


def divergence_limits(results: Sequence[Snapshots]) -> Iterable[Limit]:
    """Limits on p and on the interval of the divergence, of pairs of snapshots."""
    nulls = [one for one in results if one.drift == "none"]
    for one in nulls:
        for statistic, p in one.p.items():
            name = f"KS p of p-values - {statistic}, {one.source}, {one.plan}"
            yield Limit(name, uniformity(p), LEAST_KS, 1.0, len(p))
    for drift in DRIFTS:
        some = [one for one in results if one.drift == drift]
        trials = sum(len(one.low) for one in some)
        covered = sum(one.covered for one in some)
        yield Limit(f"JSD interval covers, drift {drift}", share(covered, trials), LEAST_COVERAGE, 1.0, trials)
    for one in results:
        trials = len(one.low)
        least = share(int(stats.binom.ppf(BY_CHANCE, trials, LEAST_COVERAGE)), trials)
        name = f"JSD interval covers, but for chance - {one.source}, {one.plan}, drift {one.drift}"
        yield Limit(name, share(one.covered, trials), least, 1.0, trials)
    trials = sum(len(one.low) for one in nulls)
    failed = sum(one.failed for one in nulls)
    # An exact interval of 95 % is above 0 in 2.5 % of nulls, so that half of all benchmarks would miss a limit of that.
    most = but_for_chance(trials, 0.0, MOST_FAILED)[1]
    yield Limit("a zero-drift policy fails nulls", share(failed, trials), 0.0, most, trials)
    for one in nulls:
        trials = len(one.low)
        most = share(int(stats.binom.isf(BY_CHANCE, trials, MOST_FAILED)), trials)
        name = f"a zero-drift policy fails nulls, but for chance - {one.source}, {one.plan}"
        yield Limit(name, share(one.failed, trials), 0.0, most, trials)


def edit_limits(results: Sequence[EditedSnapshots]) -> Iterable[Limit]:
    """Limits on snapshots with edited documents, each scenario alone and all nulls together."""
    nulls = [one for one in results if not one.directed and one.bounded]
    trials, rejections = sum(len(one.p) for one in nulls), sum(rejected(one.p) for one in nulls)
    yield Limit("p <= 0.05 in nulls with edits, pooled", share(rejections, trials), *P_REJECTS, trials)
    covered = sum(one.covered for one in nulls)
    yield Limit("JSD interval holds 0 in nulls with edits, pooled", share(covered, trials), *COVERED, trials)
    for one in results:
        trials = len(one.p)
        if one.bounded:
            name = f"JSD interval holds the truth with edits, but for chance - {one.plan}"
            if one.paired:
                yield Limit(name, share(one.covered, trials), *but_for_chance(trials, *COVERED), trials)
        if one.directed:
            continue
        yield Limit(
            f"clustered z rejects in a scenario - {one.plan}", share(one.rejected, one.tested), *Z_REJECTS, one.tested
        )
        if one.bounded:
            name = f"p <= 0.05 in nulls with edits, but for chance - {one.plan}"
            yield Limit(name, share(rejected(one.p), trials), *but_for_chance(trials, *P_REJECTS), trials)
        most = share(int(stats.binom.isf(BY_CHANCE, trials, 0.05)), trials)
        name = f"any token discovered in nulls with edits, but for chance - {one.plan}"
        yield Limit(name, share(one.discoveries, trials), 0.0, most, trials)


def rejected(p: Sequence[float]) -> int:
    """How many are at most 5 %."""
    return sum(value <= 0.05 for value in p)


def but_for_chance(trials: int, low: float, high: float) -> tuple[float, float]:
    """Limits ``low`` and ``high`` of a rate, wider by what the number of trials explains."""
    return (
        share(int(stats.binom.ppf(BY_CHANCE, trials, low)), trials),
        share(int(stats.binom.isf(BY_CHANCE, trials, high)), trials),
    )


def uniformity(p: Sequence[float]) -> float:
    """Kolmogorov-Smirnov p that p-values are uniform; NaN if one is missing."""
    return float("nan") if np.isnan(p).any() else float(stats.kstest(p, "uniform").pvalue)


def domain_limits(results: Sequence[DomainShares]) -> Iterable[Limit]:
    """Limits on intervals of domain shares."""
    trials = sum(one.intervals for one in results)
    for name, hits in (
        ("domain-share intervals cover", sum(one.shares for one in results)),
        ("intervals of domain-share differences cover", sum(one.differences for one in results)),
    ):
        yield Limit(name, share(hits, trials), *SHARES_COVERED, trials)


def classifier_limits(results: Sequence[ClassifierNulls]) -> Iterable[Limit]:
    """Limits on the classifier's nulls."""
    tested = sum(one.tested for one in results)
    yield Limit(
        "classifier rejects nulls", share(sum(o.rejected for o in results), tested), 0.0, CLASSIFIER_REJECTS, tested
    )


def planted_limits(results: Sequence[Planted]) -> Iterable[Limit]:
    """Limits on attribution."""
    for one in results:
        if one.plant == "domain up by a fifth":
            yield Limit("mix planted: attributed to the mix", one.identical_mixture, LEAST_ATTRIBUTION, 2.0, 1)
        if one.plant == "20 tokens doubled":
            yield Limit("text planted: attributed to the text", one.identical_content, LEAST_ATTRIBUTION, 2.0, 1)
