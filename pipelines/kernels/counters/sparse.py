"""Merging of sparse group counts: a 64-bit mask of set groups and a count for every set bit."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.counters.bits import add_group_counts, take_group_sums


@kernel
def _merge(masks, counts, firsts, order, starts, sums, out_masks, out_counts):
    n = 0
    for s in range(len(starts)):
        stop = starts[s + 1] if s + 1 < len(starts) else len(order)
        union = np.uint64(0)
        for k in range(starts[s], stop):
            row = order[k]
            union |= masks[row]
            add_group_counts(masks[row], counts, firsts[row], sums)
        out_masks[s] = union
        n = take_group_sums(union, sums, out_counts, n)
    return n


def merge_groups(
    masks: np.ndarray, counts: np.ndarray, order: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add up the group counts of rows that belong together.

    Args:
        masks: uint64 [N]; bit g is set when the row holds group g.
        counts: int64, the counts of every set bit of every row, in row order.
        order: int64 [N], rows sorted so that those of one output are neighbours.
        starts: int64 [M], where each output's rows begin in ``order``.

    Returns:
        (masks uint64 [M], counts int64).
    """
    firsts = np.zeros(len(masks), np.int64)
    np.cumsum(np.bitwise_count(masks[:-1]), out=firsts[1:])
    out_masks = np.empty(len(starts), np.uint64)
    out_counts = np.empty(len(counts), np.int64)
    n = _merge(masks, counts, firsts, order, starts, np.zeros(64, np.int64), out_masks, out_counts)
    return out_masks, out_counts[:n].copy()


@kernel
def _masks(groups, stops, masks):
    start = 0
    for row in range(len(stops)):
        mask = np.uint64(0)
        for k in range(start, stops[row]):
            mask |= np.uint64(1) << np.uint64(groups[k])
        masks[row] = mask
        start = stops[row]


def group_masks(groups: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Masks, uint64 [N], of ragged ascending groups (uint8) of which row r's end at ``stops[r]``."""
    masks = np.empty(len(stops), np.uint64)
    _masks(groups, stops, masks)
    return masks
