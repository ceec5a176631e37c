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
from tests.benchmarks.calibration.snapshots import Snapshots

Z_REJECTS = (0.035, 0.065)
MONROE_REJECTS = 0.065
LEAST_KS = 0.001
LEAST_COVERAGE = 0.93
MOST_FAILED = 0.025
COVERED = (0.93, 0.97)
P_REJECTS = (0.035, 0.065)
SHARES_COVERED = (0.93, 0.97)
LEAST_ATTRIBUTION = 0.95
CLASSIFIER_REJECTS = 0.065
"""Not asked for by anyone: 5 % and two standard errors of 800 splits."""

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


def snapshot_limits(result: Sequence[Snapshots]) -> Iterable[Limit]:
    """Limits on pairs of snapshots."""
    nulls = [entry for entry in result if entry.drift == "none"]
    tested = sum(sum(entry.tested) for entry in nulls)
    clustered, monroe = (sum(sum(getattr(entry, name)) for entry in nulls) for name in ("clustered", "monroe"))
    yield Limit("clustered z rejects, pooled over tokens", share(clustered, tested), *Z_REJECTS, tested)
    for entry in nulls:
        name = f"clustered z rejects in a scenario - {entry.source}, {entry.plan}"
        yield Limit(name, share(sum(entry.clustered), sum(entry.tested)), *Z_REJECTS, sum(entry.tested))
    yield Limit("Monroe rejects, pooled over tokens", share(monroe, tested), 0.0, MONROE_REJECTS, tested)
    for entry in nulls:
        name = f"Monroe rejects in a scenario - {entry.source}, {entry.plan}"
        yield Limit(name, share(sum(entry.monroe), sum(entry.tested)), 0.0, MONROE_REJECTS, sum(entry.tested))
    for entry in nulls:
        for statistic, p in entry.p.items():
            name = f"KS p of p-values - {statistic}, {entry.source}, {entry.plan}"
            yield Limit(name, uniformity(p), LEAST_KS, 1.0, len(p))
    for drift in DRIFTS:
        some = [entry for entry in result if entry.drift == drift]
        trials = sum(len(entry.low) for entry in some)
        covered = sum(entry.covered for entry in some)
        yield Limit(f"JSD interval covers, drift {drift}", share(covered, trials), LEAST_COVERAGE, 1.0, trials)
    for entry in result:
        trials = len(entry.low)
        least = share(int(stats.binom.ppf(BY_CHANCE, trials, LEAST_COVERAGE)), trials)
        name = f"JSD interval covers, but for chance - {entry.source}, {entry.plan}, drift {entry.drift}"
        yield Limit(name, share(entry.covered, trials), least, 1.0, trials)
    trials = sum(len(entry.low) for entry in nulls)
    failed = sum(entry.failed for entry in nulls)
    yield Limit("a zero-drift policy fails nulls", share(failed, trials), 0.0, MOST_FAILED, trials)
    for entry in nulls:
        trials = len(entry.low)
        most = share(int(stats.binom.isf(BY_CHANCE, trials, MOST_FAILED)), trials)
        name = f"a zero-drift policy fails nulls, but for chance - {entry.source}, {entry.plan}"
        yield Limit(name, share(entry.failed, trials), 0.0, most, trials)


def edit_limits(result: Sequence[EditedSnapshots]) -> Iterable[Limit]:
    """Limits on snapshots with edited documents, each scenario alone and all nulls together."""
    nulls = [entry for entry in result if not entry.directed and entry.bounded]
    trials, rejections = sum(len(entry.p) for entry in nulls), sum(rejected(entry.p) for entry in nulls)
    yield Limit("p <= 0.05 in nulls with edits, pooled", share(rejections, trials), *P_REJECTS, trials)
    covered = sum(entry.covered for entry in nulls)
    yield Limit("JSD interval holds 0 in nulls with edits, pooled", share(covered, trials), *COVERED, trials)
    for entry in result:
        trials = len(entry.p)
        if entry.bounded:
            name = f"JSD interval holds the truth with edits, but for chance - {entry.plan}"
            if entry.paired:
                yield Limit(name, share(entry.covered, trials), *but_for_chance(trials, *COVERED), trials)
        if entry.directed:
            continue
        yield Limit(
            f"clustered z rejects in a scenario - {entry.plan}",
            share(entry.rejected, entry.tested),
            *Z_REJECTS,
            entry.tested,
        )
        if entry.bounded:
            name = f"p <= 0.05 in nulls with edits, but for chance - {entry.plan}"
            yield Limit(name, share(rejected(entry.p), trials), *but_for_chance(trials, *P_REJECTS), trials)
        most = share(int(stats.binom.isf(BY_CHANCE, trials, 0.05)), trials)
        name = f"any token discovered in nulls with edits, but for chance - {entry.plan}"
        yield Limit(name, share(entry.discoveries, trials), 0.0, most, trials)


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


def domain_limits(result: Sequence[DomainShares]) -> Iterable[Limit]:
    """Limits on intervals of domain shares."""
    trials = sum(entry.intervals for entry in result)
    for name, hits in (
        ("domain-share intervals cover", sum(entry.shares for entry in result)),
        ("intervals of domain-share differences cover", sum(entry.differences for entry in result)),
    ):
        yield Limit(name, share(hits, trials), *SHARES_COVERED, trials)


def classifier_limits(result: Sequence[ClassifierNulls]) -> Iterable[Limit]:
    """Limits on the classifier's nulls."""
    told = sum(entry.told for entry in result)
    yield Limit("classifier rejects nulls", share(sum(o.rejected for o in result), told), 0.0, CLASSIFIER_REJECTS, told)


def planted_limits(result: Sequence[Planted]) -> Iterable[Limit]:
    """Limits on attribution."""
    for entry in result:
        if entry.plant == "domain up by a fifth":
            yield Limit("mix planted: attributed to the mix", entry.identical_mixture, LEAST_ATTRIBUTION, 2.0, 1)
        if entry.plant == "20 tokens doubled":
            yield Limit("text planted: attributed to the text", entry.identical_content, LEAST_ATTRIBUTION, 2.0, 1)
