"""The calibration benchmark on few replicates: what it measures holds, and its limits can be missed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from tests.benchmarks.calibration.__main__ import QUICK, SEED, checks, jobs, measured
from tests.benchmarks.calibration.domains import paired_bins
from tests.benchmarks.calibration.limits import (
    CLASSIFIER_REJECTS,
    Limit,
    snapshot_limits,
    uniformity,
)
from tests.benchmarks.calibration.snapshots import Snapshots, snapshots

UNLIKELY = 1e-4


@pytest.fixture(scope="module")
def nulls() -> list[Snapshots]:
    return [snapshots("urn", plan, "none", SEED, 6) for plan in ("1:1", "90 % kept", "append-only")]


RATES = (
    "JSD interval covers, drift",
    "JSD interval holds 0 in nulls with edits, pooled",
    "classifier rejects nulls",
    "p <= 0.05 in nulls with edits, pooled",
)
"""Beginnings of the limits on shares of independent trials, which few trials may miss by chance."""


def missed(limits: list[Limit]) -> list[Limit]:
    """Limits that are missed by more than few trials explain: shares of independent trials by their binomial p."""
    found = []
    for one in limits:
        chance = 0.0
        if one.name.startswith(RATES) and one.trials:
            hits = round(one.value * one.trials)
            below, above = stats.binom.cdf(hits, one.trials, one.low), stats.binom.sf(hits - 1, one.trials, one.high)
            chance = below if one.value < one.low else above
        if not one.holds and chance < UNLIKELY:
            found.append(one)
    return found


@pytest.mark.slow
def test_bursty_nulls_hold_the_limits(nulls: list[Snapshots]) -> None:
    limits = [one for one in snapshot_limits(nulls) if "mild" not in one.name and "strong" not in one.name]
    assert len(limits) > 20
    assert not missed(limits)
    tested = sum(sum(one.tested) for one in nulls)
    assert 0.03 < sum(sum(one.clustered) for one in nulls) / tested < 0.07
    assert tested > 10_000


@pytest.mark.slow
def test_strong_drift_is_found_and_covered() -> None:
    found = snapshots("urn", "50 % kept", "strong", SEED, 6)
    assert found.rejected == found.failed == 6
    assert found.covered >= 4  # of 6 at 93 %, fewer have probability 0.006
    assert found == snapshots("urn", "50 % kept", "strong", SEED, 6), "the same seed gives the same result"


@pytest.mark.slow
def test_tests_that_ignore_documents_miss_the_limits(nulls: list[Snapshots]) -> None:
    wrong = [replace(one, clustered=one.g_test, monroe=one.monroe_plain) for one in nulls]
    names = {one.family for one in snapshot_limits(wrong) if not one.holds}
    assert {"clustered z rejects, pooled over tokens", "Monroe rejects, pooled over tokens"} <= names
    apart = replace(nulls[0], low=(0.1,) * 6, p=dict.fromkeys(nulls[0].p, (0.01,) * 6))
    names = {one.family for one in snapshot_limits([apart]) if not one.holds}
    assert {"a zero-drift policy fails nulls", "JSD interval covers, drift none", "KS p of p-values"} <= names
    assert missed([Limit("classifier rejects nulls", 0.3, 0.0, CLASSIFIER_REJECTS, 60)])
    assert math.isnan(uniformity((0.5, float("nan")))), "a missing p is no pass"
    assert not Limit("nothing", float("nan"), 0.0, 1.0, 0).holds


@pytest.mark.slow
def test_a_paired_test_on_bins_cannot_reject() -> None:
    found = paired_bins(SEED, 5)
    assert found.rejected == 0 and found.smallest_p == pytest.approx(1.0)


@pytest.mark.slow
def test_all_scenarios_hold_their_limits() -> None:
    found = measured(jobs(QUICK, SEED), 2)
    assert [len(results) for results in found.values()] == [3, 30, 11, 4, 5, 1]
    assert not missed(checks(found))
