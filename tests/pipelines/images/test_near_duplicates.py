"""Pairs within a Hamming distance against comparing all pairs, and what verification by patches keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.images import near_duplicates
from corpus_audit.pipelines.images.near_duplicates import (
    NearPairs,
    TooManyPairs,
    chance_of_closeness,
    close_pairs,
    groups,
    verified_pairs,
)


def brute_force(hashes: list[int], threshold: int) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= threshold
    ]


@st.composite
def related_hashes(draw: st.DrawFn) -> list[int]:
    """A few hashes, and others that differ from one of them in some bits: uniform hashes are never close."""
    bases = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=14)
    near = draw(st.lists(st.tuples(st.sampled_from(bases), flips), max_size=25))
    return bases + [base ^ sum(1 << bit for bit in set(bits)) for base, bits in near]


@settings(max_examples=20, deadline=None)
@given(hashes=related_hashes(), threshold=st.integers(0, 13), small=st.booleans())
def test_pairs_are_those_of_comparing_all(hashes: list[int], threshold: int, small: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(near_duplicates, "_SLICE", 3)
        first, second = close_pairs(np.array(hashes, np.uint64), threshold)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == brute_force(hashes, threshold)


def test_many_hashes_against_comparing_all() -> None:
    random = np.random.default_rng(3)
    hashes = random.integers(0, 2**64, 1_500, dtype=np.uint64)
    for _ in range(10):  # bits of a tenth of them, which stay close to where they came from
        copied = random.integers(1_500, size=150)
        hashes[copied] = hashes[random.integers(1_500, size=150)] ^ (
            np.uint64(1) << random.integers(0, 64, 150, np.uint64)
        )
    first, second = close_pairs(hashes, 8)
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    expected = np.argwhere(np.triu(distance <= 8, 1))
    assert len(expected) > 500
    assert (np.stack([first, second], axis=1) == expected).all()


@pytest.mark.parametrize("hashes", [[], [7], [7, ~7 & (2**64 - 1)]])
def test_nothing_is_close(hashes: list[int]) -> None:
    assert len(close_pairs(np.array(hashes, np.uint64))[0]) == 0


def test_too_many_pairs_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 44)
    with pytest.raises(TooManyPairs, match="more than 44 pairs"):
        close_pairs(np.zeros(11, np.uint64))
    assert len(close_pairs(np.zeros(9, np.uint64))[0]) == 36


def test_close_hashes_of_other_colours_are_no_near_duplicates() -> None:
    hashes = np.array([5, 5, 4, 2**63 - 1], np.uint64)
    patches = np.full((4, 192), 100, np.uint8)
    patches[1] = 130
    patches[2, 0] = 190  # one value of 192: 90 squared by 192 is 42
    pairs = verified_pairs(hashes, patches)
    assert [getattr(pairs, name).tolist() for name in ("first", "second", "bits", "distance")] == [[0], [2], [1], [42]]
    assert len(verified_pairs(hashes, patches, patch_threshold=900)) == 2


def test_groups_connect_what_pairs_connect() -> None:
    chain = np.array([[8, 9], [1, 8], [5, 9], [2, 6]])
    pairs = NearPairs(chain[:, 0], chain[:, 1], np.zeros(4, np.uint8), np.zeros(4, np.int64))
    assert groups(pairs, 10).tolist() == [0, 1, 2, 3, 4, 1, 2, 7, 1, 1]


def test_chance_of_closeness_is_the_share_of_close_pairs() -> None:
    hashes = np.array([0, 1, 2**64 - 1, 2**64 - 2], np.uint64)
    close, pairs = chance_of_closeness(hashes, 8, 30_000)
    assert pairs == 30_000 and abs(close / pairs - 2 / 6) < 0.02
    assert chance_of_closeness(hashes, 8, 30_000) == (close, pairs)
    assert chance_of_closeness(hashes[:1]) == (0, 0)
