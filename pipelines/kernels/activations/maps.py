"""Which maxima of maps enter lists of examples, and where in their maps they are: positions are looked up for few.

Of all pairs of an image and a unit, only those whose maximum beats a list's last example need a position. Marking them
costs a comparison; looking one up ends at the first element that equals the maximum.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.activations.topk_lists import belongs_in_sample
from corpus_audit.pipelines.kernels.activations.windows import sample_bin
from corpus_audit.pipelines.kernels.compiler.jit import kernel


@kernel
def mark_entering(
    selected: np.ndarray,
    peak: np.ndarray,
    windows: np.ndarray,
    row: int,
    sign: float,
    value: np.ndarray,
    window: np.ndarray,
    marked: np.ndarray,
) -> None:
    """Mark the pairs that would enter their units' lists [R, k] as these are now.

    Args:
        selected: int64, positions in the batch.
        peak: float32 [B, U].
        windows: uint64 [B].
        row: the first unit's.
        sign: 1, or -1 for lists of minus the value.
        value, window: the lists.
        marked: bool [B, U], set where a pair would enter, else left as it is.
    """
    last = value.shape[1] - 1
    for b in selected:
        w = windows[b]
        for u in range(peak.shape[1]):
            v = np.float32(sign) * peak[b, u]
            r = row + u
            if v > value[r, last] or (v == value[r, last] and w < window[r, last]):
                marked[b, u] = True


@kernel
def mark_samples(peak: np.ndarray, windows: np.ndarray, row: int, window: np.ndarray, marked: np.ndarray) -> None:
    """Mark the pairs that belong in the bins of samples, uint64 [R, bins, s]; arguments as for `mark_entering`."""
    for b in range(peak.shape[0]):
        w = windows[b]
        for u in range(peak.shape[1]):
            r = row + u
            if not marked[b, u] and belongs_in_sample(window, r, sample_bin(peak[b, u]), w):
                marked[b, u] = True


@kernel
def first_positions(maps: np.ndarray, peak: np.ndarray, out: np.ndarray) -> None:
    """The first element of each map, float32 [P, positions], that equals its peak, float32 [P], into int32 [P].

    Blocks are searched without a branch for each element; 0 where none is equal, as the peak is not a number.
    """
    size = maps.shape[1]
    for i in range(maps.shape[0]):
        p = peak[i]
        position = np.int32(0)
        start = 0
        while start < size:
            stop = min(start + 64, size)
            equal = 0
            for t in range(start, stop):
                equal += 1 if maps[i, t] == p else 0
            if equal > 0:
                for t in range(start, stop):
                    if maps[i, t] == p:
                        position = np.int32(t)
                        break
                break
            start = stop
        out[i] = position
