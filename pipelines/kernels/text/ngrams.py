"""Hashed token n-grams: MinHash signatures and sparse feature vectors of documents.

Both work on token ids, which the run has at hand, rather than on words: snapshots are only ever compared under one
tokenizer, and the hashing then costs about a nanosecond a token.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.counters.bits import lowest_bit

SHINGLE = 5
"""Tokens in a MinHash shingle; a shorter document is one shingle."""

PERMUTATIONS = 128
"""MinHash values in a signature (Broder 1997); the standard error of a similarity J is sqrt(J (1 - J) / 128)."""

BUCKETS = 4096
"""Buckets of the feature vectors."""

PREFIX = 256
"""Tokens of a document that its feature vector describes."""

_random = np.random.Generator(np.random.PCG64(0x5EED))  # a fixed stream: PCG64 is the same on every platform
# Odd, so that multiplying modulo 2^32 maps no two hashes to one.
_MULTIPLIERS = (_random.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32) | np.uint32(1)).astype(np.uint32)
_INCREMENTS = _random.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)


@inlined
def _finish(h):
    """The finaliser of MurmurHash3 (64 bits)."""
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    h ^= h >> np.uint64(33)
    return h


@inlined
def shingle_hash(a, b, c, d, e):
    """A hash of five tokens in 32-bit arithmetic, which the compiler vectorises (4 times as fast as in 64 bits).

    A multilinear hash under the finaliser of MurmurHash3. Two different shingles collide with probability 2^-32: in
    documents of 10,000 tokens that moves a similarity by less than 0.00001.
    """
    h = np.uint32(
        a * np.uint32(0x7F4A7C15)
        + b * np.uint32(0x27D4EB4F)
        + c * np.uint32(0x9E3779F9)
        + d * np.uint32(0x6659FD93)
        + e * np.uint32(0x78BD642F)
    )
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B))
    h = np.uint32(h ^ (h >> np.uint32(13)))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ (h >> np.uint32(16)))


@inlined
def padded_to_shingle(document, padded):
    """The document, or one shingle's worth of it and filler, in ``padded``, when it is shorter than a shingle."""
    if len(document) >= SHINGLE:
        return document
    for i in range(SHINGLE):
        padded[i] = document[i] if i < len(document) else np.uint32(0xFFFFFFFF)  # cut to the type: no token
    return padded


@kernel
def _signatures(ids, offsets, rows, multipliers, increments, padded, signature, out):
    for c in range(len(rows)):
        t = padded_to_shingle(ids[offsets[rows[c]] : offsets[rows[c] + 1]], padded)
        for p in range(PERMUTATIONS):
            signature[p] = np.uint32(0xFFFFFFFF)
        for j in range(len(t) - SHINGLE + 1):
            h = shingle_hash(t[j], t[j + 1], t[j + 2], t[j + 3], t[j + 4])
            for p in range(PERMUTATIONS):
                x = np.uint32(h * multipliers[p] + increments[p])
                x = np.uint32(x ^ (x >> np.uint32(15)))
                x = np.uint32(x * np.uint32(0x85EBCA6B))
                signature[p] = min(signature[p], x)
        for p in range(PERMUTATIONS):
            out[c, p] = signature[p]


def signatures(ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """MinHash signatures, uint32 [len(rows), PERMUTATIONS], of the documents at ``rows``, int64."""
    out = np.empty((len(rows), PERMUTATIONS), np.uint32)
    room = np.empty(SHINGLE, ids.dtype), np.empty(PERMUTATIONS, np.uint32)
    _signatures(ids, offsets, rows, _MULTIPLIERS, _INCREMENTS, *room, out)
    return out


def rehash(values: np.ndarray) -> np.ndarray:
    """An independent uniform hash, uint64, of unsigned integers (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        h = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@kernel
def _vectors(ids, offsets, rows, in_document, occupied, buckets, counts, stops):
    n = 0
    for c in range(len(rows)):
        d = rows[c]
        document = ids[offsets[d] : min(offsets[d + 1], offsets[d] + PREFIX)]
        previous = np.uint64(0)
        for token in document:
            current = np.uint64(token) + np.uint64(1)
            for order in range(2):
                if order == 0:
                    h = _finish(current)
                else:
                    h = _finish(current * np.uint64(0x9E3779B97F4A7C15) + previous)
                # A quarter of all n-grams, selected by their own hash, carries the vector: the same quarter everywhere.
                if (h >> np.uint64(62)) == 0 and (order == 0 or previous != 0):
                    bucket = h & np.uint64(BUCKETS - 1)
                    in_document[bucket] += 1
                    occupied[bucket >> np.uint64(6)] |= np.uint64(1) << (bucket & np.uint64(63))
            previous = current
        for word in range(len(occupied)):
            bits = occupied[word]
            occupied[word] = 0
            while bits != 0:
                bucket = np.uint64(word * 64 + lowest_bit(bits))
                bits &= bits - np.uint64(1)
                buckets[n] = bucket
                counts[n] = in_document[bucket]
                in_document[bucket] = 0
                n += 1
        stops[c] = n
    return n


def feature_vectors(
    ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sparse vectors of hashed token 1- and 2-grams of the first `PREFIX` tokens of the documents at ``rows``.

    Returns:
        ``(buckets int16 [N], counts int32 [N], stops int64 [len(rows)])``: document c's features are those up to
        ``stops[c]``, its buckets ascending.
    """
    lengths = np.minimum(offsets[rows + 1] - offsets[rows], PREFIX)
    capacity = int(np.minimum(2 * lengths, BUCKETS).sum())
    buckets = np.empty(capacity, np.int16)
    counts = np.empty(capacity, np.int32)
    stops = np.empty(len(rows), np.int64)
    room = np.zeros(BUCKETS, np.int32), np.zeros(BUCKETS // 64, np.uint64)
    n = _vectors(ids, offsets, rows, *room, buckets, counts, stops)
    return buckets[:n].copy(), counts[:n].copy(), stops


@kernel
def _unigram_buckets(out):
    for token in range(len(out)):
        h = _finish(np.uint64(token) + np.uint64(1))
        out[token] = np.int64(h & np.uint64(BUCKETS - 1)) if (h >> np.uint64(62)) == 0 else -1


def unigram_buckets(vocabulary: int) -> np.ndarray:
    """The feature bucket of every token by itself, int64 [vocabulary]; -1 for those that carry no feature."""
    out = np.empty(vocabulary, np.int64)
    _unigram_buckets(out)
    return out
