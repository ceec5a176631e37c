import numpy as np
import pytest
from scipy import optimize, sparse

from corpus_audit.pipelines.kernels.drift.logistic import fit_logistic, linear_scores


def test_the_minimum_is_reached_for_every_column():
    rng = np.random.Generator(np.random.PCG64(1))
    rows = sparse.random(80, 12, 0.4, random_state=rng, format="csr")
    x = rows.toarray()
    mean = x.mean(axis=0)
    pull = rng.choice([-0.02, 0.0, 0.03], (80, 3))
    arguments = rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data.astype(np.float32)
    penalty = 0.05
    step = 1 / (0.25 * np.linalg.eigvalsh((x - mean).T @ (x - mean)).max() * 0.03 + penalty)
    weights = fit_logistic(*arguments, mean.astype(np.float32), pull.astype(np.float32), penalty, step, 400)
    for column in range(3):
        sign, size = np.sign(pull[:, column]), np.abs(pull[:, column])

        def objective(w, sign=sign, size=size):
            return (size * np.logaddexp(0, -sign * ((x - mean) @ w))).sum() + penalty / 2 * w @ w

        best = optimize.minimize(objective, np.zeros(12), tol=1e-12).x
        assert weights[:, column] == pytest.approx(best, abs=2e-4)
    assert linear_scores(*arguments, weights) == pytest.approx(x @ weights, abs=1e-5)
