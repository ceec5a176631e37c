"""Documents that both snapshots hold in two versions: counters, the paired test, the exchange and the decomposition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.drift.divergence import exchange_sums
from corpus_audit.pipelines.statistics.drift.decomposition import decompose
from corpus_audit.pipelines.statistics.drift.exchange import Exchange, statistics_of
from corpus_audit.pipelines.statistics.drift.paired_documents import edited_pairs
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_drift import token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, EditedPairs, TokenContrast
from tests.pipelines.statistics.contrasts import bursty, contrast, document_tokens, sample

TOKENS = 120
NONE = np.zeros((0, TOKENS), dtype=int)


def pairs(before: np.ndarray, current: np.ndarray) -> EditedPairs:
    """Counters of versions given as count matrices [P, K]; pair i is in hash group i modulo 64."""
    tokens = np.arange(before.shape[1], dtype=np.int32)
    return edited_pairs(document_tokens(before), document_tokens(current), np.arange(len(before)) % GROUPS, tokens)


def edited(counts: np.ndarray, rng: np.random.Generator, rate: float = 0.1) -> np.ndarray:
    """Every document with about ``rate`` of its tokens replaced by others of its kind."""
    kept = rng.binomial(counts, 1 - rate)
    lost = counts.sum(axis=1) - kept.sum(axis=1)
    share = (counts + 0.05) / (counts + 0.05).sum(axis=1, keepdims=True)
    return kept + np.array([rng.multinomial(rng.poisson(n), p) for n, p in zip(lost, share, strict=True)])


def with_pairs(made: TokenContrast, before: np.ndarray, current: np.ndarray) -> TokenContrast:
    return replace(made, edited=pairs(before, current))


@given(st.integers(0, 9), st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_counters_are_those_of_the_count_matrices(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, current = rng.poisson(0.7, (2, number, 7))
    made = pairs(before, current)
    n1, n2 = before.sum(axis=1), current.sum(axis=1)
    for counted, expected in ((made.before, sample(before)), (made.current, sample(current))):
        for name in ("count", "documents", "squared", "product", "groups"):
            assert np.array_equal(getattr(counted, name), getattr(expected, name)), name
        assert (counted.total_documents, counted.total_tokens) == (expected.total_documents, expected.total_tokens)
        assert counted.total_squared == expected.total_squared
    assert np.array_equal(made.count_product, (before * current).sum(axis=0))
    assert np.array_equal(made.before_length, n2 @ before)
    assert np.array_equal(made.current_length, n1 @ current)
    assert made.length_product == n1 @ n2
    assert np.array_equal(made.documents, ((before + current) > 0).sum(axis=0))
    p = rng.random(7)
    changes = (current - before) - p * (n2 - n1)[:, None]
    assert made.squared_changes(p) == pytest.approx((changes**2).sum(axis=0), abs=1e-9)


def test_versions_that_do_not_pair_are_refused() -> None:
    one = document_tokens(np.ones((2, 3), int))
    with pytest.raises(ValueError, match="2 and 1 versions of 2 documents"):
        edited_pairs(one, document_tokens(np.ones((1, 3), int)), np.zeros(2, int), np.arange(3, dtype=np.int32))


def test_pairs_of_a_clustered_contrast_are_refused() -> None:
    with pytest.raises(ValueError, match="one cluster"):
        with_pairs(contrast(NONE, NONE, NONE, clustered=True), NONE, NONE)


def test_take_follows_the_order_given() -> None:
    counts = np.random.default_rng(3).poisson(1.0, (6, 5))
    selected = document_tokens(counts).take(np.array([4, 0, 4]))
    expected = document_tokens(counts[[4, 0, 4]])
    assert np.array_equal(selected.ids, expected.ids) and np.array_equal(selected.offsets, expected.offsets)


def test_an_exchange_is_that_of_the_versions_themselves() -> None:
    """The kernel's sums for drawn groups are those of pseudo-sides that are put together document by document."""
    rng = np.random.default_rng(4)
    before, now, shared, old, new = (bursty(rng, 70, TOKENS) for _ in range(5))
    exchange = Exchange.of(with_pairs(contrast(before, now, shared), old, new))
    draws = exchange.draws(5, 1)
    assert draws.shape == (3 * GROUPS, 5)
    statistics = exchange.permuted(draws)
    group = np.arange(70) % GROUPS
    for i, draw in enumerate(draws.T.astype(bool)):
        of_before, of_now, swap = draw[group], draw[GROUPS + group], draw[2 * GROUPS + group]
        first = before[of_before].sum(0) + now[of_now].sum(0) + shared.sum(0) + old[~swap].sum(0) + new[swap].sum(0)
        second = before[~of_before].sum(0) + now[~of_now].sum(0) + shared.sum(0) + new[~swap].sum(0) + old[swap].sum(0)
        p, q = first / first.sum(), second / second.sum()
        assert statistics["tvd"][i] == pytest.approx(np.abs(p - q).sum() / 2, rel=1e-9)
        assert statistics["hellinger"][i] == pytest.approx(
            np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2), rel=1e-7
        )


