"""Similarity of pairs of sketches, and one-to-one assignment of the most similar."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.text.sketches import EMPTY, VALUES

Integers = npt.NDArray[np.int64]


@kernel
def _similarities(baseline, current, rows_baseline, rows_current, out):
    for p in range(len(out)):
        a, b = baseline[rows_baseline[p]], current[rows_current[p]]
        equal, both, either = 0, 0, 0
        for k in range(baseline.shape[1]):
            x, y = a[k], b[k]
            filled = (x != EMPTY) & (y != EMPTY)
            both += filled
            equal += filled & (x == y)
            either += (x != EMPTY) | (y != EMPTY)
        # Of the bins filled on both sides whose smallest shingles differ, one in `VALUES` agrees by chance.
        alike = (equal - both / VALUES) / (1.0 - 1.0 / VALUES)
        out[p] = max(alike, 0.0) / either if either else 0.0


def similarities(
    baseline: npt.NDArray[np.uint8],
    current: npt.NDArray[np.uint8],
    rows_baseline: Integers,
    rows_current: Integers,
) -> npt.NDArray[np.float64]:
    """Estimated Jaccard similarities of pairs of documents, float64 [P] from 0 to 1.

    The estimator of Li, Owen and Zhang 2012 (equation 8: matching bins over bins that are not empty on both sides),
    corrected for values of 8 bits that agree by chance (Li and König 2010).

    Args:
        baseline, current: sketches, uint8 [N, BINS] and [M, BINS].
        rows_baseline, rows_current: int64 [P], the documents of each pair.
    """
    out = np.empty(len(rows_baseline))
    _similarities(baseline, current, rows_baseline, rows_current, out)
    return out


@kernel
def _assign(rows_baseline, rows_current, left_baseline, left_current, out):
    for p in range(len(out)):
        a, b = rows_baseline[p], rows_current[p]
        n = min(left_baseline[a], left_current[b])
        left_baseline[a] -= n
        left_current[b] -= n
        out[p] = n


def assign(
    rows_baseline: Integers, rows_current: Integers, left_baseline: Integers, left_current: Integers
) -> Integers:
    """Pair documents greedily, best pair first, each document once.

    Args:
        rows_baseline, rows_current: int64 [P], candidate pairs, the best first.
        left_baseline, left_current: int64 [N] and [M], documents that each row still has to pair; reduced in place.

    Returns:
        int64 [P], documents paired by each candidate, 0 where a side had none left.
    """
    out = np.empty(len(rows_baseline), np.int64)
    _assign(rows_baseline, rows_current, left_baseline, left_current, out)
    return out
