"""Sampled documents as sparse vectors of hashed n-gram counts, the input of the classifier test and of DSIR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class HashedDocuments:
    """N sampled texts of G domains; a text's features are ``buckets[starts[i]:starts[i + 1]]``, ascending.

    Attributes:
        starts: int64 [N + 1].
        buckets: int64 [F], hashed n-grams.
        counts: int64 [F], their occurrences.
        domain: int64 [N], the text's domain, 0 to G - 1.
        tokens: int64 [N], tokens of the text.
        high, low: uint64 [N], the halves of its content hash.
    """

    starts: Integers
    buckets: Integers
    counts: Integers
    domain: Integers
    tokens: Integers
    high: Hashes
    low: Hashes

    def __len__(self) -> int:
        return len(self.domain)

    def take(self, positions: npt.ArrayLike) -> HashedDocuments:
        """The texts at ``positions``, int64 [M] or bool [N], in that order."""
        rows = np.arange(len(self))[np.asarray(positions)]
        sizes = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        features = np.arange(starts[-1]) + np.repeat(self.starts[:-1][rows] - starts[:-1], sizes)
        return HashedDocuments(
            starts,
            self.buckets[features],
            self.counts[features],
            self.domain[rows],
            self.tokens[rows],
            self.high[rows],
            self.low[rows],
        )

    def held_by(self, other: HashedDocuments) -> npt.NDArray[np.bool_]:
        """Which texts, bool [N], are in ``other`` too, by both halves of the hash."""
        return np.isin(_pairs(self), _pairs(other))

    def bucket_totals(self, weight: npt.ArrayLike, buckets: int) -> Floats:
        """Occurrences of every bucket, each text counted ``weight`` [N] times, float64 [buckets]."""
        each = np.repeat(np.asarray(weight, dtype=np.float64), np.diff(self.starts))
        return np.bincount(self.buckets, weights=each * self.counts, minlength=buckets).astype(np.float64)

    def scores(self, value: Floats) -> Floats:
        """Sum over a text's occurrences of ``value`` [buckets], float64 [N]."""
        sums = np.concatenate([[0.0], np.cumsum(value[self.buckets] * self.counts)])
        return np.asarray(sums[self.starts[1:]] - sums[self.starts[:-1]])


def _pairs(documents: HashedDocuments) -> npt.NDArray[np.void]:
    both = np.stack([documents.high.astype(">u8"), documents.low.astype(">u8")], axis=1)
    return np.ascontiguousarray(both).view("V16").ravel()
