"""MinHash and feature vectors: a plain-Python reimplementation, and similarities of planted near-duplicates."""

from __future__ import annotations

import itertools
from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.text import ngrams

M32, M64 = 2**32 - 1, 2**64 - 1
TOKENS = st.lists(st.one_of(st.integers(0, 60_000), st.integers(0, 5)), max_size=40)


def arrays(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([token for document in documents for token in document], np.uint32)
    return ids, np.cumsum([0, *map(len, documents)]).astype(np.int64)


def finish64(h: int) -> int:
    """MurmurHash3's 64-bit finaliser."""
    h = ((h ^ h >> 33) * 0xFF51AFD7ED558CCD) & M64
    h = ((h ^ h >> 33) * 0xC4CEB9FE1A85EC53) & M64
    return h ^ h >> 33


def shingle_hashes(tokens: list[int]) -> list[int]:
    padded = tokens + [M32] * (5 - len(tokens))
    hashes = []
    for start in range(len(padded) - 4):
        weights = (0x7F4A7C15, 0x27D4EB4F, 0x9E3779F9, 0x6659FD93, 0x78BD642F)
        h = sum(t * w for t, w in zip(padded[start : start + 5], weights, strict=True)) & M32
        h = ((h ^ h >> 16) * 0x85EBCA6B) & M32
        h = ((h ^ h >> 13) * 0xC2B2AE35) & M32
        hashes.append(h ^ h >> 16)
    return hashes


def plain_signature(tokens: list[int]) -> list[int]:
    signature = []
    for multiplier, increment in zip(ngrams._MULTIPLIERS.tolist(), ngrams._INCREMENTS.tolist(), strict=True):
        values = ((h * multiplier + increment) & M32 for h in shingle_hashes(tokens))
        signature.append(min((x ^ x >> 15) * 0x85EBCA6B & M32 for x in values))
    return signature


def plain_vector(tokens: list[int]) -> dict[int, int]:
    counts: Counter[int] = Counter()
    head = tokens[: ngrams.PREFIX]
    hashes = [finish64(token + 1) for token in head]
    hashes += [finish64(((b + 1) * 0x9E3779B97F4A7C15 + a + 1) & M64) for a, b in itertools.pairwise(head)]
    for h in hashes:
        if h >> 62 == 0:
            counts[h % ngrams.BUCKETS] += 1
    return dict(sorted(counts.items()))


def vectors(documents: list[list[int]], rows: list[int]) -> list[dict[int, int]]:
    buckets, counts, stops = ngrams.feature_vectors(*arrays(documents), np.array(rows, np.int64))
    assert len(buckets) == len(counts) == (stops[-1] if len(stops) else 0)
    out = []
    for start, stop in zip([0, *stops.tolist()], stops.tolist(), strict=False):
        row = buckets[start:stop].tolist()
        assert row == sorted(set(row))
        out.append(dict(zip(row, counts[start:stop].tolist(), strict=True)))
    return out


@settings(max_examples=40, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=6), st.data())
def test_signatures_equal_plain_python(documents: list[list[int]], data: st.DataObject) -> None:
    """Empty documents and those shorter than a shingle are among them."""
    rows = data.draw(st.lists(st.integers(0, len(documents) - 1), max_size=3))
    signed = ngrams.signatures(*arrays(documents), np.array(rows, np.int64))
    assert signed.tolist() == [plain_signature(documents[d]) for d in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=6), st.data())
def test_vectors_equal_plain_python(documents: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(documents) - 1), max_size=5))
    assert vectors(documents, rows) == [plain_vector(documents[d]) for d in rows]


def test_vectors_describe_the_beginning_of_a_long_document() -> None:
    tokens = np.random.default_rng(1).integers(0, 50_000, 3 * ngrams.PREFIX).tolist()
    assert vectors([tokens], [0]) == [plain_vector(tokens)] == vectors([tokens[: ngrams.PREFIX]], [0])
    assert vectors([[7] * 2000], [0]) == [plain_vector([7] * 2000)]


def test_no_selected_documents_and_empty_documents() -> None:
    assert ngrams.signatures(*arrays([[1, 2, 3]]), np.empty(0, np.int64)).shape == (0, ngrams.PERMUTATIONS)
    assert vectors([[1, 2, 3]], []) == []
    assert vectors([[], [1], []], [0, 2]) == [{}, {}]


@pytest.mark.parametrize("changed", [0, 4, 20, 60, 150, 1000])
def test_similarity_of_planted_near_duplicates(changed: int) -> None:
    """The share of equal values is a binomial(128, J) / 128: within 4.5 standard errors for 20 pairs."""
    rng = np.random.default_rng(changed)
    for _ in range(20):
        original = rng.integers(0, 50_000, 1000)
        copy = original.copy()
        copy[rng.choice(1000, changed, replace=False)] = rng.integers(0, 50_000, changed)
        sets = [{tuple(text[i : i + 5]) for i in range(996)} for text in (original.tolist(), copy.tolist())]
        true = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        first, second = ngrams.signatures(*arrays([original.tolist(), copy.tolist()]), np.arange(2))
        estimate = float((first == second).mean())
        assert abs(estimate - true) <= 4.5 * sqrt(max(true * (1 - true), 0.001) / ngrams.PERMUTATIONS)


def test_rehash_is_uniform_enough_to_sample_by() -> None:
    share = float((ngrams.rehash(np.arange(200_000)) < np.uint64(2**59)).mean())
    assert abs(share - 1 / 32) < 4.5 * sqrt(1 / 32 * 31 / 32 / 200_000)
