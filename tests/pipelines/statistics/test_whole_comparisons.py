"""Whole comparisons of snapshots that do not drift, by the benchmark's own functions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from corpus_audit.pipelines.drift.lenses import LEVEL
from tests.benchmarks.calibration import comparisons
from tests.benchmarks.calibration.comparisons import NULL_PLANS, clopper_pearson, comparison, report

LENSES = ("edits", "distribution", "tokens", "classifier", "lengths", "domain shares")


@pytest.mark.parametrize(("hits", "trials"), [(0, 236), (7, 200), (200, 200), (1, 1)])
def test_clopper_pearson_is_the_exact_interval(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, "exact")
    assert clopper_pearson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_comparison_has_every_lens_and_follows_from_its_seed() -> None:
    plan = replace(NULL_PLANS[-1], removed=110, added=110, kept=40, edited=40)
    one = comparison(plan, 3, 0)
    assert tuple(lens.name for lens in one.lenses) == LENSES
    assert all(lens.tests for lens in one.lenses), "150 documents a side are enough for every lens"
    assert "40 of 190 documents were edited" in one.headline and "110 documents were added" in one.headline
    assert one == comparison(plan, 3, 0)


def test_a_few_added_documents_have_nothing_to_exchange() -> None:
    one = comparison(replace(NULL_PLANS[2], kept=120), 3, 0)
    tests = {lens.name: lens.tests for lens in one.lenses}
    assert tests["edits"] == tests["distribution"] == tests["classifier"] == 0


def test_the_report_counts_comparisons_of_which_any_lens_shows_something() -> None:
    quiet, loud = dict.fromkeys(LENSES, 0.6), dict.fromkeys(LENSES, LEVEL / 2)
    lines, record, missed = report({"a": [quiet] * 18 + [loud] * 2, "b": [quiet] * 20})
    assert record["all"]["shown"] == 2 and record["all"]["comparisons"] == 40 and record["a"]["edits"] == 2
    assert not missed and lines[-2].startswith("all: 2 of 40, 5.0%")
    assert report({"a": [quiet] * 30 + [loud] * 10})[2], "a quarter is above the level by more than chance"
    assert comparisons.LEVEL == LEVEL
