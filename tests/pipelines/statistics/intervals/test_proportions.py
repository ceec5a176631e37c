import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.grouped import RandomGroups
from corpus_audit.pipelines.statistics.intervals.proportions import (
    clopper_pearson,
    goodman,
    ratio_interval,
    share_intervals,
    student_quantile,
    total_variation,
    wilson,
)
from tests.pipelines.statistics.intervals.dense_totals import dense_totals


def documents(*counts):
    result = np.array(counts)
    return DocumentClusters(result, result.astype(object), int(result.sum()))


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_binomial_intervals_agree_with_scipy(case):
    hits, size = case
    test = stats.binomtest(hits, size)
    for name, result in (("exact", clopper_pearson), ("wilson", wilson)):
        expected = test.proportion_ci(0.95, name)
        low, high = result(hits / size, size)
        assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("hits", "size"), [(0, 10), (1, 10), (12, 30), (60, 60), (3, 28_000)])
def test_wilson_closed_form(hits, size):
    # Wilson (1927): (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).
    z, p = 1.959963984540054, hits / size
    middle, root = p + z**2 / (2 * size), z * np.sqrt(p * (1 - p) / size + z**2 / (4 * size**2))
    low, high = wilson(p, size)
    expected = [(middle - root) / (1 + z**2 / size), (middle + root) / (1 + z**2 / size)]
    assert [float(low), float(high)] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("size", [1e5, 1e7, 1e9])
def test_large_samples_agree_with_the_exact_interval(size):
    share = np.array([0.11, 0.3, 0.5, 0.89])
    low, high = clopper_pearson(share, size)
    deviation = np.sqrt(share * (1 - share) / size)
    assert low == pytest.approx(stats.beta.ppf(0.025, share * size, size - share * size + 1), abs=2e-6 * deviation[0])
    assert high == pytest.approx(stats.beta.ppf(0.975, share * size + 1, size - share * size), abs=2e-6 * deviation[0])


def test_student_quantiles():
    result = student_quantile(0.975, np.array([1, 5, 1e5, 1e12, 0.5]))
    expected = [stats.t.ppf(0.975, 1), stats.t.ppf(0.975, 5), stats.t.ppf(0.975, 1e5), stats.norm.ppf(0.975)]
    assert result[:4] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(result[4])


def test_goodman_closed_form():
    # Goodman (1965), equation 1.2: (A + 2 x -+ sqrt(A (A + 4 x (n - x) / n))) / (2 (n + A)).
    hits, size = np.array([56, 72, 73, 59, 62, 87, 58]), 467
    quantile = stats.chi2.ppf(1 - 0.05 / 7, 1)
    root = np.sqrt(quantile * (quantile + 4 * hits * (size - hits) / size))
    low, high = goodman(hits / size, np.full(7, size))
    assert low == pytest.approx((quantile + 2 * hits - root) / (2 * (size + quantile)), rel=1e-12)
    assert high == pytest.approx((quantile + 2 * hits + root) / (2 * (size + quantile)), rel=1e-12)


def test_document_shares_get_clopper_pearson():
    bounds = share_intervals(documents(30, 70))
    # Var = p q / (D - 1): the effective size is D - 1 documents.
    expected = clopper_pearson([0.3, 0.7], [99, 99])
    assert bounds.low == pytest.approx(expected[0], rel=1e-9)
    assert bounds.high == pytest.approx(expected[1], rel=1e-9)
    assert bounds.design_effect == pytest.approx([100 / 99, 100 / 99])


def test_equal_lengths_have_a_design_effect_of_the_length():
    counts = np.array([300, 700]) * 40
    squares = np.array([300, 700], dtype=object) * 1600
    bounds = share_intervals(DocumentClusters(counts, squares, 1000))
    assert bounds.design_effect == pytest.approx([40, 40], rel=2e-3)


def test_a_domain_never_seen_has_the_rule_of_three():
    bounds = share_intervals(documents(1000, 0))
    assert bounds.low.tolist() == [pytest.approx(0.025 ** (1 / 1000)), 0]
    assert bounds.high.tolist() == [1, pytest.approx(1 - 0.025 ** (1 / 1000))]
    assert bounds.high[1] == pytest.approx(3.69 / 1000, rel=0.01)
    assert np.isnan(bounds.design_effect).all()


def test_unequal_documents_count_for_fewer():
    squares = np.array([10**6 + 999, 0], dtype=object)
    bounds = share_intervals(DocumentClusters(np.array([1999, 0]), squares, 1000))
    assert bounds.high[1] == pytest.approx(1 - 0.025 ** ((10**6 + 999) / 1999**2), rel=1e-9)


def test_one_document_says_little_but_something():
    bounds = share_intervals(documents(1, 0))
    assert bounds.low.tolist() == [pytest.approx(0.025), 0]
    assert bounds.high.tolist() == [1, pytest.approx(0.975)]


