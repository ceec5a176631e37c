"""Permutation of hash groups: p-values, bounds, overlap, and samples that are too small."""

from __future__ import annotations

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.permutation import STATISTICS, drift_summary
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from corpus_audit.schemas.tables.drift_tables import EVEN_COPIES

TOKENS = 60


def sample(rng: np.random.Generator, documents: int, shares: np.ndarray | None = None) -> TokenSample:
    """Bursty documents of 50 to 150 tokens (Dirichlet-multinomial)."""
    shares = np.full(TOKENS, 1 / TOKENS) if shares is None else shares / shares.sum()
    lengths = rng.integers(50, 150, documents)
    counts = np.array([rng.multinomial(n, rng.dirichlet(40 * shares)) for n in lengths]).reshape(documents, TOKENS)
    groups = np.zeros((GROUPS, TOKENS), np.int64)
    np.add.at(groups, rng.integers(0, GROUPS, documents), counts)
    n = counts.sum(axis=1)
    return TokenSample(
        counts.sum(axis=0).astype(np.int64),
        (counts > 0).sum(axis=0).astype(np.int64),
        (counts**2).sum(axis=0).astype(float),
        (counts * n[:, None]).sum(axis=0).astype(float),
        groups,
        documents,
        int(counts.sum()),
        float((n**2).sum()),
    )


def contrast(
    rng: np.random.Generator, one: int, two: int, shared: int, moved: np.ndarray | None = None
) -> TokenContrast:
    sides = sample(rng, one), sample(rng, two, moved), sample(rng, shared)
    return TokenContrast(np.arange(TOKENS, dtype=np.int32), *sides)


def test_the_same_for_any_number_of_workers_and_never_0() -> None:
    made = contrast(np.random.default_rng(1), 200, 200, 200, np.arange(1.0, TOKENS + 1))
    one, two = (drift_summary(made, 199, workers=workers) for workers in (1, 3))
    assert one == two
    assert {distance.p for distance in one.distances.values()} == {1 / 200}
    assert one.low is not None and one.low > 0
    assert list(one.distances) == list(STATISTICS)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(300, 300, 0), (150, 450, 0), (300, 300, 300), (60, 60, 540), (0, 200, 400)])
def test_nulls_are_not_rejected_more_often_than_said(sizes: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    found = [drift_summary(contrast(rng, *sizes), 99) for _ in range(60)]
    p = np.array([summary.distances["jsd"].p for summary in found], float)
    assert (p <= 0.05).mean() <= 0.15  # 60 draws: 3 expected, 9 have probability 0.002
    assert 0.3 < p.mean() < 0.7
    covered = [
        summary.low is not None and summary.high is not None and summary.low <= 0 <= summary.high for summary in found
    ]
    assert np.mean(covered) >= 0.85


def test_identical_snapshots() -> None:
    summary = drift_summary(contrast(np.random.default_rng(2), 0, 0, 100), 99)
    assert summary.distances["jsd"].value == 0 and summary.distances["jsd"].p == 1
    assert (summary.low, summary.high) == (0.0, 0.0)
    assert summary.reason is not None and "same documents" in summary.reason


def test_too_few_documents_are_insufficient() -> None:
    summary = drift_summary(contrast(np.random.default_rng(3), 5, 5, 0), 99)
    assert summary.low is None and summary.high is None and summary.distances["jsd"].p is None
    assert summary.reason is not None and "too few" in summary.reason


def test_a_side_without_tokens_has_no_distance() -> None:
    summary = drift_summary(contrast(np.random.default_rng(4), 0, 50, 0), 99)
    assert summary.distances["jsd"].value is None
    assert summary.reason is not None and "baseline" in summary.reason


def test_what_draws_carry_of_a_drift() -> None:
    # 64 groups of one size on each side, nothing shared: k of the 64 drawn are the first side's, hypergeometric, and
    # the mean of (2 k / 64 - 1)^2 is 1 / 127.
    groups = np.ones((GROUPS, 3), np.int64)
    count = groups.sum(axis=0)
    side = TokenSample(count, count, count.astype(float), 3.0 * count, groups, 64, 192, 576.0)
    none = TokenSample(count * 0, count * 0, count * 0.0, count * 0.0, groups * 0, 0, 0, 0.0)
    exchange = Exchange.of(TokenContrast(np.arange(3, dtype=np.int32), side, side, none))
    draws = exchange.draws(40_000, 1)
    assert exchange.carried(draws) == pytest.approx(1 / 127, rel=0.03)
    assert exchange.carried(exchange.observed()) == 1
    # Append-only: the first 63 groups of the baseline and one added group, of 64 in a current snapshot of 128.
    grown = Exchange.of(TokenContrast(np.arange(3, dtype=np.int32), none, side, side))
    chosen = np.r_[np.ones(63), 0.0, 1.0, np.zeros(63)][:, None]
    assert grown.carried(chosen) == pytest.approx(((0.5 - 1 / 64) / 0.5) ** 2)


def test_every_document_again_is_no_drift_and_not_the_same_documents() -> None:
    shared = sample(np.random.default_rng(5), 90)
    nothing = sample(np.random.default_rng(6), 0)
    for sides in ((nothing, shared, shared), (shared, nothing, shared)):
        summary = drift_summary(TokenContrast(np.arange(TOKENS, dtype=np.int32), *sides), 99)
        assert (summary.low, summary.high, summary.permutations) == (0.0, 0.0, 0)
        assert {distance.value for distance in summary.distances.values()} == {0.0}
        assert summary.reason == EVEN_COPIES
    uneven = contrast(np.random.default_rng(7), 0, 90, 90)
    assert drift_summary(uneven, 99).permutations == 99


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((0, 0, 0), "neither snapshot holds a token"),
        ((0, 9, 0), "the baseline holds no tokens"),
        ((9, 0, 0), "the current snapshot holds no tokens"),
    ],
)
def test_sides_without_tokens_have_a_reason(sizes: tuple[int, int, int], reason: str) -> None:
    summary = drift_summary(contrast(np.random.default_rng(8), *sizes), 99)
    assert summary.reason == reason and summary.distances["jsd"].value is None
