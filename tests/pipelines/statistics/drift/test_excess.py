"""The interval of the excess divergence: exact where nothing drifts, and what drift adds to it, against plain sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.statistics.drift.divergence import jensen_shannon
from corpus_audit.pipelines.statistics.drift.excess import (
    LIKE_DOCUMENTS,
    MOST_OF_CHANCE,
    MOST_OF_SQUARE,
    NORMAL_QUANTILE,
    Chance,
    excess_bounds,
    least_ratio,
    unseen_drift,
)
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.influence import drift_variance
from corpus_audit.pipelines.statistics.drift.paired_documents import edited_pairs
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from tests.pipelines.statistics.contrasts import bursty, contrast, document_tokens

TOKENS = 30

POSITIVE = st.floats(1e-6, 1.0)


@settings(deadline=None, max_examples=80)
@given(
    st.floats(-1.0, 1.0),
    POSITIVE,
    POSITIVE,
    st.just(0.0) | POSITIVE,
    st.just(0.0) | st.floats(1e-6, 0.1),
    st.booleans(),
)
def test_bounds_are_where_the_excess_is_just_not_surprising(
    excess: float, above: float, below: float, drift: float, least: float, new_documents: bool
) -> None:
    low, high = excess_bounds(excess, above, below, drift, least, new_documents)
    assert low <= excess <= high
    assert (high < 0) == (excess + below < 0), "nor whether all of it is below 0"
    assert (low > 0) == (excess - above > 0), "whether 0 is within does not depend on what drift would add"
    for bound, chance in ((low, above), (high, below)):
        ratio = drift / max(excess, above / NORMAL_QUANTILE) if excess > 0 else 0.0
        if bound == high:
            ratio = max(ratio, least)
        variance = NORMAL_QUANTILE**2 * ratio * max(bound, 0.0)
        if bound == high and excess > 0 and new_documents:
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


@pytest.mark.parametrize(
    "sizes", [(130, 170, 0, 0), (130, 170, 90, 0), (0, 120, 300, 0), (0, 0, 90, 150), (70, 0, 60, 90)]
)
@pytest.mark.parametrize("clustered", [False, True])
def test_what_drift_adds_is_the_square_of_influences_less_their_noise(
    sizes: tuple[int, int, int, int], clustered: bool
) -> None:
    """Group by group, and pair by pair, from the definition; edited documents are not in clusters."""
    rng = np.random.default_rng(5)
    tilt = np.exp(0.8 * rng.standard_normal(TOKENS))
    counts = [bursty(rng, size, TOKENS, t) for size, t in zip(sizes, (1.0, tilt, 1.0, 1.0), strict=True)]
    edits = sizes[3] > 0
    clustered = clustered and not edits
    snapshots = contrast(*counts[:3], clustered, [rng.integers(64, size=size) for size in sizes[:3]])
    if edits:
        snapshots = with_edits(snapshots, counts[3], rng)
    b, c = (count.astype(float) for count in snapshots.counts)
    t1, t2 = b.sum(), c.sum()
    p, q = b / t1, c / t2
    samples = snapshots.only_baseline, snapshots.only_current, snapshots.shared
    texts, holders = sum(sample.count for sample in samples), sum(sample.documents for sample in samples)
    sets = [
        (sample.groups * first, sample.groups * second)
        for sample, first, second in zip(samples, (1, 0, 1), (0, 1, 1), strict=True)
    ]
    if snapshots.edited is not None:
        versions = snapshots.edited.before, snapshots.edited.current
        texts = texts + (versions[0].count + versions[1].count) / 2
        holders = holders + snapshots.edited.documents
        sets.append((versions[0].groups, versions[1].groups))
    weights = (holders / (p + q) + 20 * texts.sum() / (2 * texts)) / (holders + 20)
    on_first, on_second, one, two, of_set = [], [], [], [], []
    for number, of_sides in enumerate(sets):
        for first, second in zip(*of_sides, strict=True) if sizes[number] else ():
            on_first.append((first - p * first.sum()) / t1)
            on_second.append((second - q * second.sum()) / t2)
            one.append(first.sum() / t1)
            two.append(second.sum() / t2)
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


def with_edits(snapshots: TokenContrast, counts: np.ndarray, rng: np.random.Generator) -> TokenContrast:
    """The same with documents besides of which an edit removes half of the occurrences of three tokens."""
    now = counts.copy()
    now[:, 5:8] = rng.binomial(counts[:, 5:8], 0.5)
    groups = rng.integers(64, size=len(counts))
    pairs = edited_pairs(*(document_tokens(each) for each in (counts, now)), groups, snapshots.tokens)
    return replace(snapshots, edited=pairs)


@pytest.mark.slow
def test_the_variance_of_edits_is_that_of_repeated_draws() -> None:
    divergence, drift = [], []
    for seed in range(150):
        rng = np.random.default_rng([12, seed])
        groups = [rng.integers(64, size=n) for n in (0, 0, 60)]
        stay = contrast(*(bursty(rng, n, TOKENS) for n in (0, 0, 60)), groups=groups)
        snapshots = with_edits(stay, bursty(rng, 200, TOKENS), rng)
        divergence.append(float(jensen_shannon(*snapshots.counts)))
        drift.append(drift_variance(snapshots)[0])
    assert float(np.mean(drift)) == pytest.approx(np.var(divergence), rel=0.35)


def test_what_documents_differ_by_is_taken_for_drift_where_the_influences_are_few() -> None:
    """Draws from independent groups: 4 tr C^2 / tr C of their covariance C, here with two directions."""
    rng = np.random.default_rng(8)
    null = 3.0 * rng.standard_normal(200_000) ** 2 + 1.0 * rng.standard_normal(200_000) ** 2
    chance = Chance(np.zeros((128, 1)), {"jsd": null}, {"jsd": np.array([5.0])}, 0.0)
    assert chance.of_documents == pytest.approx(4 * (9 + 1) / (3 + 1), rel=0.02)
    few, many = least_ratio(chance, 8.0), least_ratio(chance, 1_000.0)
    assert few == pytest.approx(MOST_OF_CHANCE * null.std()), "two directions are few"
    assert many == pytest.approx(LIKE_DOCUMENTS * chance.of_documents * 16 / 1_016)
    assert least_ratio(chance, 5_000.0) == pytest.approx(many * 1_016 / 5_016)


def test_documents_of_one_token_have_no_drift_and_no_chance() -> None:
    lengths = np.random.default_rng(3).integers(1, 9, size=(2, 200, 1))
    summary = drift_summary(contrast(lengths[0], lengths[1]), 99)
    assert (summary.low, summary.high, summary.distances["jsd"].excess) == (0.0, 0.0, 0.0)


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
    above, _ = Chance.of(snapshots, exchange, 199, 1).deviations
    assert summary.distances["jsd"].excess == pytest.approx(excess + (1 - (above / excess) ** 2) * missing, rel=1e-9)
