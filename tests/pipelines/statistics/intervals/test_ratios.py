"""Ratios of sums over clusters, against known cases; the tests of the index's rates have the jackknife."""

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.intervals.ratios import Freedom, ratio_estimates


def test_ratios_have_the_interval_of_means_where_documents_are_alike():
    from scipy import stats

    values = np.random.default_rng(2).normal(size=20)
    (estimate,) = ratio_estimates((10 * values)[:, None], np.full(20, 10.0))
    low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((values.mean(), low, high))


def test_ratios_of_few_or_unequal_documents_have_no_interval():
    sums, counts = np.ones((7, 1)), np.ones(7)
    assert ratio_estimates(sums, counts)[0].low is None and ratio_estimates(sums, counts)[0].value == 1
    counts = np.array([1000.0, *[1.0] * 50])  # one long document: two effective ones
    assert ratio_estimates(counts[:, None] * 0.5, counts)[0].low is None
    assert ratio_estimates(np.zeros((3, 2)), np.zeros(3))[1].value is None
    narrow = ratio_estimates(np.linspace(0, 1, 30)[:, None], np.ones(30), (0.45, 0.55))[0]
    assert (narrow.low, narrow.high) == (0.45, 0.55)


def test_intervals_cover_the_mean_of_skewed_documents():
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(400):
        counts = rng.integers(5, 60, 40).astype(float)
        level = rng.beta(1, 6, 40)
        (estimate,) = ratio_estimates((counts * level)[:, None], counts)
        covered += estimate.low <= 1 / 7 <= estimate.high
    assert covered >= 360  # 95 % nominal; skewed shares and 40 documents take some


def test_plain_clusters_may_count_less_than_nothing():
    """A document's part of the whole can be below 0; the whole is not."""
    counts = np.array([4.0, 3.0, -0.5, 2.0, 5.0, 1.0, 0.0, 2.5, 3.0])
    sums = 0.5 * counts + np.array([0.3, -0.2, 0.1, 0.0, 0.4, -0.3, 0.2, 0.0, -0.1])
    (estimate,) = ratio_estimates(sums[:, None], counts, freedom=Freedom.CLUSTERS)
    value = sums.sum() / counts.sum()
    spread = np.sqrt(9 / 8 * ((sums - value * counts) ** 2).sum()) / counts.sum()
    assert estimate.value == pytest.approx(value)
    assert (estimate.low, estimate.high) == pytest.approx((value - 2.306004 * spread, value + 2.306004 * spread))
    assert ratio_estimates(sums[:7, None], counts[:7], freedom=Freedom.CLUSTERS)[0].low is None
