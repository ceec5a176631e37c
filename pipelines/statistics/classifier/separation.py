"""Measures how well a linear classifier separates two sides: held-out AUC, its interval, and a permutation p.

The core of the classifier two-sample tests (Lopez-Paz and Oquab 2017) of documents and of vectors: a logistic
regression, five folds, the mean of the folds' AUCs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.drift.logistic import fit_logistic, linear_scores
from corpus_audit.pipelines.statistics.classifier.auc import delong, mean_auc
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

FOLDS = 5
PERMUTATIONS = 99
ENOUGH = 10
"""Permutations at least as extreme as the data after which no more are made (Besag and Clifford 1991)."""

_BLOCK = 8
_ITERATIONS = 8  # measured: the AUC is then within 0.002 of that at the optimum
_NORMAL = 1.959963984540054
_SEED = 0xC257

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Separation:
    """Result of separating two sides.

    Attributes:
        auc: mean held-out AUC that a row is of the second side; 1/2 is no difference.
        low, high: its 95 % bounds.
        p: one-sided permutation p; never 0.
        permutations: permutations that were made.
        scores: held-out scores, [N].
    """

    auc: float
    low: float
    high: float
    p: float
    permutations: int
    scores: Floats


def separate(design: DesignMatrix, label: npt.NDArray[np.bool_], folds: Integers, permutations: int) -> Separation:
    """Train on four folds, test on the fifth, each in turn; and again with the sides of rows permuted.

    The p-value is (1 + exceedances) / (1 + permutations), or exceedances / permutations if `ENOUGH` of them ended it
    early. The interval is DeLong's (1988) with twice the variance: the folds share their training rows, which at 1/2
    doubles the variance of their mean (a pair of folds enters twice, each as the other's training set).

    Args:
        design: the rows of both sides.
        label: whether a row is of the second side, [N].
        folds: the fold of each row, [N].
        permutations: most permutations.
    """
    held_out = design.held_out_scores(label[:, None], folds)[:, 0]
    auc, variance = delong(held_out, label, folds)
    error = _NORMAL * np.sqrt(2 * variance)
    p, drawn = _permutation_p(design, label, folds, auc, permutations)
    return Separation(auc, max(auc - error, 0.0), min(auc + error, 1.0), p, drawn, held_out)


def small_fold(label: npt.NDArray[np.bool_], folds: Integers) -> bool:
    """Whether a fold holds fewer than two rows of a side."""
    return bool(min(np.bincount(folds[label == side], minlength=FOLDS).min() for side in (False, True)) < 2)


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """Sparse rows of both sides, pooled, as the kernels take them; from `of`."""

    starts: Integers
    buckets: Integers
    values: Values
    mean: Values
    step: float

    @classmethod
    def of(cls, starts: Integers, buckets: Integers, values: Floats, size: int) -> DesignMatrix:
        """Rows of sparse values: row i has ``values`` in the columns ``buckets`` from starts[i] to starts[i + 1].

        Rows have a length of about 1; ``size`` columns.
        """
        rows = len(starts) - 1
        row = np.repeat(np.arange(rows), np.diff(starts))
        mean = np.bincount(buckets, weights=values, minlength=size) / rows
        top = _largest_eigenvalue(row, buckets, values, mean, rows)
        # Balanced weights can put more on some rows than 1 / N: a third is added for it.
        step = 1 / (top / 3 + _penalty(rows))
        return cls(starts, buckets, values.astype(np.float32), mean.astype(np.float32), step)

    def held_out_scores(self, labels: npt.NDArray[np.bool_], folds: Integers) -> Floats:
        """Scores of every row by the classifier that was not trained on its fold; [N, P] for labels [N, P]."""
        columns = labels.shape[1]
        pull = np.empty((len(labels), columns * FOLDS), np.float32)
        for f in range(FOLDS):
            pull[:, f::FOLDS] = _pull(labels, folds != f)
        scores = self._scores(self._fit(pull)).reshape(len(labels), columns, FOLDS)
        return np.asarray(np.take_along_axis(scores, folds[:, None, None], axis=2)[:, :, 0], dtype=np.float64)

    def weights(self, label: npt.NDArray[np.bool_]) -> Floats:
        """The classifier trained on all rows, [buckets]."""
        everything = np.ones(len(label), bool)
        return np.asarray(self._fit(_pull(label[:, None], everything))[:, 0], dtype=np.float64)

    def _fit(self, pull: Values) -> Values:
        penalty = _penalty(len(pull))
        return np.asarray(
            fit_logistic(self.starts, self.buckets, self.values, self.mean, pull, penalty, self.step, _ITERATIONS)
        )

    def _scores(self, weights: Values) -> Values:
        return np.asarray(linear_scores(self.starts, self.buckets, self.values, weights))


def _penalty(rows: int) -> float:
    """That of scikit-learn's C = 1 on the training folds, per row."""
    return FOLDS / (FOLDS - 1) / rows


def _pull(labels: npt.NDArray[np.bool_], trained: npt.NDArray[np.bool_]) -> Values:
    """Weights that give both classes half of the total, negative for the first class; [N, P]."""
    second = labels & trained[:, None]
    first = ~labels & trained[:, None]
    up = 0.5 / np.maximum(second.sum(axis=0), 1)
    down = 0.5 / np.maximum(first.sum(axis=0), 1)
    return np.asarray(second * up - first * down, dtype=np.float32)


def _largest_eigenvalue(row: Integers, buckets: Integers, values: Floats, mean: Floats, rows: int) -> float:
    """Of the rows' covariance, by power iteration."""
    vector = np.random.Generator(np.random.PCG64(_SEED)).standard_normal(len(mean))
    top = 0.0
    for _ in range(20):
        along = np.bincount(row, weights=values * vector[buckets], minlength=rows) - mean @ vector
        vector = np.bincount(buckets, weights=values * along[row], minlength=len(mean)) - mean * along.sum()
        vector /= rows
        top = float(np.linalg.norm(vector))
        if top == 0:
            break
        vector /= top
    return top


def _permutation_p(
    design: DesignMatrix, label: npt.NDArray[np.bool_], folds: Integers, observed: float, most: int
) -> tuple[float, int]:
    rng = np.random.Generator(np.random.PCG64(_SEED))
    exceeded = permutations = 0
    while permutations < most:
        size = min(_BLOCK, most - permutations)
        labels = np.stack([rng.permutation(label) for _ in range(size)], axis=1)
        for value in mean_auc(design.held_out_scores(labels, folds), labels, folds):
            permutations += 1
            exceeded += int(value >= observed)
            if exceeded == ENOUGH:
                return exceeded / permutations, permutations
    return (1 + exceeded) / (1 + permutations), permutations
