"""Variance that drift adds where documents were edited, against plain sums over documents, and the draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.drift.divergence import jensen_shannon
from corpus_audit.pipelines.statistics.drift.excess import Chance
from corpus_audit.pipelines.statistics.drift.excess_variance import Arrangement, drift_variance, jackknife_variance
from corpus_audit.pipelines.statistics.drift.exchange import EXACT, Exchange
from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens, edited_pairs
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast
from tests.pipelines.statistics.contrasts import bursty, contrast

TOKENS = 30
NONE = np.zeros((0, TOKENS), int)


def edited(rng: np.random.Generator, counts: np.ndarray, part: float = 0.2) -> np.ndarray:
    """The documents with a part of their tokens gone and others in their place."""
    gone = rng.binomial(counts, part)
    return counts - gone + np.array([rng.multinomial(n, np.full(TOKENS, 1 / TOKENS)) for n in gone.sum(axis=1)])


def with_pairs(made: TokenContrast, before: np.ndarray, now: np.ndarray) -> TokenContrast:
    def tokens(counts: np.ndarray) -> DocumentTokens:
        offsets = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
        return DocumentTokens(np.concatenate([np.repeat(np.arange(TOKENS), row) for row in counts]), offsets)

    groups = np.arange(len(before)) % GROUPS
    pairs = edited_pairs(tokens(before), tokens(now), groups, np.arange(TOKENS, dtype=np.int32))
    return replace(made, edited=pairs)


SIZES = {"both": (150, 170, 90), "append-only": (0, 120, 300), "removed only": (120, 0, 300)}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("pairs", [False, True])
def test_an_arrangement_holds_what_the_permutation_exchanges(sizes: tuple[int, int, int], pairs: bool) -> None:
    rng = np.random.default_rng(1)
    made = contrast(*(bursty(rng, size, TOKENS) for size in sizes))
    if pairs:
        old = bursty(rng, 80, TOKENS)
        made = with_pairs(made, old, edited(rng, old))
    exchange = Exchange.of(made)
    draws = exchange.draws(3, 5)
    jsd = exchange.permuted(draws)["jsd"]
    for draw, expected in zip(draws.T, jsd, strict=True):
        sides = Arrangement.drawn(made, exchange, draw)
        assert float(jensen_shannon(sides.baseline, sides.current)) == pytest.approx(expected, rel=1e-9)
        assert sides.sets is not None
        alone, other, both = (groups.sum(axis=0) for groups in sides.sets)
        stay = 0 if not pairs else made.edited.before.count + made.edited.current.count  # type: ignore[union-attr]
        assert np.array_equal(sides.baseline + sides.current, alone + other + 2 * both + stay)


def test_without_noise_it_is_the_jackknife_of_the_divergence() -> None:
    """(G - 1) / G sum (D_g - mean)^2, each set of documents by itself, groups left out document by document."""
    rng = np.random.default_rng(2)
    parts = [bursty(rng, size, TOKENS) for size in (150, 170, 90)]
    old = bursty(rng, 80, TOKENS)
    new = edited(rng, old)
    made = with_pairs(contrast(*parts), old, new)
    b, c = made.counts
    expected = 0.0
    for counts, first, second in ((parts[0], 1, 0), (parts[1], 0, 1), (parts[2], 1, 1)):
        left = [counts[np.arange(len(counts)) % GROUPS == g].sum(axis=0) for g in range(GROUPS)]
        values = np.array([float(jensen_shannon(b - first * x, c - second * x)) for x in left])
        expected += (GROUPS - 1) / GROUPS * ((values - values.mean()) ** 2).sum()
    half = [((new - old)[np.arange(80) % GROUPS == g]).sum(axis=0) / 2 for g in range(GROUPS)]
    values = np.array([float(jensen_shannon(b + x, c - x)) for x in half])
    expected += (GROUPS - 1) / GROUPS * ((values - values.mean()) ** 2).sum()
    assert jackknife_variance(made, Exchange.of(made), 0.0) == pytest.approx(expected, rel=1e-6)


def test_what_stays_has_a_part_only_together_with_edits() -> None:
    """Where versions alone are exchanged: edits, and half of D less D with every version exchanged."""
    rng = np.random.default_rng(3)
    old, added, shared = (bursty(rng, size, TOKENS) for size in (100, 9, 200))
    new = edited(rng, old)
    made = with_pairs(contrast(NONE, added, shared), old, new)
    exchange = Exchange.of(made).with_versions_alone(made)
    sides = Arrangement.of(made, exchange)
    assert sides.sets is None and sides.versions is not None
    assert Arrangement.of(made, Exchange.of(made).without_versions()).versions is None
    b, c = made.counts
    half = [(new - old)[np.arange(100) % GROUPS == g].sum(axis=0) / 2 for g in range(GROUPS)]
    values = np.array([float(jensen_shannon(b + x, c - x)) for x in half])
    expected = (GROUPS - 1) / GROUPS * ((values - values.mean()) ** 2).sum()
    change = (new - old).sum(axis=0)
    parts = [
        [counts[np.arange(len(counts)) % GROUPS == g].sum(axis=0) for g in range(GROUPS)] for counts in (added, shared)
    ]
    versions = [[counts[np.arange(100) % GROUPS == g].sum(axis=0) for g in range(GROUPS)] for counts in (old, new)]
    parts.append([np.minimum(b, c) for b, c in zip(*versions, strict=True)])  # what edits leave as it is
    for left, first in zip(parts, (0, 1, 1), strict=True):
        asis = np.array([float(jensen_shannon(b - first * x, c - x)) for x in left])
        swapped = np.array([float(jensen_shannon(b + change - first * x, c - change - x)) for x in left])
        cross = (asis - swapped) / 2
        expected += (GROUPS - 1) / GROUPS * ((cross - cross.mean()) ** 2).sum()
    assert jackknife_variance(made, exchange, 0.0) == pytest.approx(expected, rel=1e-6)


def test_drift_is_most_of_the_jackknife_where_there_is_any() -> None:
    rng = np.random.default_rng(4)
    tilt = np.exp(0.8 * rng.standard_normal(TOKENS))
    for now, drifts in ((bursty(rng, 200, TOKENS), False), (bursty(rng, 200, TOKENS, tilt), True)):
        made = contrast(bursty(rng, 200, TOKENS), now, NONE)
        exchange = Exchange.of(made)
        chance = Chance.of(made, exchange, 99, 1)
        null, observed = chance.null["jsd"], float(chance.observed["jsd"][0])
        noise = float(null.mean())
        drift, _ = drift_variance(made, exchange, chance.draws, null, observed, noise, 0.0)
        jackknife = jackknife_variance(made, exchange, noise)
        assert 0 <= drift <= jackknife
        if drifts:
            assert drift > jackknife / 3 and drift > 3 * null.var()


def test_chance_is_compared_with_chance_of_the_same_size() -> None:
    """A divergence that chance makes large has a large jackknife, and so have pseudo-sides that are as far apart."""
    rng = np.random.default_rng(8)
    made = contrast(*(bursty(rng, size, TOKENS) for size in (100, 100)))
    exchange = Exchange.of(made)
    draws = exchange.draws(399, 1)
    null = exchange.permuted(draws)["jsd"]
    noise = float(null.mean())
    by_size = np.argsort(null)
    small, large = (
        np.mean([jackknife_variance(made, exchange, noise, draws[:, i]) for i in some])
        for some in (by_size[:20], by_size[-20:])
    )
    assert large > 1.5 * small
    far = by_size[-8]
    own = jackknife_variance(made, exchange, noise)
    pseudo = np.mean([jackknife_variance(made, exchange, noise, draws[:, i]) for i in by_size[[-8, -7]]])
    between = float((null[far] + null[by_size[-7]]) / 2)
    expected = max(own - pseudo, 0.0)
    assert drift_variance(made, exchange, draws, null, between, noise, 0.0)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sizes", [(0, 150, 420), (150, 450, 0), (100, 100, 0)])
def test_draws_have_the_size_of_the_side_and_prefer_no_group(sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(6)
    exchange = Exchange.of(contrast(*(bursty(rng, size, TOKENS) for size in sizes)))
    draws = exchange.draws(2_000, 1)
    first, second = exchange.sizes[:GROUPS].sum(), exchange.sizes[GROUPS:].sum()
    smaller = min(first, second)
    drawn = exchange.sizes @ draws
    assert np.abs(drawn - first).max() <= EXACT * smaller * (1 + 1e-9)
    order = np.argsort(exchange.sizes)[(exchange.sizes == 0).sum() :]
    share = first / (first + second)
    longest, shortest = draws[order[-20:]].mean(), draws[order[:20]].mean()
    assert longest == pytest.approx(share, abs=0.03) and shortest == pytest.approx(share, abs=0.03)
    assert np.array_equal(draws, exchange.draws(2_000, 1))


@pytest.mark.slow
@pytest.mark.parametrize("plan", [(150, 150, 150, 0), (0, 150, 400, 0), (0, 9, 200, 100), (0, 0, 0, 150)])
def test_intervals_of_nulls_hold_0_as_often_as_said(plan: tuple[int, int, int, int]) -> None:
    """At most 19 of 20: an interval that always holds the truth is wider than it need be."""
    covered, replicates, length = 0, 120, 0.0
    excess = []
    for replicate in range(replicates):
        rng = np.random.default_rng([*plan, replicate])
        removed, added, shared, versions = (bursty(rng, size, TOKENS) for size in plan)
        made = contrast(removed, added, shared)
        if len(versions):
            made = with_pairs(made, edited(rng, versions), edited(rng, versions))
        summary = drift_summary(made, 99, seed=replicate)
        assert summary.low is not None and summary.high is not None
        covered += summary.low <= 0 <= summary.high
        length += (summary.high - summary.low) / replicates
        excess.append(summary.distances["jsd"].excess)
    assert covered >= 104  # of 120 at 95 %, fewer have probability 0.0004
    deviation = float(np.std(excess))
    assert 0.8 < length / 2 / 1.96 / deviation < 1.5
