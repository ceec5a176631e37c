"""Scaling laws: fits against known laws and another optimiser, published values, coverage of intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from corpus_audit.pipelines.statistics.scaling.data_constrained import MUENNIGHOFF_C4, DataConstrainedLaw
from corpus_audit.pipelines.statistics.scaling.law import DELTA, ChinchillaLaw, constants_of, fit_law, logarithms
from corpus_audit.pipelines.statistics.scaling.uncertainty import fit_with_intervals

BESIROGLU = ChinchillaLaw(np.log(477.83), 0.3473, np.log(2143.4), 0.3672, np.log(1.8172))
"""The constants that Besiroglu et al. (2024) fit to Hoffmann's runs."""


def runs(rng: np.random.Generator, count: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs with 40 M to 16 B parameters and 6e18 to 3e21 operations, with heavy-tailed noise of ln L."""
    n = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), count))
    d = np.maximum(np.exp(rng.uniform(np.log(6e18), np.log(3e21), count)) / 6 / n, 5e8)
    return n, d, BESIROGLU.loss(n, d) * np.exp(rng.standard_t(4, count) * noise)


def test_runs_without_noise_give_back_their_law() -> None:
    n, d, loss = runs(np.random.default_rng(1), 60, 0.0)
    law = fit_law(n, d, loss)
    fitted = [np.exp(law.a), law.alpha, np.exp(law.b), law.beta, np.exp(law.e)]
    assert fitted == pytest.approx([477.83, 0.3473, 2143.4, 0.3672, 1.8172], rel=2e-3)
    assert law.loss(n, d) == pytest.approx(loss, rel=1e-5)


def test_the_objective_is_that_of_another_optimiser() -> None:
    n, d, loss = runs(np.random.default_rng(2), 240, 0.005)
    law = fit_law(n, d, loss)
    x, y = logarithms(n, d, loss)
    centred = x - x.mean(axis=0)

    def objective(constants: np.ndarray) -> float:
        a, alpha, b, beta, e = constants
        terms = np.stack([a - alpha * centred[:, 0], b - beta * centred[:, 1], np.full(len(y), e)])
        return float(np.sum(_huber(np.logaddexp.reduce(terms) - y)))

    start = constants_of(law, x)
    others = [optimize.minimize(objective, start + shift, method="BFGS", tol=1e-12).fun for shift in (0.0, 0.02, -0.05)]
    assert objective(start) <= min(others) * (1 + 1e-6)


def _huber(residual: np.ndarray) -> np.ndarray:
    return np.where(np.abs(residual) <= DELTA, 0.5 * residual**2, DELTA * (np.abs(residual) - 0.5 * DELTA))


def test_the_optimum_of_a_budget_is_a_minimum() -> None:
    parameters, tokens = BESIROGLU.optimal(5.76e23)
    assert 6 * parameters * tokens == pytest.approx(5.76e23)
    best = float(BESIROGLU.loss(parameters, tokens))
    assert best < min(float(BESIROGLU.loss(parameters * f, tokens / f)) for f in (0.98, 1.02))
    assert 15 < tokens / parameters < 30  # about 20 tokens a parameter


@pytest.mark.parametrize(
    ("parameters", "tokens", "loss"),
    [(6.34e9, 242e9, 2.2256440889984477), (8.67e9, 178e9, 2.2269634075087867)],
)
def test_the_data_constrained_law_has_the_values_that_its_authors_publish(
    parameters: float, tokens: float, loss: float
) -> None:
    assert MUENNIGHOFF_C4.loss(parameters, tokens, 25e9) == pytest.approx(loss, abs=1e-13)


def test_unrepeated_tokens_are_worth_themselves_and_repeats_less_and_less() -> None:
    law = DataConstrainedLaw(BESIROGLU)
    assert law.effective_tokens(1e9, 1e9) == 1e9
    worth = [law.effective_tokens(epochs * 1e9, 1e9) for epochs in (1, 2, 4, 40, 4000)]
    assert worth == sorted(worth) and worth[2] > 3.7e9 and worth[-1] == pytest.approx(16.387756e9)
    with pytest.raises(ValueError, match="at most the tokens"):
        law.loss(1e9, 1e9, 2e9)


def test_a_run_off_its_law_is_outside_and_others_are_inside() -> None:
    rng = np.random.default_rng(3)
    n, d, loss = runs(rng, 60, 0.004)
    fitted = fit_with_intervals(n, d, loss, replicates=200)
    expected = float(BESIROGLU.loss(7e10, 1.4e12))
    prediction = fitted.predict(7e10, 1.4e12)
    assert prediction.low < expected < prediction.high
    assert not prediction.low < expected * 1.06 < prediction.high
    assert fitted.p_of(7e10, 1.4e12, expected) > 0.3 and fitted.p_of(7e10, 1.4e12, expected * 1.06) < 1e-4
    for name, truth in (("E", 1.8172), ("alpha", 0.3473), ("beta", 0.3672)):
        assert fitted.intervals[name].low < truth < fitted.intervals[name].high
    assert fitted.left_out.shape == (60,) and np.median(np.abs(fitted.left_out)) < 0.01


@pytest.mark.parametrize(
    ("n", "loss"), [([1e8] * 5, [3.0] * 5), ([1e8] * 5 + [0.0], [3.0] * 6), ([1e8] * 6, [3.0] * 5 + [np.nan])]
)
def test_too_few_or_impossible_runs_are_refused(n: list[float], loss: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 6 runs|positive and finite"):
        fit_law(n, [1e9] * len(n), loss)


@pytest.mark.slow
def test_intervals_cover_the_laws_constants_and_the_losses_of_new_runs() -> None:
    rng = np.random.default_rng(4)
    constants, losses, chances = [], [], []
    for _ in range(25):
        n, d, loss = runs(rng, 80, 0.005)
        fitted = fit_with_intervals(n, d, loss, replicates=100)
        constants += [fitted.intervals[name].low < truth < fitted.intervals[name].high
                      for name, truth in (("E", 1.8172), ("alpha", 0.3473), ("beta", 0.3672))]  # fmt: skip
        for new_n, new_d, new in zip(*runs(rng, 10, 0.005), strict=True):
            prediction = fitted.predict(new_n, new_d)
            losses.append(prediction.low < new < prediction.high)
            chances.append(fitted.p_of(new_n, new_d, new))
    # 250 runs on their law, whose noise is heavy-tailed.
    assert 0.01 <= np.mean(np.array(chances) <= 0.05) <= 0.09 and 0.4 <= np.mean(chances) <= 0.65
    assert np.mean(constants) >= 0.87 and np.mean(losses) >= 0.91


def test_the_optimum_on_a_corpus_is_that_of_unrepeated_data_until_tokens_repeat() -> None:
    law = DataConstrainedLaw(BESIROGLU)
    flops = 6e21
    n, d = BESIROGLU.optimal(flops)
    parameters, tokens, loss = law.optimal(flops, 10 * d)
    assert (parameters, tokens) == pytest.approx((n, d), rel=0.01)
    assert loss == pytest.approx(float(BESIROGLU.loss(n, d)), rel=1e-6)
    unique = d / 20
    parameters, tokens, loss = law.optimal(flops, unique)
    assert tokens > unique and loss > float(BESIROGLU.loss(n, d)) + 0.01

    def by_search(log_n: float) -> float:
        value = float(np.exp(log_n))
        return law.loss(value, max(flops / 6 / value, unique), unique)

    other = optimize.minimize_scalar(by_search, bounds=(np.log(n / 30), np.log(n * 30)), method="bounded")
    assert loss == pytest.approx(other.fun, rel=1e-6) and parameters == pytest.approx(np.exp(other.x), rel=0.01)
