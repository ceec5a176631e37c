"""One-permutation MinHash sketches of documents over their token shingles, made in one pass with the first MinHash.

Li, Owen and Zhang 2012, "One Permutation Hashing" (NIPS 25), with b-bit values of Li and König 2010, "b-Bit Minwise
Hashing" (WWW): the shingles of a document are spread over `BINS` bins by the leading bits of their hash, and of each
bin's smallest hash one byte is kept. Two documents of Jaccard similarity J then agree in a share of about J of the bins
that either of them fills. A sketch takes 64 bytes, and its standard error is about sqrt(J (1 - J) / 64).

The hash of a shingle is that of `ngrams`, so a document shorter than a shingle is one shingle, filled up.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.text.ngrams import SHINGLE, padded_to_shingle, shingle_hash

BINS = 64
"""Bins of a sketch, and its bytes."""

VALUES = 255
"""Values of a bin that holds a shingle, 1 to 255: two different shingles have the same one with probability 1 / 255."""

EMPTY = 0
"""Value of a bin that no shingle of the document falls into."""

_AT_ONCE = 512
"""Shingles hashed before they are spread: hashing alone is vectorised, and 2 KiB stay in the nearest cache."""

_SELDOM = 4 * _AT_ONCE
"""Shingles of a document after which few are the smallest of their bin so far (1 in 32, and fewer later on)."""


@kernel
def _sketches(ids, offsets, padded, minima, hashes, firsts, out):
    # Two sets of bins in turn, so that an update seldom waits for the one before it; a conditional move, no branch.
    # Later in a document updates are seldom, and a branch that is not taken costs less than a store.
    empty = np.uint32(0xFFFFFFFF)
    for d in range(len(offsets) - 1):
        t = padded_to_shingle(ids[offsets[d] : offsets[d + 1]], padded)
        n = len(t) - SHINGLE + 1
        for k in range(2 * BINS):
            minima[k] = empty
        for start in range(0, n, _AT_ONCE):
            m = min(_AT_ONCE, n - start)
            t0, t1, t2 = t[start : start + m], t[start + 1 : start + m + 1], t[start + 2 : start + m + 2]
            t3, t4 = t[start + 3 : start + m + 3], t[start + 4 : start + m + 4]
            for j in range(m):
                hashes[j] = shingle_hash(t0[j], t1[j], t2[j], t3[j], t4[j])
            if start >= _SELDOM:
                for j in range(m):
                    h = hashes[j]
                    b = h >> np.uint32(26)
                    if h < minima[b]:
                        minima[b] = h
                continue
            half = m // 2
            for j in range(half):
                h, g = hashes[j], hashes[half + j]
                b, c = np.int64(h >> np.uint32(26)), np.int64(g >> np.uint32(26)) + BINS
                x, y = minima[b], minima[c]
                minima[b] = h if h < x else x
                minima[c] = g if g < y else y
            if m > 2 * half:
                b = np.int64(hashes[m - 1] >> np.uint32(26))
                minima[b] = min(minima[b], hashes[m - 1])
        first = empty
        for k in range(BINS):
            h = min(minima[k], minima[BINS + k])
            first = min(first, h)
            value = np.uint32(1) + (((h & np.uint32(0xFFFF)) * np.uint32(VALUES)) >> np.uint32(16))
            out[d, k] = np.uint8(EMPTY) if h == empty else np.uint8(value)
        firsts[d] = first


def sketches(ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first MinHash value and the sketch of every document.

    Args:
        ids: uint16 or uint32 [T].
        offsets: int64 [D + 1] into ``ids``.

    Returns:
        ``(first, sketch)``: uint32 [D], the smallest hash of a document's shingles, which decides who is in the
        near-duplicate sample; uint8 [D, BINS], 1 to `VALUES`, or `EMPTY` where a bin holds no shingle.
    """
    firsts = np.empty(len(offsets) - 1, np.uint32)
    out = np.empty((len(offsets) - 1, BINS), np.uint8)
    padded = np.empty(SHINGLE, ids.dtype)
    _sketches(ids, offsets, padded, np.empty(2 * BINS, np.uint32), np.empty(_AT_ONCE, np.uint32), firsts, out)
    return firsts, out
