import numpy as np
import pytest

from corpus_audit.embeddings.index.rates import QUANTILES, dead_bound, firing_rates, quantile, rates


def test_a_case_by_hand():
    """Two thirds of the groups fire on every second token, the others never."""
    tokens = np.full(16, 10.0)
    sums = np.tile([5.0, 5.0, 0.0, 5.0], 4)[:, None]
    result = rates(sums, tokens)
    assert result.value[0] == pytest.approx(60 / 160)
    residuals = sums[:, 0] - 0.375 * tokens
    deviation = np.sqrt((residuals**2).sum()) / 150  # without a group, 150 tokens are left
    assert result.low[0] == pytest.approx(0.375 - QUANTILES[15] * deviation, rel=1e-6)
    assert result.high[0] == pytest.approx(0.375 + QUANTILES[15] * deviation, rel=1e-6)


def test_the_quantiles_are_students():
    from scipy.stats import t

    assert {n: pytest.approx(t.ppf(0.975, n), abs=1e-6) for n in range(1, 16)} == QUANTILES


def test_groups_without_tokens_take_degrees_of_freedom():
    tokens = np.where(np.arange(16) < 8, 10.0, 0.0)
    sums = np.where(np.arange(16) % 2 == 0, 4.0, 2.0)[:, None] * (tokens > 0)[:, None]
    result = rates(sums, tokens)
    deviation = np.sqrt(8 * 1.0) / 70
    assert result.degrees == pytest.approx(7)
    assert result.high[0] - result.value[0] == pytest.approx(QUANTILES[7] * deviation)


def test_a_group_with_half_of_the_tokens_takes_degrees_of_freedom():
    tokens = np.array([150.0] + [10.0] * 15)
    sums = np.random.default_rng(2).normal(size=(16, 4)) * np.sqrt(tokens)[:, None]
    result = rates(sums, tokens)
    left_out = [(sums.sum(axis=0) - sums[g]) / (300 - tokens[g]) - result.value for g in range(16)]
    deviation = np.sqrt((np.array(left_out) ** 2).sum(axis=0))
    assert 2 < result.degrees < 2.5
    np.testing.assert_allclose(result.high - result.value, quantile(result.degrees) * deviation, rtol=1e-9)


def test_too_few_groups_have_no_interval():
    tokens = np.zeros(16)
    tokens[:7] = 10
    result = rates(np.ones((16, 2)) * (tokens > 0)[:, None], tokens)
    assert result.value.tolist() == pytest.approx([0.1, 0.1]) and np.isnan(result.low).all()
    assert np.isnan(rates(np.zeros((16, 1)), np.zeros(16)).value).all()


def test_intervals_cover():
    """Documents dealt into groups; clustered draws of a rate of 20 %."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        tokens, sums = np.zeros(16), np.zeros((16, 1))
        for document in range(320):
            rate = rng.beta(2, 8)
            n = rng.integers(20, 60)
            tokens[document % 16] += n
            sums[document % 16, 0] += rng.binomial(n, rate)
        result = rates(sums, tokens)
        held += result.low[0] <= 0.2 <= result.high[0]
    assert 0.92 <= held / 400 <= 0.98


def test_a_unit_that_never_fired_may_yet_fire_on_a_small_share() -> None:
    fired = np.zeros((16, 2), np.int64)
    fired[:, 1] = 10
    tokens = np.full(16, 10, np.int64)
    result = firing_rates(fired, tokens, documents=30)
    assert result.value.tolist() == [0, 1] and result.low.tolist() == [0, 1]
    assert result.high.tolist() == [dead_bound(30), 1]
    few = firing_rates(fired[:3], tokens[:3], documents=3)
    assert np.isnan(few.low).all() and np.isnan(few.high).all()
