"""The interval of the excess divergence: exact where nothing drifts, and what drift adds to it, against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.statistics.drift.divergence import jensen_shannon
from corpus_audit.pipelines.statistics.drift.excess import (
    MOST_OF_SQUARE,
    NORMAL_QUANTILE,
    Chance,
    excess_bounds,
    unseen_drift,
)
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.influence import drift_variance
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from tests.pipelines.statistics.contrasts import bursty, contrast

TOKENS = 30

POSITIVE = st.floats(1e-6, 1.0)


@settings(deadline=None, max_examples=80)
@given(st.floats(-1.0, 1.0), POSITIVE, POSITIVE, st.just(0.0) | POSITIVE)
def test_bounds_are_where_the_excess_is_just_not_surprising(
    excess: float, above: float, below: float, drift: float
) -> None:
    low, high = excess_bounds(excess, above, below, drift)
    assert low <= excess <= high
    assert (low > 0) == (excess - above > 0), "whether 0 is within does not depend on what drift would add"
    for bound, chance in ((low, above), (high, below)):
        variance = (
            NORMAL_QUANTILE**2 * drift * max(bound, 0.0) / max(excess, above / NORMAL_QUANTILE) if excess > 0 else 0
        )
        if bound == high and excess > 0:
            part = min(NORMAL_QUANTILE**2 * drift / max(excess, above) ** 2, MOST_OF_SQUARE)
            variance = max(variance, part * bound**2)
        assert (excess - bound) ** 2 == pytest.approx(chance**2 + variance, rel=1e-6, abs=1e-9)


def test_0_is_below_the_interval_exactly_if_p_is_at_most_half_of_the_level() -> None:
    shown = 0
    for seed in range(40):
        rng = np.random.default_rng([3, seed])
        tilt = np.exp(0.08 * rng.standard_normal(TOKENS))
        snapshots = contrast(bursty(rng, 90, TOKENS), bursty(rng, 150, TOKENS, tilt))
        chance = Chance.of(snapshots, Exchange.of(snapshots), 199, seed)
        p = (1 + chance.reached("jsd")) / 200
        low, high = excess_bounds(chance.excess, *chance.deviations, drift=0.01)
        assert (low > 0) == (p <= 0.025)
        shown += low > 0
        if p > 0.98:
            assert high < 0
    assert 5 < shown < 35, "both happen"


@pytest.mark.parametrize("sizes", [(130, 170, 0), (130, 170, 90), (0, 120, 300)])
@pytest.mark.parametrize("clustered", [False, True])
def test_what_drift_adds_is_the_square_of_influences_less_their_noise(
    sizes: tuple[int, int, int], clustered: bool
) -> None:
    """Group by group, and pair by pair, from the definition."""
    rng = np.random.default_rng(5)
    tilt = np.exp(0.8 * rng.standard_normal(TOKENS))
    counts = [bursty(rng, size, TOKENS, t) for size, t in zip(sizes, (1.0, tilt, 1.0), strict=True)]
    snapshots = contrast(*counts, clustered, [rng.integers(64, size=size) for size in sizes])
    b, c = (count.astype(float) for count in snapshots.counts)
    t1, t2 = b.sum(), c.sum()
    p, q = b / t1, c / t2
    samples = snapshots.only_baseline, snapshots.only_current, snapshots.shared
    texts, holders = sum(sample.count for sample in samples), sum(sample.documents for sample in samples)
    weights = (holders / (p + q) + 20 * texts.sum() / (2 * texts)) / (holders + 20)
    on_first, on_second, one, two, of_set = [], [], [], [], []
    for number, (sample, first, second) in enumerate(
        ((snapshots.only_baseline, 1, 0), (snapshots.only_current, 0, 1), (snapshots.shared, 1, 1))
    ):
        for group in sample.groups if sample.total_documents else ():
            n = group.sum()
            on_first.append(first * (group - p * n) / t1)
            on_second.append(second * (group - q * n) / t2)
            one.append(first * n / t1)
            two.append(second * n / t2)
            of_set.append(number)
    added = [y2 - y1 for y1, y2 in zip(on_first, on_second, strict=True)]
    both = sum((y1 * y1) @ weights for y1 in on_first)
    mixed = sum((y1 * y2) @ weights for y1, y2 in zip(on_first, on_second, strict=True))
    other = sum((y2 * y2) @ weights for y2 in on_second)
    influence, terms = np.zeros(len(added)), np.zeros(len(added))
    for g, y in enumerate(added):
        rest = (q - p) - y
        influence[g] = (y * rest) @ weights + two[g] * (other - mixed) - one[g] * (mixed - both)
        terms[g] = influence[g] ** 2
        for h, z in enumerate(added):
            if h != g:  # each is compared with shares that the other is part of
                chance = -two[h] * ((y * on_second[g]) @ weights) + one[h] * ((y * on_first[g]) @ weights)
                chance += -two[g] * ((z * on_second[h]) @ weights) + one[g] * ((z * on_first[h]) @ weights)
                chance += two[g] * two[h] * other + one[g] * one[h] * both
                chance -= (two[g] * one[h] + one[g] * two[h]) * mixed
                terms[g] -= ((y * z) @ weights - chance) ** 2
    expected = 0.0
    for number, size in enumerate(sizes):
        inside = np.array(of_set) == number
        if size:
            expected += (terms[inside].sum() - influence[inside].sum() ** 2 / 64) * 64 / 63
            expected -= 0 if clustered else influence[inside].sum() ** 2 / size
    assert expected > 0
    about = [(influence[np.array(of_set) == n] - influence[np.array(of_set) == n].mean()) ** 2 for n in set(of_set)]
    spread = sum(float(((squares - squares.mean()) ** 2).sum()) for squares in about)
    variance, freedom = drift_variance(snapshots)
    assert variance == pytest.approx(expected / (2 * np.log(2)) ** 2, rel=1e-9)
    assert freedom == pytest.approx(max(2 * expected**2 / spread, 8.0), rel=1e-9)
    assert freedom < 64 * len(about)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(200, 200, 0), (60, 60, 300), (0, 100, 300)])
def test_the_variance_is_that_of_repeated_draws(sizes: tuple[int, int, int]) -> None:
    """Numbers of documents are the same in every draw, their lengths and tokens are not."""
    tilt = np.exp(0.7 * np.random.default_rng(1).standard_normal(TOKENS))
    divergence, drift = [], []
    for seed in range(150):
        rng = np.random.default_rng([11, seed])
        before, now, shared = (bursty(rng, n, TOKENS, t) for n, t in zip(sizes, (1.0, tilt, 1.0), strict=True))
        groups = [rng.integers(64, size=n) for n in sizes]
        snapshots = contrast(before, now, shared, groups=groups)
        divergence.append(float(jensen_shannon(*snapshots.counts)))
        drift.append(drift_variance(snapshots)[0])
    # With so few tokens chance adds little: the variance of the divergence is nearly all of it by drift.
    assert float(np.mean(drift)) == pytest.approx(np.var(divergence), rel=0.35)


def test_rare_tokens_hide_drift_from_halves_more_than_from_all() -> None:
    rng = np.random.default_rng(2)
    tokens = 3_000
    tilt = np.exp(0.9 * rng.standard_normal(tokens))
    snapshots = contrast(bursty(rng, 150, tokens), bursty(rng, 150, tokens, tilt))
    exchange = Exchange.of(snapshots)
    excess = Chance.of(snapshots, exchange, 199, 1).excess
    missing = unseen_drift(snapshots, exchange, excess, 1)
    assert 0 < missing < 0.2 * excess
    assert missing == unseen_drift(snapshots, exchange, excess, 1)
    summary = drift_summary(snapshots, 199, 1)
    assert summary.distances["jsd"].excess == pytest.approx(excess + missing, rel=1e-9)
