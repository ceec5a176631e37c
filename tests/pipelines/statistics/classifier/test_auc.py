import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from corpus_audit.pipelines.statistics.classifier.auc import delong, mean_auc, midranks


def test_midranks_are_those_of_scipy():
    values = np.random.Generator(np.random.PCG64(1)).integers(0, 8, (50, 4)).astype(float)
    assert np.array_equal(midranks(values), stats.rankdata(values, axis=0))
    assert np.array_equal(midranks(values[:, 0]), stats.rankdata(values[:, 0]))


def test_mean_auc_is_that_of_scikit_learn_within_folds():
    rng = np.random.Generator(np.random.PCG64(2))
    scores, labels, folds = rng.integers(0, 20, (90, 3)).astype(float), rng.random((90, 3)) < 0.4, np.arange(90) % 5
    for column, result in enumerate(mean_auc(scores, labels, folds)):
        each = [roc_auc_score(labels[folds == f, column], scores[folds == f, column]) for f in range(5)]
        assert result == pytest.approx(np.mean(each), rel=1e-12)


def test_delong_is_the_variance_of_its_parts():
    rng = np.random.Generator(np.random.PCG64(3))
    label, folds = rng.random(80) < 0.5, np.arange(80) % 2
    scores = rng.standard_normal(80) + label
    result, variance = delong(scores, label, folds)
    expected, variances = [], []
    for f in range(2):
        second, first = (scores[(folds == f) & (label == side)] for side in (True, False))
        wins = (second[:, None] > first).astype(float)
        expected.append(wins.mean())
        variances.append(wins.mean(axis=1).var(ddof=1) / len(second) + wins.mean(axis=0).var(ddof=1) / len(first))
    assert result == pytest.approx(np.mean(expected)) and variance == pytest.approx(np.sum(variances) / 4)
