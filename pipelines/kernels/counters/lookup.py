"""Looks 128-bit keys up in a sorted table, without the GIL."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.compiler.jit import kernel


@kernel
def _contains_keys(high, low, sorted_high, sorted_low, out):
    size = len(sorted_high)
    for i in range(len(high)):
        left, right = 0, size
        while left < right:
            middle = (left + right) // 2
            below = sorted_high[middle] < high[i] or (sorted_high[middle] == high[i] and sorted_low[middle] < low[i])
            if below:
                left = middle + 1
            else:
                right = middle
        out[i] = left < size and sorted_high[left] == high[i] and sorted_low[left] == low[i]


def contains_keys(
    high: npt.NDArray[np.uint64],
    low: npt.NDArray[np.uint64],
    sorted_high: npt.NDArray[np.uint64],
    sorted_low: npt.NDArray[np.uint64],
) -> npt.NDArray[np.bool_]:
    """Whether each key (high, low), [N], is among the keys [M] that are sorted by (high, low)."""
    out = np.empty(len(high), np.bool_)
    _contains_keys(high, low, sorted_high, sorted_low, out)
    return out
