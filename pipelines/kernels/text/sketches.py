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
from corpus_audit.pipelines.kernels.text.ngrams import SHINGLE
from corpus_audit.pipelines.kernels.text.shingle_vectors import (
    AT_ONCE,
    BIN_BITS,
    BINS,
    hash_shingles,
    join_minima,
    lower_minima,
)

VALUES = 255
"""Values of a bin that holds a shingle, 1 to 255: two different shingles have the same one with probability 1 / 255."""

EMPTY = 0
"""Value of a bin that no shingle of the document falls into."""

_BATCH = 8 * AT_ONCE
"""Shingles hashed before they are spread over the bins. 2 KiB stay in the nearest cache; and a hash that is read just
after it was written as part of a vector has to wait for the write."""

_FILTERED = 2 * _BATCH
"""Shingles of a document after which only those below the highest minimum of a bin are looked at: after n shingles,
about a share of 300 / n."""


@kernel
def _sketches(ids, offsets, padded, minima, hashes, masks, firsts, out):
    empty, shift = np.uint32(0xFFFFFFFF), np.uint32(32 - BIN_BITS)
    for d in range(len(offsets) - 1):
        begin, end = offsets[d], offsets[d + 1]
        t, n = ids, max(end - begin - SHINGLE + 1, 1)
        last = begin + max(n - AT_ONCE, 0)  # the last call hashes some a second time, which changes no minimum
        # Of a document with fewer shingles the first n hashes are used, so that it does not matter what follows it in
        # `ids`: except for its filler, and at the end, where nothing does.
        if end - begin < SHINGLE or last + len(padded) > len(ids):
            for i in range(n + SHINGLE - 1):
                padded[i] = ids[begin + i] if begin + i < end else empty  # cut to the type: no token
            t, begin, last = padded, 0, 0
        for k in range(2 * BINS):
            minima[k] = empty
        for start in range(0, n, _BATCH):
            m = min(_BATCH, n - start)
            if start >= _FILTERED:
                bound = join_minima(minima)
                for k in range(0, m, AT_ONCE):
                    masks[k // AT_ONCE] = hash_shingles(t, min(begin + start + k, last), bound, hashes, k)
                for k in range(0, m, AT_ONCE):
                    mask = lower_minima(masks[k // AT_ONCE], hashes, k, minima)
                    while mask != 0:
                        mask = lower_minima(mask, hashes, k, minima)
                continue
            for k in range(0, m, AT_ONCE):
                hash_shingles(t, min(begin + start + k, last), empty, hashes, k)
            if n >= AT_ONCE:
                m = (m + AT_ONCE - 1) // AT_ONCE * AT_ONCE
            hashes[m] = empty  # for an odd number of them; changes no minimum
            # Two sets of bins in turn, so that an update seldom waits for the one before it; a conditional move, no
            # branch.
            half = (m + 1) // 2
            for j in range(half):
                h, g = hashes[j], hashes[half + j]
                b, c = np.int64(h >> shift), np.int64(g >> shift) + BINS
                x, y = minima[b], minima[c]
                minima[b] = h if h < x else x
                minima[c] = g if g < y else y
        join_minima(minima)
        first = empty
        for k in range(BINS):
            h = minima[k]
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
    ids = np.ascontiguousarray(ids)  # which is what the vector instructions read
    minima, hashes = np.empty(2 * BINS, np.uint32), np.empty(_BATCH + 1, np.uint32)
    padded, masks = np.zeros(AT_ONCE + SHINGLE - 1, ids.dtype), np.empty(_BATCH // AT_ONCE, np.uint64)
    _sketches(ids, offsets, padded, minima, hashes, masks, firsts, out)
    return firsts, out
