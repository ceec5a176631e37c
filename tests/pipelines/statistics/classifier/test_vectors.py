import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from corpus_audit.pipelines.statistics.classifier.vectors import vector_test, whiten


def vectors(rng, size, shift=0.0, width=24):
    """Crowded vectors, as a model's are: one large common direction, and few that matter."""
    scales = 0.5 ** np.arange(width)
    raw = rng.normal(size=(size, width)) * scales + 5 * np.eye(width)[0]
    raw[:, 7] += shift * scales[7]
    return raw.astype(np.float32)


def test_whitened_components_are_uncorrelated_and_alike():
    result = whiten(vectors(np.random.default_rng(0), 500))
    covariance = result.T @ result / len(result)
    assert result.shape == (500, 20)  # the last four are below a millionth of the first
    assert (result**2).sum(axis=1).mean() == pytest.approx(1)
    np.testing.assert_allclose(covariance, np.eye(20) / 20, atol=1e-9)
    assert whiten(np.ones((200, 5), np.float32)).shape[1] == 0


def test_the_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    first, second = vectors(rng, 900), vectors(rng, 700, 0.8)
    result = vector_test(first, second, permutations=0)
    rows, label = whiten(np.concatenate([first, second])), np.repeat([0, 1], [900, 700])
    fold = np.arange(1600) % 5
    aucs = []
    for f in range(5):
        model = LogisticRegression(class_weight="balanced").fit(rows[fold != f], label[fold != f])
        aucs.append(roc_auc_score(label[fold == f], model.decision_function(rows[fold == f])))
    assert result.auc == pytest.approx(np.mean(aucs), abs=0.015) and result.auc > 0.65
    assert result.low < result.auc < result.high and (result.documents_first, result.documents_second) == (900, 700)


def test_nulls_are_rejected_rarely_and_covered():
    rng = np.random.default_rng(2)
    tests = [vector_test(vectors(rng, 150), vectors(rng, 200)) for _ in range(60)]
    assert sum(test.p <= 0.05 for test in tests) <= 8
    assert sum(test.low <= 0.5 <= test.high for test in tests) >= 52
    assert all(0 < test.p <= 1 for test in tests)


def test_a_small_direction_is_found():
    rng = np.random.default_rng(3)
    result = vector_test(vectors(rng, 400), vectors(rng, 400, 1.0))
    assert result.auc > 0.7 and result.p == pytest.approx(0.01)


def test_texts_of_both_sides_and_repeats_are_left_out():
    rng = np.random.default_rng(4)
    first, second = vectors(rng, 200), vectors(rng, 200)
    result = vector_test(np.concatenate([first, first[:50], second[:30]]), second, permutations=1)
    assert (result.documents_first, result.documents_second) == (200, 170)


@pytest.mark.parametrize(("sizes", "reason"), [((99, 200), "fewer than 100"), ((200, 0), "fewer than 100")])
def test_too_few_are_no_figure(sizes, reason):
    rng = np.random.default_rng(5)
    result = vector_test(vectors(rng, sizes[0]), vectors(rng, sizes[1]))
    assert np.isnan(result.auc) and reason in result.reason
