"""Area under the ROC curve within folds, and its variance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers


def _auc_of_ranks(ranks: Floats, label: npt.NDArray[np.bool_]) -> Floats:
    """Mann-Whitney AUC by column from mid-ranks [n, P] and labels [n, P]."""
    second = label.sum(axis=0)
    first = len(label) - second
    return np.asarray(((ranks * label).sum(axis=0) - second * (second + 1) / 2) / (first * second))


def mean_auc(scores: Floats, labels: npt.NDArray[np.bool_], folds: Integers) -> Floats:
    """Mean over the folds of the AUC within, by column: [P] from scores and labels [N, P] and folds [N]."""
    aucs = [_auc_of_ranks(midranks(scores[folds == f]), labels[folds == f]) for f in np.unique(folds)]
    return np.asarray(np.mean(aucs, axis=0))


def delong(scores: Floats, label: npt.NDArray[np.bool_], folds: Integers) -> tuple[float, float]:
    """Mean AUC over the folds and its variance with the folds' classifiers as given (DeLong et al. 1988).

    Args:
        scores: float64 [N].
        label: whether the document is of the second side, bool [N]; every fold holds two of each side.
        folds: int64 [N].
    """
    aucs, variances = [], []
    for f in np.unique(folds):
        score, side = scores[folds == f], label[folds == f]
        pooled = midranks(score)
        second, first = int(side.sum()), int((~side).sum())
        # Each document's chance to be on the right side of one of the other kind.
        above = (pooled[side] - midranks(score[side])) / first
        below = 1 - (pooled[~side] - midranks(score[~side])) / second
        aucs.append(float(above.mean()))
        variances.append(float(above.var(ddof=1)) / second + float(below.var(ddof=1)) / first)
    return float(np.mean(aucs)), float(np.sum(variances)) / len(aucs) ** 2


def midranks(values: Floats) -> Floats:
    """Ranks from 1 along the first axis, ties sharing their mean."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    position = np.broadcast_to(np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1)), values.shape)
    new = np.ones(values.shape, bool)
    new[1:] = ordered[1:] != ordered[:-1]
    last = np.ones(values.shape, bool)
    last[:-1] = new[1:]
    begin = np.maximum.accumulate(np.where(new, position, 0), axis=0)
    end = np.minimum.accumulate(np.where(last, position, len(values))[::-1], axis=0)[::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (begin + end) / 2 + 1, axis=0)
    return ranks
