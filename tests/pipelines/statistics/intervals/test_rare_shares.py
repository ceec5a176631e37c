"""Intervals of rare shares against exact ones, and their coverage: what is seen never, once or twice."""

import numpy as np
import pytest
from scipy import stats

from corpus_audit.pipelines.contamination.selfcheck import share_interval
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.proportions import (
    clopper_pearson,
    ratio_interval,
    share_intervals,
    wilson,
)

SIZE = 236


def test_a_share_of_documents_never_seen_has_the_exact_bound():
    counts = np.array([0, SIZE])
    result = share_intervals(DocumentClusters(counts, counts.astype(object), SIZE))
    exact = stats.beta.ppf(0.975, 1, SIZE)
    assert exact == pytest.approx(0.01551, abs=1e-5)
    assert (result.share[0], result.low[0], result.high[0]) == (0, 0, pytest.approx(exact))
    assert np.isnan(result.design_effect[0])  # no event says nothing about how events come together


@pytest.mark.parametrize("hits", [0, 1, 2, 39, SIZE])
def test_items_of_a_benchmark_are_counted_one_by_one_with_the_exact_interval(hits):
    share, low, high = share_interval(hits, SIZE)
    exact = stats.binomtest(hits, SIZE).proportion_ci(0.95, "exact")
    assert (share, low, high) == pytest.approx((hits / SIZE, exact.low, exact.high))


def test_rows_of_equal_shards_of_which_none_is_bad_count_as_many_as_the_shards():
    # Bad rows come together, a broken writer at a time: four clean shards say little about the others.
    result = ratio_interval(np.zeros(4), np.full(4, 1000))
    assert (result.value, result.low, result.high) == (0, 0, pytest.approx(stats.beta.ppf(0.975, 1, 4)))


def test_exact_bounds_are_wrong_in_at_most_one_of_forty_cases_where_wilsons_are_not():
    hits = np.arange(SIZE + 1)
    worst = {}
    for name, method in (("exact", clopper_pearson), ("wilson", wilson)):
        low, _ = method(hits / SIZE, np.full(len(hits), SIZE))
        rates = np.linspace(1e-4, 0.05, 200)
        mass = stats.binom.pmf(hits[None, :], SIZE, rates[:, None])
        worst[name] = (mass * (low[None, :] > rates[:, None])).sum(axis=1).max()
    assert worst["exact"] <= 0.025
    assert worst["wilson"] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.001, 0.004, 0.02])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_rare_domains_are_covered_in_documents_and_in_tokens(rate, spread):
    rng = np.random.default_rng(int(rate * 1e4) + int(spread))
    wrong = []
    for _ in range(2000):
        rare = rng.random(SIZE) < rate
        lengths = rng.lognormal(5, spread, SIZE).astype(np.int64) + 1 if spread else np.ones(SIZE, np.int64)
        counts = np.array([lengths[rare].sum(), lengths[~rare].sum()])
        squares = np.array([(lengths[rare] ** 2).sum(), (lengths[~rare] ** 2).sum()], dtype=object)
        result = share_intervals(DocumentClusters(counts, squares, SIZE))
        wrong.append((result.low[0] > rate, result.high[0] < rate))
    too_high, too_low = np.mean(wrong, axis=0)
    assert too_high <= 0.035 and too_low <= 0.035, (too_high, too_low)
