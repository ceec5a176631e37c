"""Sample sizes and detectable differences of Miller's paper, pass rates by enumeration, published standard errors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.evaluations.aggregates import items_from_error, pooled_error, published_error
from corpus_audit.pipelines.statistics.evaluations.passes import mean_over_tasks, pass_at_k, pass_hat_k
from corpus_audit.pipelines.statistics.evaluations.power import (
    detectable_from_error,
    items_needed,
    minimum_detectable,
    quantiles,
)
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson

BETWEEN, WITHIN = 1 / 9, (1 / 6, 1 / 6)
"""Variances of the paper's example: scores uniform on [0, 1] of two models that correlate with 1/3."""


@pytest.mark.parametrize(("repeats", "items"), [(float("inf"), 969), (1.0, 3876), (10.0, 1260)])
def test_items_for_three_points(repeats: float, items: int) -> None:
    assert items_needed(0.03, BETWEEN, WITHIN, (repeats, repeats)) == items


@pytest.mark.parametrize(("repeats", "difference"), [(1.0, 0.133), (10.0, 0.076)])
def test_what_198_items_detect(repeats: float, difference: float) -> None:
    assert minimum_detectable(198, BETWEEN, WITHIN, (repeats, repeats)) == pytest.approx(difference, abs=5e-4)


def test_detectable_from_the_error_of_a_comparison() -> None:
    error = np.sqrt((BETWEEN + 1 / 3) / 198)
    expected = minimum_detectable(198, BETWEEN, WITHIN, (1, 1))
    assert detectable_from_error(error) == pytest.approx(expected, rel=1e-12)
    assert quantiles() == pytest.approx(2.8015852, abs=1e-6)
    with pytest.raises(ValueError, match="difference of 0"):
        items_needed(0.0, BETWEEN, WITHIN, (1, 1))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("passed", range(6))
def test_pass_rates_are_means_over_all_choices_of_k_tries(k: int, passed: int) -> None:
    tries = [1] * passed + [0] * (5 - passed)
    subsets = list(combinations(tries, k))
    assert pass_at_k([5], [passed], k)[0] == pytest.approx(np.mean([max(s) for s in subsets]), abs=1e-12)
    assert pass_hat_k([5], [passed], k)[0] == pytest.approx(np.mean([min(s) for s in subsets]), abs=1e-12)


def test_tasks_with_too_few_tries_are_left_out() -> None:
    rates = pass_hat_k([4, 2, 4], [4, 2, 2], 3)
    assert np.isnan(rates[1]) and mean_over_tasks(rates).items == 2
    with pytest.raises(ValueError, match="among the tries"):
        pass_at_k([2], [3], 1)


def test_lm_eval_publishes_the_error_of_a_mean_and_pools_groups_by_size() -> None:
    toy_a, toy_b = np.r_[np.ones(13), np.zeros(27)], np.r_[np.ones(62), np.zeros(138)]
    errors = [published_error(toy_a), published_error(toy_b)]
    assert errors[0] == pytest.approx(0.075, abs=1e-15)
    assert pooled_error(errors, [40, 200]) == pytest.approx(0.0300428615383382, abs=1e-15)
    assert np.isnan(pooled_error([0.1], [1])) and np.isnan(published_error([1.0]))


def test_the_number_of_items_behind_an_error_of_version_0_3() -> None:
    # hendrycksTest-world_religions has 171 items, winogrande 1,267.
    assert items_from_error(0.1871345029239766, 0.029913127232368032) == pytest.approx(171, abs=1e-6)
    assert items_from_error(0.5082872928176796, 0.014050555322824192) == pytest.approx(1267, abs=1e-5)
    assert np.isnan(items_from_error(0.0, 0.0)) and np.isnan(items_from_error(2.5, 0.1))


def test_none_of_thirty_is_at_most_twelve_per_cent() -> None:
    low, high = clopper_pearson(0.0, 30)
    assert (
        low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 30), rel=1e-9) and high == pytest.approx(0.116, abs=5e-4)
    )
