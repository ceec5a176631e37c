"""BLAKE2b-128 (RFC 7693) of every document of a batch, the content hash.

A cryptographic hash because the corpus is not trusted: with a fast non-cryptographic one (MurmurHash3 can be inverted)
whoever controls a document can change it and keep its hash, and the audit would report it as kept. The values are
those of ``hashlib.blake2b(text, digest_size=16)``, so anybody can recompute them, at three quarters of hashlib's
speed on long documents, without a Python object a document and with the GIL released.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.jit import inlined, kernel

_IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)
_START = _IV.copy()
_START[0] ^= np.uint64(0x01010000 ^ 16)  # parameter block: 16 bytes of digest, no key, fan-out 1, depth 1

# The ten message schedules; rounds 10 and 11 repeat the first two.
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    dtype=np.int64,
)


@inlined
def _mix(a, b, c, d, x, y):
    a = a + b + x
    d ^= a
    d = (d >> np.uint64(32)) | (d << np.uint64(32))
    c += d
    b ^= c
    b = (b >> np.uint64(24)) | (b << np.uint64(40))
    a = a + b + y
    d ^= a
    d = (d >> np.uint64(16)) | (d << np.uint64(48))
    c += d
    b ^= c
    b = (b >> np.uint64(63)) | (b << np.uint64(1))
    return a, b, c, d


@kernel
def _compress(h, m, counter, final):
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = _IV[4] ^ counter, _IV[5], _IV[6] ^ final, _IV[7]
    for r in range(12):
        s = _SIGMA[r]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, m[s[0]], m[s[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, m[s[2]], m[s[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, m[s[4]], m[s[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, m[s[6]], m[s[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, m[s[8]], m[s[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, m[s[10]], m[s[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, m[s[12]], m[s[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, m[s[14]], m[s[15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


@kernel
def _hash_documents(data, offsets, high, low):
    h = np.empty(8, np.uint64)
    block = np.empty(128, np.uint8)
    words = block.view(np.uint64)
    for d in range(len(offsets) - 1):
        start, stop = offsets[d], offsets[d + 1]
        for i in range(8):
            h[i] = _START[i]
        counter = np.uint64(0)
        while stop - start > 128:
            block[:] = data[start : start + 128]
            start += 128
            counter += np.uint64(128)
            _compress(h, words, counter, np.uint64(0))
        rest = stop - start
        block[:rest] = data[start:stop]
        block[rest:] = 0
        counter += np.uint64(rest)
        _compress(h, words, counter, np.uint64(0xFFFFFFFFFFFFFFFF))
        high[d] = h[0]
        low[d] = h[1]


def hash_documents(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BLAKE2b-128 of every document.

    Args:
        data: uint8.
        offsets: int64 [D + 1] into ``data``.

    Returns:
        (high, low), uint64 [D] each: the digest's first and last eight bytes read as big-endian numbers, so that the
        order of (high, low) is the lexicographic order of the digests.
    """
    high = np.empty(len(offsets) - 1, np.uint64)
    low = np.empty(len(offsets) - 1, np.uint64)
    _hash_documents(data, offsets, high, low)
    # The digest's words are little-endian; big-endian numbers sort as the bytes do.
    return high.byteswap(), low.byteswap()


def digests(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """The 16 digest bytes of every (high, low), as uint8 [D, 16]."""
    both = np.empty((len(high), 2), dtype=">u8")
    both[:, 0] = high
    both[:, 1] = low
    return both.view(np.uint8).reshape(len(high), 16)
