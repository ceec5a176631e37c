"""The loss as a law of parameters and tokens, L(N, D) = E + A / N^alpha + B / D^beta, and its robust fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats

DELTA = 1e-3
"""Where Huber's loss of log-residuals turns from a square to a line (Hoffmann et al. 2022)."""

FEWEST_RUNS = 6
"""Runs below which five constants are not fitted."""

_ROUNDS = 400
_CLOSE = 1e-9
_BLOCK = 1 << 21
_STARTS = [
    (a, alpha, b, beta, e)
    for a in (0.0, 5.0, 10.0)
    for alpha in (0.2, 0.5, 1.0)
    for b in (0.0, 5.0, 10.0)
    for beta in (0.2, 0.5, 1.0)
    for e in (-1.0, 0.0, 1.0)
]


@dataclass(frozen=True, slots=True)
class ChinchillaLaw:
    """L(N, D) = exp(e) + exp(a) / N^alpha + exp(b) / D^beta, loss in nats a token.

    Attributes:
        a, alpha: of parameters N.
        b, beta: of training tokens D.
        e: logarithm of the irreducible loss.
    """

    a: float
    alpha: float
    b: float
    beta: float
    e: float

    def loss(self, parameters: npt.ArrayLike, tokens: npt.ArrayLike) -> Floats:
        """The loss that the law expects, in nats a token."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        return np.asarray(np.exp(self.e) + np.exp(self.a) / n**self.alpha + np.exp(self.b) / d**self.beta)

    def optimal(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens of the smallest loss for a budget of 6 N D floating-point operations.

        Hoffmann et al. (2022, equation 4): N = G (C / 6)^(beta / (alpha + beta)), D = C / (6 N),
        G = (alpha A / (beta B))^(1 / (alpha + beta)).
        """
        total = self.alpha + self.beta
        log_g = (np.log(self.alpha / self.beta) + self.a - self.b) / total
        parameters = float(np.exp(log_g + self.beta / total * np.log(flops / 6)))
        return parameters, flops / 6 / parameters


def fit_law(parameters: npt.ArrayLike, tokens: npt.ArrayLike, loss: npt.ArrayLike) -> ChinchillaLaw:
    """Fit the law to runs: approach 3 of Hoffmann et al. (2022, arXiv 2203.15556).

    Minimises the *sum* over runs of Huber's loss (delta = 1e-3) of LSE(a - alpha ln N, b - beta ln D, e) - ln L.
    Besiroglu et al. (2024, arXiv 2404.10102) trace the paper's wrong constants to averaging instead, which ended the
    optimiser early. From a grid of 243 starts, all at once, by Gauss-Newton steps with Huber's weights, damped as by
    Levenberg and Marquardt.

    Runs must be comparable: each at the end of its learning-rate schedule, with one definition of N, one tokenizer and
    one validation set.

    Args:
        parameters: N, [n].
        tokens: D, [n].
        loss: nats a token, [n].

    Raises:
        ValueError: fewer than `FEWEST_RUNS` runs, or a value that is not positive and finite.
    """
    x, y = logarithms(parameters, tokens, loss)
    starts = np.array(_STARTS)
    constants, objective = minimise(x, y, np.ones((len(starts), len(y))), starts)
    return law_of(constants[int(np.argmin(objective))], x)


def law_of(constants: Floats, x: Floats) -> ChinchillaLaw:
    """The law with the constants [5] of `minimise`, whose logarithms are centred."""
    a, alpha, b, beta, e = map(float, constants)
    centre = x.mean(axis=0)
    return ChinchillaLaw(a + alpha * float(centre[0]), alpha, b + beta * float(centre[1]), beta, e)


def constants_of(law: ChinchillaLaw, x: Floats) -> Floats:
    """The constants [5] of a law, as `minimise` has them."""
    centre = x.mean(axis=0)
    return np.array([law.a - law.alpha * centre[0], law.alpha, law.b - law.beta * centre[1], law.beta, law.e])