def test_half_counts_are_exact() -> None:
    """Leaving a pair out takes half the sum and half the difference of its versions from either side."""
    rng = np.random.default_rng(5)
    old, new = rng.poisson(3.0, (2, GROUPS, 20))
    sides = old.sum(axis=0), new.sum(axis=0)
    halves = np.concatenate([(old + new) / 2, (new - old) / 2])
    first, second = sides[0].sum() - old.sum(axis=1), sides[1].sum() - new.sum(axis=1)
    scales = np.stack([1 / first, 1 / second, 1 / first, 1 / second])
    sums = exchange_sums([halves], sides, (-1, -1), np.tile(np.eye(GROUPS), (2, 1)), scales, 1, GROUPS)
    p = (sides[0] - old) / first[:, None]
    q = (sides[1] - new) / second[:, None]
    assert statistics_of(sums)["tvd"] == pytest.approx(np.abs(p - q).sum(axis=1) / 2, rel=1e-9)


def test_edits_of_one_direction_are_found_and_noise_is_not() -> None:
    """As independent documents the versions hide what their edits have in common; as pairs they show it."""
    rng = np.random.default_rng(6)
    old = bursty(rng, 150, TOKENS)
    noise, footers = edited(old, rng, 0.05), edited(old, rng, 0.05)
    footers[:, 40] = np.maximum(footers[:, 40] - 1, 0)
    footers[:, 41] += rng.binomial(1, 0.7, 150)
    shared = bursty(rng, 100, TOKENS)
    found = drift_summary(with_pairs(contrast(NONE, NONE, shared), old, footers), 199)
    assert found.distances["jsd"].p == 1 / 200 and found.low is not None and found.low > 0 and found.note is None
    alone = drift_summary(contrast(old, footers, shared), 199)
    assert alone.low is not None and alone.low < 0 and (alone.distances["jsd"].p or 0) > 0.5
    quiet = drift_summary(with_pairs(contrast(NONE, NONE, shared), old, noise), 199)
    assert quiet.low is not None and quiet.low <= 0
    moved = token_drift(with_pairs(contrast(NONE, NONE, shared), old, footers))
    assert moved.q[41] <= 0.05 and moved.z[41] > 5
    assert not (token_drift(with_pairs(contrast(NONE, NONE, shared), old, noise)).q <= 0.05).any()


@pytest.mark.parametrize("added", [0, 2])
def test_with_edits_alone_0_is_below_the_interval_exactly_if_p_is_at_most_half_of_the_level(added: int) -> None:
    """A few documents that came besides change nothing; where many did, the interval is symmetrical."""
    shown = 0
    for seed in range(16):
        rng = np.random.default_rng([4, seed])
        old, shared = bursty(rng, 80, TOKENS), bursty(rng, 150, TOKENS)
        now = edited(old, rng, 0.05)
        now[:, 40] += rng.binomial(1, 0.12, 80)
        made = with_pairs(contrast(NONE, bursty(rng, added, TOKENS), shared), old, now)
        summary = drift_summary(made, 199, seed)
        p, excess = summary.distances["jsd"].p, summary.distances["jsd"].excess
        assert p is not None and excess is not None and summary.low is not None and summary.high is not None
        assert (summary.low > 0) == (p <= 0.025)
        assert summary.high - excess != pytest.approx(excess - summary.low, rel=1e-6)
        shown += summary.low > 0
    assert 0 < shown < 16, "both happen"
    many = drift_summary(with_pairs(contrast(NONE, bursty(rng, 30, TOKENS), shared), old, now), 199)
    assert many.low is not None and many.high is not None
    excess = many.distances["jsd"].excess
    assert excess is not None and (many.low > 0 or many.high - excess == pytest.approx(excess - many.low, rel=1e-6))


