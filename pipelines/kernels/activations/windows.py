"""Reduces the activations of a batch of windows while they are in the cache; hashes the context of each token."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel

CODES = 32
"""Bins of a histogram on either side of the one around 0."""

FIRST_CODE = 2 * (127 - 8)
"""Exponent and first bit of the mantissa of 2^-8 as a float32."""

SAMPLE_BINS = CODES // 2 + 1


@kernel
def splitmix64(h):
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@kernel
def hash_contexts(tokens: np.ndarray, offsets: np.ndarray, skipped: int, width: int, out: np.ndarray) -> None:
    """Hash of up to ``width`` tokens that end at each token, uint64 into ``out``; never across windows."""
    for n in range(len(offsets) - 1):
        first = offsets[n] + skipped
        for t in range(offsets[n], offsets[n + 1]):
            h = np.uint64(0x9E3779B97F4A7C15)
            for position in range(max(first, t - width + 1), t + 1):
                h = splitmix64(h ^ np.uint64(tokens[position] + 1))
            out[t] = h


@kernel
def sample_bin(value):
    """The sample bin of a peak, found by comparisons; NaN falls into the first."""
    edge = np.float32(2.0**-8)
    bin_ = 0
    while bin_ < SAMPLE_BINS - 1 and value >= edge:
        edge *= np.float32(2.0)
        bin_ += 1
    return bin_


@kernel
def count_bins(bits: np.ndarray, counted: np.ndarray, selected: np.ndarray, row: int, histogram: np.ndarray) -> None:
    """Count activations of selected windows into histograms.

    Args:
        bits: uint32 [B, L, U], the float32 activations' bits.
        counted: bool [B, L].
        selected: bool [B], which windows to count.
        row: the first unit's row in ``histogram``.
        histogram: int64 [R, HISTOGRAM_BINS], added to.
    """
    for b in range(bits.shape[0]):
        if not selected[b]:
            continue
        for t in range(bits.shape[1]):
            if not counted[b, t]:
                continue
            for u in range(bits.shape[2]):
                code = np.int64((bits[b, t, u] & np.uint32(0x7FFFFFFF)) >> np.uint32(22)) - FIRST_CODE
                if code < 0:
                    bin_ = np.int64(CODES)
                elif bits[b, t, u] >> np.uint32(31):
                    bin_ = np.int64(CODES - 1 - (code if code < CODES - 1 else CODES - 1))
                else:
                    bin_ = np.int64(CODES + 1 + (code if code < CODES - 1 else CODES - 1))
                histogram[row + u, bin_] += 1


@kernel
def counted_tokens(counted: np.ndarray, out: np.ndarray) -> int:
    """Write the positions of a window's counted tokens into ``out``; returns their number."""
    n = 0
    for t in range(len(counted)):
        if counted[t]:
            out[n] = t
            n += 1
    return n


@kernel
def reduce_into(
    values: np.ndarray,
    counted: np.ndarray,
    peak: np.ndarray,
    position: np.ndarray,
    total: np.ndarray,
    count: np.ndarray,
) -> None:
    """Reduce [B, L, U] activations over the counted tokens: peak and its first position, sum, number above 0.

    Into [B, U] arrays. Four tokens at a time, in order, so that the running results are loaded and stored a quarter as
    often.
    """
    counted_at = np.zeros(values.shape[1], np.int32)
    for b in range(counted.shape[0]):
        n = counted_tokens(counted[b], counted_at)
        p, q, s, c = peak[b], position[b], total[b], count[b]
        p[:] = -np.inf
        q[:] = counted_at[0]
        s[:] = 0
        c[:] = 0
        for i in range(0, n - 3, 4):
            t0, t1, t2, t3 = counted_at[i], counted_at[i + 1], counted_at[i + 2], counted_at[i + 3]
            v0, v1, v2, v3 = values[b, t0], values[b, t1], values[b, t2], values[b, t3]
            for u in range(values.shape[2]):
                x0, x1, x2, x3 = v0[u], v1[u], v2[u], v3[u]
                best, best_at = p[u], q[u]
                best_at, best = (t0, x0) if x0 > best else (best_at, best)
                best_at, best = (t1, x1) if x1 > best else (best_at, best)
                best_at, best = (t2, x2) if x2 > best else (best_at, best)
                best_at, best = (t3, x3) if x3 > best else (best_at, best)
                p[u], q[u] = best, best_at
                s[u] = s[u] + x0 + x1 + x2 + x3
                c[u] += np.int32(x0 > 0) + np.int32(x1 > 0) + np.int32(x2 > 0) + np.int32(x3 > 0)
        for i in range(n - n % 4, n):
            t, v = counted_at[i], values[b, counted_at[i]]
            for u in range(values.shape[2]):
                p[u], q[u] = (v[u], t) if v[u] > p[u] else (p[u], q[u])
                s[u] += v[u]
                c[u] += np.int32(v[u] > 0)


@kernel
def lowest_into(values: np.ndarray, counted: np.ndarray, lowest: np.ndarray, position: np.ndarray) -> None:
    """Reduce [B, L, U] activations over the counted tokens to the lowest and its first position, into [B, U] arrays.

    Four tokens at a time, as in `reduce_into`.
    """
    counted_at = np.zeros(values.shape[1], np.int32)
    for b in range(counted.shape[0]):
        n = counted_tokens(counted[b], counted_at)
        p, q = lowest[b], position[b]
        p[:] = np.inf
        q[:] = counted_at[0]
        for i in range(0, n - 3, 4):
            t0, t1, t2, t3 = counted_at[i], counted_at[i + 1], counted_at[i + 2], counted_at[i + 3]
            v0, v1, v2, v3 = values[b, t0], values[b, t1], values[b, t2], values[b, t3]
            for u in range(values.shape[2]):
                best, best_at = p[u], q[u]
                best_at, best = (t0, v0[u]) if v0[u] < best else (best_at, best)
                best_at, best = (t1, v1[u]) if v1[u] < best else (best_at, best)
                best_at, best = (t2, v2[u]) if v2[u] < best else (best_at, best)
                best_at, best = (t3, v3[u]) if v3[u] < best else (best_at, best)
                p[u], q[u] = best, best_at
        for i in range(n - n % 4, n):
            t, v = counted_at[i], values[b, counted_at[i]]
            for u in range(values.shape[2]):
                p[u], q[u] = (v[u], t) if v[u] < p[u] else (p[u], q[u])


@kernel
def add_sums(
    total: np.ndarray,
    count: np.ndarray,
    domain: np.ndarray,
    group: np.ndarray,
    row: int,
    totals: np.ndarray,
    fired: np.ndarray,
) -> None:
    """Add [B, U] sums and counts to [D, G, R] arrays, at the units from ``row`` on."""
    for b in range(total.shape[0]):
        sums = totals[domain[b], group[b], row : row + total.shape[1]]
        counts = fired[domain[b], group[b], row : row + total.shape[1]]
        for u in range(total.shape[1]):
            sums[u] += total[b, u]
            counts[u] += count[b, u]
