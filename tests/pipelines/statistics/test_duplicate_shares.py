import numpy as np
import pytest

from corpus_audit.pipelines.statistics.intervals.duplicates import duplicate_share


def test_closed_form():
    share, low, high = duplicate_share([200], [1000], [1000])
    reach = np.sqrt(np.log(40) / 2000)
    assert (share[0], low[0], high[0]) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach))


def test_unequal_documents_count_for_fewer():
    # 1,000 documents of 10 tokens and one of 10,000.
    total, squares = 20_000, 1000 * 100 + 10_000**2
    share, low, high = duplicate_share([5000], [total], [squares])
    reach = np.sqrt(np.log(40) / 2 * squares) / total
    assert (low[0], high[0]) == pytest.approx((max(0, share[0] - reach), min(1, share[0] + reach)))


def test_bounds_stay_within_0_and_1_and_nothing_has_no_share():
    share, low, high = duplicate_share([0, 9, 0], [10, 10, 0], [10, 10, 0])
    assert low.tolist()[:2] == [0, pytest.approx(0.9 - np.sqrt(np.log(40) / 20))]
    assert high[1] == 1
    assert np.isnan([share[2], low[2], high[2]]).all()


def test_wide_moments():
    share, low, _ = duplicate_share([10**18], [4 * 10**18], [4 * 10**30])
    assert share[0] == 0.25
    assert low[0] == pytest.approx(0.25 - np.sqrt(np.log(40) / 2 / 4e6))


def test_bounds_hold_the_expected_share():
    rng = np.random.default_rng(6)
    weights = 1 / np.arange(1, 2001)
    weights /= weights.sum()
    documents = 1000
    expected = 1 - (1 - (1 - weights) ** documents).sum() / documents
    held = []
    for _ in range(300):
        distinct = len(np.unique(rng.choice(2000, documents, p=weights)))
        _, low, high = duplicate_share([documents - distinct], [documents], [documents])
        held.append(low[0] <= expected <= high[0])
    assert np.mean(held) >= 0.95
