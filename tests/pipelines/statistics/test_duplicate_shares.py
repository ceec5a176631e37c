import numpy as np
import pytest
from scipy import stats

from corpus_audit.pipelines.statistics.intervals.duplicates import _rates, duplicate_share


def test_closed_form():
    share, low, high = duplicate_share([400], [1000], [1000])
    reach = np.sqrt(np.log(40) / 2000)
    assert (share[0], low[0], high[0]) == pytest.approx((0.4, 0.4 - reach, 0.4 + reach))


def test_unequal_documents_count_for_fewer():
    # 1,000 documents of 10 tokens and one of 10,000.
    total, squares = 20_000, 1000 * 100 + 10_000**2
    share, low, high = duplicate_share([9000], [total], [squares])
    reach = np.sqrt(np.log(40) / 2 * squares) / total
    assert (low[0], high[0]) == pytest.approx((max(0, share[0] - reach), min(1, share[0] + reach)), abs=0.02)
    assert low[0] >= share[0] - reach and high[0] <= share[0] + reach


def test_bounds_stay_within_0_and_1_and_nothing_has_no_share():
    share, low, high = duplicate_share([0, 9, 0], [10, 10, 0], [10, 10, 0])
    assert low.tolist()[:2] == [0, pytest.approx(0.9 - np.sqrt(np.log(40) / 20))]
    assert high[1] == 1
    assert np.isnan([share[2], low[2], high[2]]).all()


def test_wide_moments():
    share, low, _ = duplicate_share([10**18], [4 * 10**18], [4 * 10**30])
    assert share[0] == 0.25
    assert low[0] == pytest.approx(0.25 - np.sqrt(np.log(40) / 2 / 4e6))


@pytest.mark.parametrize("documents", [30, 236, 10_000])
def test_no_duplicates_at_all_leave_hardly_more_than_they_have_to(documents):
    # The worst source: one text of probability p, all others unique. None is seen with probability
    # (1 - p)^n + n p (1 - p)^(n - 1), which is 2.5 % where n p - 1 + (1 - p)^n are expected.
    p = np.linspace(1, 20, 20_000) / documents
    p = p[p < 1]
    none = stats.binom.pmf(0, documents, p) + stats.binom.pmf(1, documents, p)
    expected = (documents * p - 1 + (1 - p) ** documents) / documents
    needed = expected[none >= 0.025].max()
    _, low, high = duplicate_share([0], [documents], [documents])
    assert low[0] == 0 and needed <= high[0] <= 1.15 * needed
    assert high[0] == pytest.approx(4.6858 / documents, rel=1e-3)
    # Clopper and Pearson's bound would be wrong more often than it may be.
    exact = stats.beta.ppf(0.975, 1, documents)
    assert exact < needed < 1.35 * exact


def test_few_duplicates_have_bounds_like_exact_ones_and_never_narrower():
    for duplicates, documents in ((1, 236), (5, 236), (24, 236), (739, 7239)):
        _, low, high = duplicate_share([duplicates], [documents], [documents])
        exact_low = stats.beta.ppf(0.025, duplicates, documents - duplicates + 1)
        exact_high = stats.beta.ppf(0.975, duplicates + 1, documents - duplicates)
        share = duplicates / documents
        assert low[0] <= exact_low and high[0] >= exact_high
        assert high[0] - share <= 2 * (exact_high - share)


@pytest.mark.parametrize("documents", [2, 3, 5, 17, 236])
def test_a_multinomial_count_is_less_extreme_than_the_poisson_one_of_the_rates(documents):
    p = np.geomspace(0.01 / documents, 1 - 1e-9, 500)
    counts = np.arange(documents + 1)
    repeats = np.maximum(counts - 1, 0)
    mass = stats.binom.pmf(counts[None, :], documents, p[:, None])
    mean = mass @ repeats
    s, falling, rising = _rates()
    for k in range(0, len(s), 20):
        if s[k] < 0.01:  # where both are s times the mean but for rounding
            continue
        assert (-np.log(mass @ np.exp(-s[k] * repeats)) / mean).min() >= falling[k] * (1 - 1e-6)
        if s[k] <= 2.0:
            assert (np.log(mass @ np.exp(s[k] * repeats)) / mean).max() <= rising[k] * (1 + 1e-6)


def zipf(texts: int) -> np.ndarray:
    weights = 1 / np.arange(1, texts + 1)
    return weights / weights.sum()


def rare(documents: int, copies: float) -> np.ndarray:
    """One text that is expected so often, and others that hardly repeat."""
    others = 1000 * documents
    return np.concatenate([[copies / documents], np.full(others, (1 - copies / documents) / others)])


SOURCES = {
    "Zipf": (zipf(2000), 1000),
    "few texts": (np.full(50, 0.02), 236),
    "one text, 5 times": (rare(236, 5.0), 236),
    "one text, twice": (rare(236, 2.0), 236),
    "pairs": (np.full(20_000, 1 / 20_000), 236),
}


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_each_bound_is_wrong_in_at_most_one_of_forty_cases(source):
    weights, documents = SOURCES[source]
    expected = 1 - (1 - (1 - weights) ** documents).sum() / documents
    rng = np.random.default_rng(6)
    distinct = [len(np.unique(rng.choice(len(weights), documents, p=weights))) for _ in range(2000)]
    repeats = documents - np.array(distinct)
    size = np.full(len(repeats), documents)
    _, low, high = duplicate_share(repeats, size, size)
    assert (low > expected).mean() <= 0.03 and (high < expected).mean() <= 0.03
    assert 0.5 * np.mean(high - low) < 0.1


@pytest.mark.slow
def test_the_bounds_in_tokens_hold_where_lengths_and_copies_are_independent():
    rng = np.random.default_rng(7)
    weights = np.concatenate([np.full(300, 0.1 / 300), np.full(100_000, 0.9 / 100_000)])
    wrong = []
    shares = []
    for _ in range(800):
        lengths = rng.lognormal(5, 1, len(weights)).astype(int) + 1
        texts = rng.choice(len(weights), 1000, p=weights)
        _, first = np.unique(texts, return_index=True)
        sizes = lengths[texts]
        repeated = sizes.sum() - sizes[first].sum()
        shares.append((repeated / sizes.sum(), duplicate_share([repeated], [sizes.sum()], [int((sizes**2).sum())])))
    expected = np.mean([share for share, _ in shares])
    wrong = [not low[0] <= expected <= high[0] for _, (_, low, high) in shares]
    assert np.mean(wrong) <= 0.05