def logarithms(parameters: npt.ArrayLike, tokens: npt.ArrayLike, loss: npt.ArrayLike) -> tuple[Floats, Floats]:
    """ln N and ln D, [n, 2], and ln L, [n]."""
    n, d, y = (np.asarray(values, dtype=np.float64) for values in (parameters, tokens, loss))
    if len(y) < FEWEST_RUNS or not len(n) == len(d) == len(y):
        raise ValueError(f"a law needs at least {FEWEST_RUNS} runs, each with parameters, tokens and loss")
    if not (np.isfinite(n) & np.isfinite(d) & np.isfinite(y) & (n > 0) & (d > 0) & (y > 0)).all():
        raise ValueError("parameters, tokens and losses must be positive and finite")
    return np.log(np.stack([n, d], axis=1)), np.log(y)


def minimise(x: Floats, y: Floats, weights: Floats, starts: Floats, delta: float = DELTA) -> tuple[Floats, Floats]:
    """Minimise the sum of weighted Huber losses from several starts, or for several weightings, at once.

    Iteratively reweighted least squares (Holland and Welsch 1977, Communications in Statistics A6): Huber's loss is
    majorised by a square with weight min(1, delta / |r|), which a damped Gauss-Newton step reduces; a step that does
    not reduce Huber's loss itself is not taken.

    Args:
        x: ln N and ln D, [n, 2].
        y: ln L, [n].
        weights: of the runs, [B, n].
        starts: constants a, alpha, b, beta, e for ln N and ln D less their means, [B, 5].
        delta: of Huber's loss.

    Returns:
        Constants [B, 5] and the objective [B].
    """
    block = max(1, _BLOCK // (len(y) * 5))
    parts = [
        _minimise_block(x - x.mean(axis=0), y, weights[start : start + block], starts[start : start + block], delta)
        for start in range(0, len(starts), block)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _minimise_block(x: Floats, y: Floats, weights: Floats, starts: Floats, delta: float) -> tuple[Floats, Floats]:
    constants = starts.astype(np.float64).copy()
    residual, slopes = _residuals(constants, x, y)
    objective = _huber(residual, weights, delta)
    damping = np.full(len(constants), 1e-3)
    quiet = np.zeros(len(constants), dtype=np.int64)
    active = np.arange(len(constants))
    for _ in range(_ROUNDS):
        weighted = weights[active] * np.minimum(1.0, delta / np.maximum(np.abs(residual[active]), 1e-300))
        scaled = slopes[active] * weighted[:, :, None]
        hessian = np.matmul(scaled.transpose(0, 2, 1), slopes[active])
        gradient = np.matmul(scaled.transpose(0, 2, 1), residual[active][:, :, None])
        diagonal = np.maximum(np.einsum("bii->bi", hessian), 1e-12)
        damped = hessian + np.einsum("bi,ij->bij", damping[active, None] * diagonal, np.eye(5))
        step = np.clip(np.linalg.solve(damped, gradient)[:, :, 0], -2.0, 2.0)
        proposed = constants[active] - step
        new_residual, new_slopes = _residuals(proposed, x, y)
        new_objective = _huber(new_residual, weights[active], delta)
        better = new_objective < objective[active]
        gained = np.where(better, objective[active] - new_objective, 0.0)
        small = gained <= _CLOSE * np.maximum(objective[active], 1e-300)
        quiet[active] = np.where(small, quiet[active] + 1, 0)
        accepted = active[better]
        constants[accepted], residual[accepted] = proposed[better], new_residual[better]
        slopes[accepted], objective[accepted] = new_slopes[better], new_objective[better]
        damping[active] = np.clip(np.where(better, damping[active] / 3, damping[active] * 5), 1e-9, 1e9)
        active = active[quiet[active] < 8]
        if not len(active):
            break
    return constants, objective


def _residuals(constants: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Residuals of ln L, [B, n], and their slopes in the constants, [B, n, 5]."""
    a, alpha, b, beta, e = (constants[:, [index]] for index in range(5))
    terms = np.stack([a - alpha * x[:, 0], b - beta * x[:, 1], np.broadcast_to(e, (len(constants), len(y)))])
    top = terms.max(axis=0)
    parts = np.exp(terms - top)
    total = parts.sum(axis=0)
    share = parts / total
    slopes = np.stack([share[0], -share[0] * x[:, 0], share[1], -share[1] * x[:, 1], share[2]], axis=2)
    return top + np.log(total) - y, slopes


def _huber(residual: Floats, weights: Floats, delta: float) -> Floats:
    size = np.abs(residual)
    loss = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))
    return np.asarray((weights * loss).sum(axis=1))
