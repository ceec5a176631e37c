"""Bounds of dot products from 8-bit codes, and dot products in full, without the GIL."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel


@inlined
def _replace_least(heap, value):
    """Replace the least value of a heap, which stands first."""
    slot = 0
    while 2 * slot + 1 < len(heap):
        child = 2 * slot + 1
        if child + 1 < len(heap) and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[slot] = heap[child]
        slot = child
    heap[slot] = value


@kernel
def bound_products(
    codes: np.ndarray,
    scale: np.ndarray,
    error: np.ndarray,
    query: np.ndarray,
    step: float,
    reach: float,
    allowed: np.ndarray,
    first: int,
    last: int,
    upper: np.ndarray,
    heap: np.ndarray,
) -> None:
    """Bounds ``scale (step codes.query +- reach) +- error`` of rows ``first`` to ``last``.

    Args:
        codes: int8 [N, D].
        scale, error: float32 [N].
        query: int16 [D]; the sum of 127 |query| is below 2^31, so that int32 sums cannot overflow.
        step, reach: quantisation step of the query; bound of the error that its rounding causes, before ``scale``.
        allowed: bool [N], which rows to bound; of length 0 for all.
        upper: float64 [N], receives the upper bounds; rows that are not allowed are not written.
        heap: float64 [k], k > 0, receives the k largest lower bounds as a heap, its least first; initially -inf.
    """
    for i in range(first, last):
        if len(allowed) > 0 and not allowed[i]:
            continue
        total = np.int32(0)
        for j in range(len(query)):
            # The outer int32 keeps the sum in 32 bits (numba would widen it), hence in multiply-add instructions.
            total = np.int32(total + np.int32(codes[i, j]) * np.int32(query[j]))
        row_scale = np.float64(scale[i])
        centre, radius = total * step * row_scale, reach * row_scale + error[i]
        upper[i] = centre + radius
        if centre - radius > heap[0]:
            _replace_least(heap, centre - radius)


@kernel
def products(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Dot products of ``rows`` of float32 [N, D] vectors with a float64 [D] query, into float64 ``out``.

    Summed in the order of the dimensions, so that equal vectors have equal products wherever they are.
    """
    for n in range(len(rows)):
        i = rows[n]
        total = 0.0
        for j in range(len(query)):
            total += np.float64(vectors[i, j]) * query[j]
        out[n] = total
