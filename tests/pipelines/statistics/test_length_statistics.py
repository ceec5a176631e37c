import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corpus_audit.pipelines.statistics.intervals.lengths import (
    LONGEST,
    binomial_quantile,
    bucket_edges,
    bucket_index,
    histogram_quantiles,
    mean_interval,
)

PERCENTS = (5, 25, 50, 75, 95, 99)


def histogram(lengths):
    edges = bucket_edges()
    bucket, documents = np.unique(bucket_index(lengths), return_counts=True)
    return edges[bucket], edges[bucket + 1] - 1, documents


def quantiles_of(*samples, percents=PERCENTS):
    parts = [histogram(sample) for sample in samples]
    domain = np.repeat(np.arange(len(samples)), [len(part[0]) for part in parts])
    low, high, documents = (np.concatenate(column) for column in zip(*parts, strict=True))
    return histogram_quantiles(domain, low, high, documents, len(samples), percents)


def test_edges_are_integers_within_two_per_cent():
    edges = bucket_edges()
    assert edges.dtype == np.int64
    assert edges[:4].tolist() == [0, 1, 2, 3]
    assert edges[98:104].tolist() == [98, 99, 100, 102, 104, 106]
    assert edges[-2] < LONGEST <= edges[-1]
    width = np.diff(edges)
    assert (width >= 1).all()
    assert (width[edges[:-1] < 100] == 1).all()
    assert (50 * (width - 1) <= edges[:-1]).all()
    with pytest.raises(ValueError, match="read-only"):
        edges[0] = 7


@given(st.integers(0, LONGEST - 1))
def test_a_length_is_in_its_bucket_and_near_its_midpoint(length):
    edges = bucket_edges()
    bucket = int(bucket_index(length))
    low, high = int(edges[bucket]), int(edges[bucket + 1]) - 1
    assert low <= length <= high
    assert abs((low + high) / 2 - length) <= 0.01 * max(length, 1)


@pytest.mark.parametrize("length", [-1, LONGEST])
def test_lengths_outside_the_table_are_refused(length):
    with pytest.raises(ValueError, match="lengths must be"):
        bucket_index([length])
    assert bucket_index([]).tolist() == []


@given(st.integers(0, 10**7), st.sampled_from([0.01, 0.05, 0.5, 0.95, 0.99]), st.sampled_from([0.025, 0.975]))
def test_binomial_quantiles_agree_with_scipy(trials, share, probability):
    assert binomial_quantile(probability, trials, share) == stats.binom.ppf(probability, trials, share)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=300))
def test_short_lengths_have_exact_quantiles(lengths):
    result = quantiles_of(lengths)
    ordered = sorted(lengths)
    for i, percent in enumerate(PERCENTS):
        assert result.value[0, i] == ordered[math.ceil(len(lengths) * percent / 100 - 1e-9) - 1]
        low = int(stats.binom.ppf(0.025, len(lengths), percent / 100))
        high = int(stats.binom.ppf(0.975, len(lengths), percent / 100)) + 1
        expected_low = ordered[low - 1] if low >= 1 else None
        expected_high = ordered[high - 1] if high <= len(lengths) else None
        assert (None if np.isnan(result.low[0, i]) else result.low[0, i]) == expected_low
        assert (None if np.isnan(result.high[0, i]) else result.high[0, i]) == expected_high


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), min_size=1, max_size=5))
def test_quantiles_of_many_domains_are_within_one_per_cent(samples):
    result = quantiles_of(*samples)
    for g, sample in enumerate(samples):
        exact = np.quantile(sample, np.array(PERCENTS) / 100, method="inverted_cdf")
        assert (np.abs(result.value[g] - exact) <= 0.01 * np.maximum(exact, 1)).all()


def test_ranks_do_not_overflow():
    result = histogram_quantiles([0, 0], [1, 2], [1, 2], [2**61, 2**61 + 1], 1, (49, 50, 51))
    assert result.value.tolist() == [[1, 2, 2]]


def test_nothing_to_count():
    nothing = histogram_quantiles([], [], [], [], 2, PERCENTS)
    assert np.isnan(nothing.value).all()
    some = histogram_quantiles([1], [5], [5], [1], 3, (50,))
    assert some.value[1].tolist() == [5]
    assert np.isnan(some.value[[0, 2]]).all()
    assert np.isnan(some.low).all()
    assert np.isnan(some.high).all()


def test_median_intervals_cover():
    rng = np.random.default_rng(1)
    true_value = math.exp(6)
    samples = [np.floor(rng.lognormal(6, 1, 200)).astype(np.int64) for _ in range(1000)]
    result = quantiles_of(*samples, percents=(50,))
    covered = np.mean((result.low <= true_value) & (true_value <= result.high + 1))
    assert 0.94 <= covered <= 0.985


def test_means_are_exact_with_students_interval():
    lengths = np.array([3, 10, 11, 40])
    mean, low, high = mean_interval([64, 0, 7], [int((lengths**2).sum()), 0, 49], [4, 0, 1])
    expected = stats.t.interval(0.95, 3, lengths.mean(), stats.sem(lengths))
    assert mean[0] == 16
    assert (max(expected[0], 0), expected[1]) == pytest.approx((low[0], high[0]))
    assert np.isnan(mean[1])
    assert mean[2] == 7
    assert np.isnan([low[2], high[2]]).all()


def test_means_past_64_bits():
    size = 10**13
    mean, low, high = mean_interval([4 * size], [4 * size**2], [4])
    assert (mean[0], low[0], high[0]) == (size, size, size)