def test_a_mixed_single_cluster_has_no_bounds():
    groups = np.zeros((1024, 2), dtype=np.int64)
    groups[5] = 3, 4
    bounds = share_intervals(RandomGroups(dense_totals(groups), clusters=1))
    assert np.isnan(bounds.low).all()
    assert np.isnan(bounds.high_simultaneous).all()


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8).filter(any))
def test_bounds_are_ordered_and_within_0_and_1(counts):
    bounds = share_intervals(documents(*counts))
    order = [bounds.low_simultaneous, bounds.low, bounds.share, bounds.high, bounds.high_simultaneous]
    assert (np.diff(np.stack(order), axis=0) >= 0).all()
    assert order[0].min() >= 0
    assert order[-1].max() <= 1


def test_ratio_interval_over_shards():
    part, whole = np.array([3, 0, 7, 2]), np.array([100, 50, 120, 80])
    result = ratio_interval(part, whole)
    share = 12 / 350
    variance = 4 / 3 * ((part - share * whole) ** 2).sum() / 350**2
    size = share * (1 - share) / variance * (stats.t.ppf(0.975, 349) / stats.t.ppf(0.975, 3)) ** 2
    assert (result.low, result.high) == pytest.approx(tuple(map(float, clopper_pearson(share, size))))
    assert ratio_interval([0, 0], [10, 10]).high == pytest.approx(1 - 0.025 ** (1 / 2))
    assert np.isnan(ratio_interval([5], [10]).low)


def population(rng, spread, size=200_000):
    weights = np.array([0.4, 0.2, 0.1, 0.1, 0.06, 0.05, 0.04, 0.03, 0.02])
    domain = rng.choice(len(weights), size, p=weights)
    length = rng.lognormal(5 + 0.5 * np.sin(domain), spread).astype(np.int64) + 1
    return domain, length, np.bincount(domain, length) / length.sum()


def drawn(rng, domain, length, documents):
    selected = rng.integers(len(domain), size=documents)
    d, n = domain[selected], length[selected]
    squares = np.bincount(d, n * n, 9).astype(np.int64).astype(object)
    return DocumentClusters(np.bincount(d, n, 9).astype(np.int64), squares, documents)


def coverage(seed, spread, documents, repeats):
    rng = np.random.default_rng(seed)
    domain, length, true_value = population(rng, spread)
    single, joint = [], []
    for _ in range(repeats):
        bounds = share_intervals(drawn(rng, domain, length, documents))
        single.append((bounds.low <= true_value) & (true_value <= bounds.high))
        joint.append(((bounds.low_simultaneous <= true_value) & (true_value <= bounds.high_simultaneous)).all())
    return np.mean(single), np.mean(joint)


def test_token_shares_cover():
    single, joint = coverage(seed=20, spread=1.0, documents=2000, repeats=300)
    assert 0.93 <= single <= 0.97
    assert joint >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("documents", [500, 3000, 20_000])
@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_token_shares_cover_at_many_sizes(documents, spread):
    single, joint = coverage(seed=21, spread=spread, documents=documents, repeats=1500)
    assert 0.93 <= single <= 0.975
    assert joint >= 0.93


def test_distance_of_two_domains_is_the_interval_of_one_difference():
    result = total_variation(documents(6000, 4000), [0.5, 0.5])
    reach = stats.norm.ppf(0.975) * np.sqrt(0.24 / 9999)
    assert result.value == pytest.approx(0.1)
    assert (result.low, result.high) == pytest.approx((0.1 - reach, 0.1 + reach), abs=0.05 * reach)


def test_distance_at_its_target_reaches_down_to_0_and_up_from_it():
    result = total_variation(documents(5000, 5000), [0.5, 0.5])
    assert (result.value, result.low) == (0, 0)
    assert result.high == pytest.approx(stats.norm.ppf(0.9875) * 0.005, rel=0.15)


def test_distance_from_a_domain_never_seen():
    result = total_variation(documents(100, 0), [0.0, 1.0])
    assert result.value == 1
    assert result.high == 1
    assert result.low < 1


def test_distance_without_a_variance_has_no_bounds():
    result = total_variation(documents(1, 0), [0.5, 0.5])
    assert result.value == 0.5
    assert np.isnan(result.low)
    assert np.isnan(result.high)


def test_intended_shares_must_add_up():
    with pytest.raises(ValueError, match="add up to 0"):
        total_variation(documents(1, 1), [0.5, 0.4])


@pytest.mark.parametrize("mixed", [0.0, 0.02, 0.3])
def test_distance_covers_at_and_away_from_its_target(mixed):
    rng = np.random.default_rng(30)
    domain, length, true_value = population(rng, 0.8)
    target = (1 - mixed) * true_value + mixed / len(true_value)
    distance = 0.5 * np.abs(true_value - target).sum()
    covered = []
    for _ in range(150):
        result = total_variation(drawn(rng, domain, length, 3000), target)
        covered.append(result.low <= distance <= result.high)
    assert np.mean(covered) >= 0.92