def test_few_added_documents_stay_where_they_are_and_edits_are_tested() -> None:
    rng = np.random.default_rng(7)
    old = bursty(rng, 150, TOKENS)
    made = with_pairs(contrast(NONE, bursty(rng, 9, TOKENS), bursty(rng, 300, TOKENS)), old, edited(old, rng))
    summary = drift_summary(made, 199)
    assert summary.distances["jsd"].p is not None and summary.reason is None
    assert summary.note is not None and summary.note.startswith("0 removed and 9 added documents stay")
    few = drift_summary(with_pairs(contrast(NONE, NONE, bursty(rng, 50, TOKENS)), old[:5], edited(old[:5], rng)), 199)
    assert few.distances["jsd"].p is None and few.reason is not None and "too few edited documents" in few.reason


def test_z_of_pairs_alone_is_the_paired_test() -> None:
    """sum_i d_i / sqrt(sum_i d_i^2), d_i what edit i changes, where the sides are of one size; made pair by pair."""
    rng = np.random.default_rng(8)
    old = bursty(rng, 80, TOKENS)
    new = np.array([rng.multinomial(row.sum(), (row + 0.05) / (row + 0.05).sum()) for row in old])
    d = new - old  # the lengths are the same
    drift = token_drift(with_pairs(contrast(NONE, NONE, NONE), old, new))
    tested = ~np.isnan(drift.z)
    assert tested.sum() > 50
    assert drift.z[tested] == pytest.approx((d.sum(axis=0) / np.sqrt((d**2).sum(axis=0)))[tested], rel=1e-6)
    inside = (drift.low <= drift.log2_ratio) & (drift.log2_ratio <= drift.high)
    assert inside[tested & (drift.count_baseline > 0) & (drift.count_current > 0)].all()


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_edits_added_and_removed_add_up_to_the_content(seed: int) -> None:
    rng = np.random.default_rng(seed)
    contrasts, before, current = [], np.zeros(9), np.zeros(9)
    for _ in range(3):
        gone, new, shared, old, edit = (rng.poisson(rng.choice([0.0, 0.5, 3.0]), (2, 9)) for _ in range(5))
        contrasts.append(with_pairs(contrast(gone, new, shared), old, edit))
        before += (gone + shared + old).sum(axis=0)
        current += (new + shared + edit).sum(axis=0)
    if not before.any() or not current.any():
        return
    split = decompose(before, current, contrasts)
    assert split.mixture + split.content == pytest.approx(split.total, abs=1e-13)
    both = [all(side.any() for side in made.counts) for made in contrasts]
    assert split.edits + split.added + split.removed == pytest.approx(split.content, abs=1e-13) or not all(both)
    if all(both):
        for domain in split.domains:
            parts = domain.edits, domain.added, domain.removed
            assert sum(np.nan_to_num(part.attribution) for part in parts) == pytest.approx(
                np.nan_to_num(domain.content.attribution), abs=1e-9
            )


def test_what_edits_did_is_not_put_down_to_added_documents() -> None:
    rng = np.random.default_rng(9)
    old, shared = bursty(rng, 60, TOKENS), bursty(rng, 60, TOKENS)
    new = old.copy()
    new[:, 30] = 0
    made = with_pairs(contrast(NONE, NONE, shared), old, new)
    split = decompose(*made.counts, [made])
    assert split.overall.edits.attribution == pytest.approx(1)
    assert split.overall.added.tvd == split.overall.removed.tvd == 0
    assert split.overall.edits.top_tokens[0] == 30


@pytest.mark.slow
@pytest.mark.parametrize("plan", [(0, 0, 0, 200), (80, 80, 80, 80), (0, 100, 100, 100), (0, 9, 300, 60)])
def test_noise_is_rejected_as_often_as_said(plan: tuple[int, int, int, int]) -> None:
    p, covered, tested, rejected, discoveries = [], 0, 0, 0, 0
    for replicate in range(60):
        rng = np.random.default_rng([*plan, replicate])
        removed, added, shared, versions = (bursty(rng, size, TOKENS) for size in plan)
        made = with_pairs(contrast(removed, added, shared), edited(versions, rng), edited(versions, rng))
        summary = drift_summary(made, 99, seed=replicate)
        assert summary.low is not None and summary.high is not None
        p.append(summary.distances["jsd"].p)
        covered += summary.low <= 0 <= summary.high
        drift = token_drift(made, 0.0)
        z = drift.z[~np.isnan(drift.z)]
        tested, rejected = tested + len(z), rejected + int((np.abs(z) > 1.96).sum())
        discoveries += bool((token_drift(made).q <= 0.05).any())
    assert (np.array(p, float) <= 0.05).mean() <= 0.15  # 60 draws: 3 expected, 9 have probability 0.002
    assert covered >= 51
    assert 0.03 <= rejected / tested <= 0.07
    assert discoveries <= 9
