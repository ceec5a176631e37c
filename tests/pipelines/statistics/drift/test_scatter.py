"""What chance gives to two sides by the groups that are on them, against plain sums over groups."""

from __future__ import annotations

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.drift.excess import Chance
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.scatter import side_noise
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast
from tests.pipelines.statistics.contrasts import bursty, contrast
from tests.pipelines.statistics.drift.test_excess_variance import TOKENS, edited, with_pairs

GREW, SHRANK, UNEVEN = (0, 120, 300), (120, 0, 300), (80, 240, 100)


def made(seed: int, sizes: tuple[int, int, int], pairs: bool = False) -> TokenContrast:
    rng = np.random.default_rng(seed)
    drawn = contrast(*(bursty(rng, size, TOKENS) for size in sizes))
    if not pairs:
        return drawn
    old = bursty(rng, 80, TOKENS)
    return with_pairs(drawn, old, edited(rng, old))


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("sizes", [GREW, SHRANK, UNEVEN])
def test_the_noise_of_the_sides_is_a_sum_over_groups(sizes: tuple[int, int, int], pairs: bool) -> None:
    snapshots = made(1, sizes, pairs)
    exchange = Exchange.of(snapshots)
    draws = exchange.draws(3, 5)
    pool = np.concatenate([exchange.first.groups, exchange.second.groups])
    share = pool.sum(axis=0) / pool.sum()
    texts = pool.sum(axis=0).astype(float) + (2 * snapshots.shared.count if sizes == UNEVEN else 0)
    if pairs:
        assert snapshots.edited is not None
        texts = texts + (snapshots.edited.before.groups + snapshots.edited.current.groups).sum(axis=0) / 2
    weights = texts.sum() / (2 * texts)
    for draw, computed in zip(draws.T, side_noise(snapshots, exchange, draws), strict=True):
        first, second = (float(total[0]) for total in exchange.side_totals(draw[:, None]))
        difference = (1 / first - 1 / second) ** 2
        on_first, on_second = {
            GREW: (difference, 1 / second**2),
            SHRANK: (1 / first**2, difference),
            UNEVEN: (1 / first**2, 1 / second**2),
        }[sizes]
        expected = 0.0
        for side, weight in ((draw[: 2 * GROUPS] > 0, on_first), (draw[: 2 * GROUPS] == 0, on_second)):
            scatter, independent = 0.0, 0.0
            for group in pool[side]:
                n = group.sum()
                scatter += float(((group - share * n) ** 2 * weights).sum()) / (1 - n / pool.sum())
                independent += float((group * weights).sum())
            as_all = pool[side].sum() * float((pool * weights).sum()) / pool.sum()
            expected += scatter / independent * as_all * weight
        assert computed == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sizes", [GREW, SHRANK, UNEVEN])
def test_documents_that_were_added_by_chance_give_the_noise_of_draws(sizes: tuple[int, int, int]) -> None:
    """The groups of those that stayed are larger than the groups of the others, which must make no difference."""
    ratios = []
    for seed in range(80):
        snapshots = made(seed, sizes)
        exchange = Exchange.of(snapshots)
        noise = side_noise(snapshots, exchange, np.concatenate([exchange.draws(40, seed), exchange.observed()], axis=1))
        ratios.append(noise[-1] / noise[:-1].mean())
    assert abs(np.mean(ratios) - 1) < 3 * np.std(ratios) / np.sqrt(len(ratios))


def test_between_sides_of_unlike_size_most_of_chance_is_which_documents_are_on_the_smaller() -> None:
    width = []
    for seed in range(6):
        rng = np.random.default_rng([7, seed])
        before, now = bursty(rng, 100), bursty(rng, 300)
        before[:3] *= 8
        snapshots = contrast(before, now)
        exchange = Exchange.of(snapshots)
        chance = Chance.of(snapshots, exchange, 199, seed)
        width.append(chance.null["jsd"].std() / exchange.permuted(chance.draws)["jsd"].std())
    assert np.mean(width) < 0.8


def test_a_repetitive_document_among_the_added_is_no_drift() -> None:
    """It makes the divergence, and what chance gives to these sides, larger by the same."""
    rng = np.random.default_rng(4)
    kept, added = bursty(rng, 300, TOKENS), bursty(rng, 120, TOKENS)
    plain = drift_summary(contrast(np.zeros((0, TOKENS), int), added, kept), 199)
    added[7] *= 3
    repetitive = drift_summary(contrast(np.zeros((0, TOKENS), int), added, kept), 199)
    before, now = plain.distances["jsd"], repetitive.distances["jsd"]
    assert now.value > before.value  # type: ignore[operator]
    assert now.null_mean > before.null_mean  # type: ignore[operator]
    assert now.p is not None and now.p > 0.05
    assert repetitive.low is not None and repetitive.high is not None
    assert repetitive.low <= 0 <= repetitive.high
    assert now.p == repetitive.distances["jsd_root"].p
