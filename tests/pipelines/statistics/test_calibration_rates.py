"""What the calibration benchmark says of the rate of one scenario, and that adding pairs changes none of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from tests.benchmarks.calibration import rates, scenarios
from tests.benchmarks.calibration.edits import edited_snapshots
from tests.benchmarks.calibration.rates import OUTSIDE, UNKNOWN, WITHIN, Rate, all_decided, edit_rates, snapshot_rates
from tests.benchmarks.calibration.snapshots import snapshots

SEED = 7


@pytest.mark.parametrize(
    ("hits", "trials", "verdict"),
    [
        (760, 800, WITHIN),
        (190, 200, UNKNOWN),
        (170, 200, OUTSIDE),
        (200, 200, OUTSIDE),
        (3, 3, UNKNOWN),
        (0, 0, UNKNOWN),
    ],
)
def test_a_rate_is_within_its_limits_if_its_exact_interval_is(hits: int, trials: int, verdict: str) -> None:
    rate = Rate("some scenario", hits, trials, *rates.COVERED)
    assert rate.verdict == verdict
    if trials:
        exact = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
        assert rate.interval == pytest.approx((exact.low, exact.high), abs=1e-9)
    else:
        assert rate.interval == (0.0, 1.0)


def test_who_looks_more_often_needs_a_wider_interval() -> None:
    once, five = (Rate("some scenario", 456, 480, *rates.COVERED, looks) for looks in (1, 5))
    assert (once.verdict, five.verdict) == (UNKNOWN, UNKNOWN)
    exact = stats.binomtest(456, 480).proportion_ci(0.99, method="exact")
    assert five.interval == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert rates.sizes_of_looks(200, 3_000) == [200, 400, 800, 1_600, 3_000]
    assert rates.sizes_of_looks(200, 200) == [200]
    with pytest.raises(ValueError, match="at most 100"):
        rates.sizes_of_looks(200, 100)
    assert not all_decided([once, replace(once, hits=480)]) and all_decided([replace(once, hits=480)])
    *_, row = rates.rate_table([once])
    assert row[1:4] == ["480", "95.0 %", "1.0 %"] and row[-1] == UNKNOWN


def test_scenarios_are_selected_by_a_part_of_their_name() -> None:
    some = scenarios.selected(["append-only, drift", "edits, renamed"], [*scenarios.DIVERGENCE, *scenarios.EDITS])
    assert len(some) == 7 and all("append-only" in each.name or "renamed" in each.name for each in some)
    with pytest.raises(ValueError, match="no scenario holds 'apend'"):
        scenarios.selected(["apend"], scenarios.DIVERGENCE)
    assert [count for _, (*_, count, start) in scenarios.EDITS[0].tasks(SEED, 20, 150)] == [50, 50, 30]


@pytest.mark.slow
def test_pairs_that_are_added_are_those_of_a_larger_number() -> None:
    whole = snapshots("urn", "90 % kept", "none", SEED, 4)
    parts = [snapshots("urn", "90 % kept", "none", SEED, 2, first=first) for first in (0, 2)]
    assert parts[0] + parts[1] == whole
    assert {rate.trials for rate in snapshot_rates(whole)} == {4} and len(snapshot_rates(whole)) == 2
    edits = [edited_snapshots("edited by noise", SEED, 2, first) for first in (0, 2)]
    joined, at_once = edits[0] + edits[1], edited_snapshots("edited by noise", SEED, 4)
    assert replace(joined, power=0.0) == replace(at_once, power=0.0)
    some = scenarios.selected(["edits, edited by noise"], scenarios.EDITS)
    (result,) = scenarios.told_results(some, SEED, [2, 4], 2)
    assert edit_rates(result, 2) == edit_rates(at_once, 2), "two pairs tell nothing, so two are added"
