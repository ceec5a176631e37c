"""Sketches: a plain-Python reimplementation, and the similarity that they estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.drift.pairing import similarities
from corpus_audit.pipelines.kernels.text.sketches import BINS, EMPTY, sketches
from tests.pipelines.kernels.text.test_ngrams import TOKENS, arrays, shingle_hashes


def plain_sketch(tokens: list[int]) -> list[int]:
    bins: dict[int, int] = {}
    for h in shingle_hashes(tokens):
        bins[h >> 26] = min(h, bins.get(h >> 26, h))
    return [1 + ((bins[b] & 0xFFFF) * 255 >> 16) if b in bins else EMPTY for b in range(BINS)]


@settings(max_examples=60, deadline=None)
@given(st.lists(TOKENS, max_size=8))
def test_equal_plain_python(documents: list[list[int]]) -> None:
    """Empty documents and those shorter than a shingle are among them."""
    first, sketch = sketches(*arrays(documents))
    assert first.tolist() == [min(shingle_hashes(tokens)) for tokens in documents]
    assert sketch.tolist() == [plain_sketch(tokens) for tokens in documents]


@pytest.mark.parametrize("size", [67, 68, 69, 132, 133, 511, 516, 517, 1027, 1028, 1029, 1092, 1093, 5000])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("vocabulary", [3, 50_000])
def test_documents_longer_than_what_is_hashed_at_once(
    size: int, dtype: type[np.unsignedinteger], vocabulary: int
) -> None:
    """With three tokens, bins stay empty however long the document is."""
    tokens = np.random.default_rng(size).integers(0, vocabulary, size)
    first, sketch = sketches(tokens.astype(dtype), np.array([0, size]))
    assert first[0] == min(shingle_hashes(tokens.tolist()))
    assert sketch[0].tolist() == plain_sketch(tokens.tolist())


@pytest.mark.parametrize("changed", [0, 100, 500, 1000])
def test_agreement_estimates_the_similarity(changed: int) -> None:
    """Pairs of 1,000 tokens of which the last ``changed`` are others: 200 estimates, within four standard errors."""
    rng = np.random.default_rng(7)
    one, two = [], []
    for _ in range(200):
        tokens = rng.integers(0, 50_000, 1000)
        one.append(tokens.tolist())
        two.append([*tokens[: 1000 - changed].tolist(), *rng.integers(0, 50_000, changed).tolist()])
    rows = np.arange(200)
    estimates = similarities(sketches(*arrays(one))[1], sketches(*arrays(two))[1], rows, rows)
    shared = max(996 - changed, 0)
    true_value = shared / (2 * 996 - shared)
    error = 4 * np.sqrt(true_value * (1 - true_value) / BINS / 200)
    # An estimate below 0 is cut off at 0, which the mean of unlike pairs shows.
    assert abs(estimates.mean() - true_value) <= error + (0.01 if true_value == 0 else 0)


def test_documents_without_a_bin_in_common_are_unlike() -> None:
    one, two = np.zeros((1, BINS), np.uint8), np.zeros((1, BINS), np.uint8)
    assert similarities(one, two, np.array([0]), np.array([0])).tolist() == [0.0]
    one[0, 3], two[0, 4] = 9, 9
    assert similarities(one, two, np.array([0]), np.array([0])).tolist() == [0.0]
