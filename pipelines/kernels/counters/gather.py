"""Gathers and sums rows without the GIL, which numpy's own indexing holds; merges run on several threads."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel, read_only


@kernel
def _take(values, rows, out):
    for i in range(len(rows)):
        out[i] = values[rows[i]]


@kernel
def _sum_runs(values, order, starts, out):
    for s in range(len(starts)):
        stop = starts[s + 1] if s + 1 < len(starts) else len(order)
        total = np.int64(0)
        for k in range(starts[s], stop):
            total += values[order[k]]
        out[s] = total


@kernel
def _take_runs(values, starts, stops, out):
    # Views of one length and a loop over them: indices into the whole arrays keep the compiler from copying a vector at
    # a time, which is five times as fast.
    for r in range(len(starts)):
        copied = out[stops[r] : stops[r + 1]]
        run = values[starts[r] : starts[r] + len(copied)]
        for k in range(len(copied)):
            copied[k] = run[k]


def take_runs(values: np.ndarray, starts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Runs of ``values`` that begin at ``starts``, int64 [R], one after the other; run r has the length that
    ``offsets``, int64 [R + 1] from 0, gives it."""
    out = np.empty(int(offsets[-1]), values.dtype)
    _take_runs(values, starts, offsets, out)
    return out


def take(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``values[rows]`` of a vector of 64-bit integers and row numbers, int64 [N]."""
    # As uint64 whatever the type, so that the kernel is compiled once.
    out = np.empty(len(rows), np.uint64)
    _take(read_only(np.ascontiguousarray(values).view(np.uint64)), rows, out)
    return out.view(values.dtype)


def sum_runs(values: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums, int64 [M], of int64 ``values[order]`` over runs that begin at ``starts``, int64 [M]; wraps on overflow."""
    out = np.empty(len(starts), np.int64)
    _sum_runs(np.ascontiguousarray(values), order, starts, out)
    return out
