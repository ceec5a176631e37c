"""Paired differences: closed forms, exact tests by enumeration, and what degenerate data give."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.evaluations.paired import mcnemar, mean_with_error, paired_binary_interval


def test_items_of_their_own_give_the_usual_standard_error() -> None:
    values = np.array([1.0, 0.0, 0.0, 1.0, 1.0, -1.0, 0.0])
    result = mean_with_error(values)
    assert result.error == pytest.approx(values.std(ddof=1) / np.sqrt(7), rel=1e-14)
    assert result.freedom == 6 and result.items == result.clusters == 7
    # Student's t: 2.446911851 at 6 degrees of freedom.
    assert result.high - result.mean == pytest.approx(2.4469118511449692 * result.error, rel=1e-9)


def test_clusters_are_the_formula_of_the_paper_with_its_small_sample_factor() -> None:
    values, cluster = np.array([1.0, 1.0, 0.0, -1.0, 0.0, 1.0]), ["a", "a", "b", "b", "c", "c"]
    mean = values.mean()
    sums = [((values - mean)[[i, i + 1]]).sum() for i in (0, 2, 4)]
    expected = np.sqrt(3 / 2 * np.square(sums).sum()) / 6
    assert mean_with_error(values, cluster).error == pytest.approx(expected, rel=1e-14)


def test_copies_of_items_in_their_cluster_add_nothing() -> None:
    values = np.array([1.0, 0.0, -1.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    single = mean_with_error(values)
    copied = mean_with_error(np.repeat(values, 5), np.repeat(np.arange(8), 5))
    assert copied.error == pytest.approx(single.error, rel=1e-12) and copied.p == pytest.approx(single.p, rel=1e-9)


@pytest.mark.parametrize("values", [[0.3], [0.1] * 7, [1.0] * 4])
def test_values_without_spread_have_no_interval(values: list[float]) -> None:
    result = mean_with_error(values)
    assert np.isnan([result.error, result.low, result.high, result.p]).all()


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_no_or_not_finite_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_with_error(values)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (3, 9), (9, 3), (5, 5), (0, 12), (40, 61)])
def test_mcnemar_is_the_sum_of_binomial_probabilities(gained: int, lost: int) -> None:
    total, fewer = gained + lost, min(gained, lost)
    expected = min(1.0, 2 * sum(comb(total, k) for k in range(fewer + 1)) / 2**total)
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-12)


def test_the_bayesian_interval_is_the_posteriors() -> None:
    draws = np.random.default_rng(3).dirichlet([12.5, 4.5, 30.5, 20.5], 400_000)
    expected = np.quantile(draws[:, 0] - draws[:, 1], [0.025, 0.975])
    assert paired_binary_interval(12, 4, 66) == pytest.approx(expected, abs=2e-3)
    low, high = paired_binary_interval(4, 12, 66)
    assert (-high, -low) == pytest.approx(paired_binary_interval(12, 4, 66), abs=1e-9)


def test_no_discordant_item_still_leaves_room() -> None:
    low, high = paired_binary_interval(0, 0, 30)
    assert low == pytest.approx(-high, abs=1e-9) and 0.02 < high < 0.12


def test_more_discordant_items_than_items_are_refused() -> None:
    with pytest.raises(ValueError, match="among"):
        paired_binary_interval(5, 6, 10)
