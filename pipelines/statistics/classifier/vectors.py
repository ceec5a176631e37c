"""Classifier two-sample test on vectors: can documents of two sides be told apart by a model's vectors of them?

Lopez-Paz and Oquab (2017), as in `classifier`, with a vector a document in place of n-grams. The vectors are first
turned into their pooled principal components, whitened: then the regression converges in the few steps that
`separation` makes, whatever directions a model's vectors crowd into. That uses no labels, so that the permutation test
stays exact.
"""

from __future__ import annotations

import hashlib

import numpy as np

from corpus_audit.pipelines.statistics.classifier.separation import (
    FOLDS,
    PERMUTATIONS,
    DesignMatrix,
    separate,
    small_fold,
)
from corpus_audit.pipelines.statistics.classifier.two_sample import LEAST, ClassifierTest

COMPONENTS = 64
"""Principal components that are compared at most; at most one a tenth of the rows."""


def vector_test(first: np.ndarray, second: np.ndarray, permutations: int = PERMUTATIONS) -> ClassifierTest:
    """Test whether the documents of two sides can be told apart by their vectors.

    Documents whose vectors are the same to the last bit hold the same text: they are dropped where both sides have
    them, and count once within a side. Folds are by the hash of the vector.

    Args:
        first, second: float32 [N, d] and [M, d], one a document.
        permutations: most permutations; fewer in tests.
    """
    digests = [[hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in side] for side in (first, second)]
    unshared = []
    for own, other in (digests, digests[::-1]):
        rows = {name: i for i, name in reversed(list(enumerate(own)))}  # the first of each
        for name in other:
            rows.pop(name, None)
        unshared.append(np.array(sorted(rows.values()), np.int64))
    sizes = len(unshared[0]), len(unshared[1])
    if min(sizes) < LEAST:
        few = f"fewer than {LEAST} unshared documents on a side ({sizes[0]} and {sizes[1]})"
        return ClassifierTest(*sizes, reason=few)
    label = np.repeat([False, True], sizes)
    hashes = [int.from_bytes(names[i], "big") for names, rows in zip(digests, unshared, strict=True) for i in rows]
    folds = np.array([number % FOLDS for number in hashes], np.int64)
    if small_fold(label, folds):
        return ClassifierTest(*sizes, reason="a fold holds fewer than two documents of a side")
    whitened = whiten(np.concatenate([first[unshared[0]], second[unshared[1]]]))
    if not whitened.shape[1]:
        return ClassifierTest(*sizes, reason="all vectors are the same")
    separation = separate(_dense(whitened), label, folds, permutations)
    return ClassifierTest(
        *sizes,
        auc=separation.auc,
        low=separation.low,
        high=separation.high,
        p=separation.p,
        permutations=separation.permutations,
    )


def whiten(vectors: np.ndarray) -> np.ndarray:
    """Principal components [N, c] with equal variances, scaled so that rows have a mean square length of 1."""
    exact = np.asarray(vectors, np.float64)
    centred = exact - exact.mean(axis=0)
    left_vectors, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    count = min(COMPONENTS, max(1, len(vectors) // 10), int((sizes > 1e-6 * max(sizes.max(), 1e-300)).sum()))
    whitened: np.ndarray = left_vectors[:, :count] * np.sqrt(len(vectors) / max(count, 1))
    return whitened


def _dense(rows: np.ndarray) -> DesignMatrix:
    n, width = rows.shape
    starts = np.arange(n + 1, dtype=np.int64) * width
    return DesignMatrix.of(starts, np.tile(np.arange(width, dtype=np.int64), n), rows.ravel(), width)
