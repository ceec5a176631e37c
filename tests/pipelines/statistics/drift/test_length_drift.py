import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corpus_audit.pipelines.statistics.drift.length_drift import STATISTICS, LengthHistogram, length_drift
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_edges, bucket_index

EDGES = bucket_edges()


def histogram(lengths):
    bucket, documents = np.unique(bucket_index(np.asarray(lengths, dtype=np.int64)), return_counts=True)
    return LengthHistogram(EDGES[bucket], EDGES[bucket + 1] - 1, documents)


def named(found, name):
    at = STATISTICS.index(name)
    return found.change[at], found.low[at], found.high[at]


LENGTHS = st.lists(st.integers(0, 99), min_size=1, max_size=60)


@given(LENGTHS, LENGTHS)
def test_values_of_short_documents_are_exact(first, second):
    found = length_drift(histogram(first), histogram(second), 0)
    gap, low, high = named(found, "ks")
    assert gap == pytest.approx(stats.ks_2samp(first, second, method="asymp").statistic, abs=1e-12)
    assert found.value_baseline[STATISTICS.index("mean")] == pytest.approx(np.mean(first))
    for name, percent in (("p05", 5), ("p50", 50), ("p99", 99)):
        at = STATISTICS.index(name)
        assert found.value_current[at] == np.quantile(second, percent / 100, method="inverted_cdf")
    if min(len(first), len(second)) >= 8:
        assert low <= gap <= high
    some = ~np.isnan(found.low) & ~np.isnan(found.high)
    assert (found.low <= found.change)[some].all()
    assert (found.change <= found.high)[some].all()


def test_a_doubling_is_one_bit():
    rng = np.random.default_rng(0)
    before = rng.lognormal(5, 0.7, 4000).astype(int) + 1
    found = length_drift(histogram(before), histogram(rng.permutation(before) * 2), 0)
    for name in STATISTICS[:-1]:
        change, low, high = named(found, name)
        assert change == pytest.approx(1, abs=0.05)
        assert low < 1.02 and high > 0.98 and low > 0.5
    assert named(found, "ks")[1] > 0.2


def test_identical_snapshots_do_not_drift():
    side = histogram(np.arange(1, 200))
    found = length_drift(side, side, 199)
    assert (found.change == 0).all()
    assert (found.low == 0).all()
    assert (found.high == 0).all()


def test_few_documents_have_no_bounds():
    found = length_drift(histogram([10, 20, 30]), histogram([20, 40, 60]), 0)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert named(found, "p50")[0] == 1
    assert named(found, "mean")[0] == 1


def test_a_side_without_documents_has_no_change():
    found = length_drift(histogram([10] * 20), histogram([]), 0)
    assert np.isnan(found.change).all()


def test_empty_documents_have_no_ratio():
    found = length_drift(histogram([0] * 50), histogram([1] * 50), 0)
    assert np.isnan(found.change[:-1]).all()
    assert named(found, "ks")[0] == 1


def test_more_shared_documents_than_there_are_is_refused():
    with pytest.raises(ValueError, match="shared by sides of 2 and 3"):
        length_drift(histogram([1, 2]), histogram([1, 2, 3]), 3)


def covered(sizes, seed, repeats, shift=0.0):
    """Share of intervals that hold the true change, by statistic: log-normal lengths, sizes as (before, now, both)."""
    rng = np.random.default_rng(seed)
    probabilities = np.array([0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    grid = np.linspace(-6, 8, 200_001)
    weight = np.array([sizes[1], sizes[2]]) / (sizes[1] + sizes[2])
    mixed = weight[0] * stats.norm.cdf(grid - shift) + weight[1] * stats.norm.cdf(grid)
    quantiles = np.interp(probabilities, mixed, grid) - stats.norm.ppf(probabilities)
    mean = np.log(weight[0] * np.exp(shift) + weight[1])
    gap = np.abs(mixed - stats.norm.cdf(grid)).max()
    truth = np.append(np.append(quantiles, mean) * 0.8 / np.log(2), gap)
    truth[6] = np.log2(weight[0] * np.exp(0.8 * shift) + weight[1])
    hits = []
    for _ in range(repeats):
        parts = [
            np.exp(6 + 0.8 * (rng.standard_normal(size) + (shift if k == 1 else 0))).astype(int) + 1
            for k, size in enumerate(sizes)
        ]
        sides = [histogram(np.concatenate([parts[k], parts[2]])) for k in (0, 1)]
        found = length_drift(*sides, sizes[2])
        hits.append((found.low <= truth) & (truth <= found.high))
    return np.mean(hits, axis=0)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("sizes", [(800, 800, 0), (400, 1200, 0), (400, 400, 400), (100, 100, 900)])
def test_intervals_cover(sizes, shift):
    hits = covered(sizes, seed=sum(sizes), repeats=120, shift=shift)
    assert hits.min() >= 0.88
    assert hits.mean() >= 0.94


def test_shared_documents_narrow_the_intervals():
    rng = np.random.default_rng(3)
    shared = rng.lognormal(6, 0.8, 3000).astype(int) + 1
    sides = [histogram(np.append(shared, rng.lognormal(6, 0.8, 300).astype(int) + 1)) for _ in range(2)]
    paired, apart = length_drift(*sides, 3000), length_drift(*sides, 0)
    width = (paired.high - paired.low) / (apart.high - apart.low)
    assert width[STATISTICS.index("mean")] < 0.4
    assert width[STATISTICS.index("p50")] < 0.6
    assert width.max() <= 1


@given(st.lists(st.integers(0, 99), min_size=1, max_size=7))
def test_the_same_few_documents_are_the_same_without_doubt(lengths):
    side = histogram(lengths)
    found = length_drift(side, side, len(lengths))
    assert not np.any([found.change, found.low, found.high])


def test_from_0_to_0_is_no_change_and_from_0_to_more_is_no_ratio():
    empty, some = histogram([0] * 20), histogram([5] * 20)
    assert not np.any(length_drift(empty, empty, 3).change)
    assert np.isnan(length_drift(empty, some, 0).change[:-1]).all()
    assert named(length_drift(empty, some, 0), "ks")[0] == 1
