"""Hits of a benchmark scan in a batch of documents: the evidence for every rule, a few integers a match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Hits:
    """Evidence in D documents; ``row`` is always a document's number among them.

    Attributes:
        gram_rows, grams: int64 [N]: a document holds a benchmark n-gram, once however often; 8-grams, 13-grams and
            10-grams in one numbering (see `BenchmarkIndex.gram_starts`).
        pairs: int64 [P, 7], documents that share an 8-gram with a text: (row, text, covered words, 8-grams of the
            longest run in common, first byte and bytes of its first occurrence, IDF score in millionths).
        span_starts: int64 [P + 1] into ``spans``, int32: a pair's runs of 8-grams in common as (skipped, length), …
        token_pairs: int64 [Q, 3], documents with a match of more than ten tokens: (row, text, tokens of the longest).
        positions, lengths: int64 [M], the longest such match that begins at a position of a text, over all documents.
    """

    gram_rows: np.ndarray
    grams: np.ndarray
    pairs: np.ndarray
    span_starts: np.ndarray
    spans: np.ndarray
    token_pairs: np.ndarray
    positions: np.ndarray
    lengths: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Hits], sizes: Sequence[int]) -> Hits:
        """The hits of batches that stand one after the other, of ``sizes`` documents."""
        first = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        ends = np.concatenate(([0], np.cumsum([len(part.spans) for part in parts]))).astype(np.int64)
        return cls(
            np.concatenate([part.gram_rows + first[i] for i, part in enumerate(parts)]),
            np.concatenate([part.grams for part in parts]),
            np.concatenate([_moved(part.pairs, first[i]) for i, part in enumerate(parts)]),
            np.concatenate([[0], *(part.span_starts[1:] + ends[i] for i, part in enumerate(parts))]),
            np.concatenate([part.spans for part in parts]),
            np.concatenate([_moved(part.token_pairs, first[i]) for i, part in enumerate(parts)]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.lengths for part in parts]),
        )


def _moved(pairs: np.ndarray, rows: int) -> np.ndarray:
    moved = pairs.copy()
    moved[:, 0] += rows
    return moved
