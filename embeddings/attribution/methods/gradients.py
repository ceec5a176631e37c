"""Attribution by gradients: saliency, gradient x input, integrated gradients.

* Saliency (Simonyan et al. 2014, 1312.6034): the length of the gradient at a position, over its features. It has no
  sign: it says how sensitive the activation is to a position, not which way.
* Gradient x input (Shrikumar et al. 2016, 1605.01713): the dot product of the gradient and the input, signed.
* Integrated gradients (Sundararajan et al. 2017, 1703.01365): (x - b) times the mean gradient on the straight line from
  the baseline b to x, by Gauss-Legendre quadrature. They sum to F(x) - F(b) (completeness); how far the sum is off
  measures the error of the quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attribution.methods.target import ScalarTarget

FIRST_STEPS, MOST_STEPS = 16, 512


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients and the error of their quadrature.

    Attributes:
        values: float64 [*positions].
        error: |sum of the values - (F(x) - F(b))| / max(|F(x)|, |F(b)|); 0 if all of these are 0.
        steps: points of the quadrature.
        converged: whether ``error`` is at most the tolerance.
    """

    values: np.ndarray
    error: float
    steps: int
    converged: bool


def saliency(target: ScalarTarget) -> np.ndarray:
    """The length of the gradient at each position, float64 [*positions]."""
    (gradient,) = target.gradients(target.input[None])
    lengths: np.ndarray = np.sqrt(target.over_positions(gradient[0].double() ** 2))
    return lengths


def gradient_x_input(target: ScalarTarget) -> np.ndarray:
    """The dot product of gradient and input at each position, float64 [*positions]."""
    (gradient,) = target.gradients(target.input[None])
    return target.over_positions(gradient[0] * target.input)


def integrated_gradients(
    target: ScalarTarget, tolerance: float, steps: int = FIRST_STEPS, most_steps: int = MOST_STEPS
) -> IntegratedGradients:
    """Integrated gradients; the number of steps is doubled until the completeness error is within a tolerance.

    Args:
        target: the function, its input and its baseline.
        tolerance: of the completeness error; 1e-3 for transformers, 1e-2 for networks of ReLUs and convolutions, whose
            gradient jumps.
        steps: points of the first quadrature.
        most_steps: the result of so many points is returned whether it is within the tolerance or not.
    """
    while True:
        values = integrate(target, steps)
        error = completeness_error(values, target)
        if error <= tolerance or 2 * steps > most_steps:
            return IntegratedGradients(values, error, steps, error <= tolerance)
        steps *= 2


def integrate(target: ScalarTarget, steps: int) -> np.ndarray:
    """Integrated gradients by so many points, whatever their error is, float64 [*positions]."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    difference = target.input - target.baseline
    total = torch.zeros_like(target.input, dtype=torch.float64)
    for begin in range(0, steps, target.rows):
        part = slice(begin, begin + target.rows)
        shape = (-1, *[1] * difference.dim())
        along = torch.as_tensor((points[part] + 1) / 2, dtype=difference.dtype, device=difference.device)
        (gradients,) = target.gradients(target.baseline + along.reshape(shape) * difference)
        # One product of a matrix and a vector; the quadrature's weights sum to 2.
        weight = torch.as_tensor(weights[part] / 2, dtype=gradients.dtype, device=gradients.device)
        total += torch.tensordot(weight, gradients, 1)
    return target.over_positions(total * difference)


def completeness_error(values: np.ndarray, target: ScalarTarget) -> float:
    """How far values are from summing to F(x) - F(b), over the larger magnitude of F(x) and F(b)."""
    off = abs(float(values.sum()) - (target.value - target.baseline_value))
    scale = max(abs(target.value), abs(target.baseline_value))
    if scale == 0:
        return 0.0 if off == 0 else float("inf")
    return off / scale
