"""Smallest difference that a comparison of two models can detect, and how many items detect a given one."""

from __future__ import annotations

import math

import numpy as np

from corpus_audit.pipelines.statistics import special

ALPHA = 0.05
POWER = 0.8


def quantiles(alpha: float = ALPHA, power: float = POWER) -> float:
    """z_{1 - alpha / 2} + z_{power}: 2.80 at 5 % and 80 %."""
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def detectable_from_error(error: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Minimum detectable difference of a comparison whose standard error is ``error``, in the same unit."""
    return quantiles(alpha, power) * error


def minimum_detectable(
    items: int,
    between: float,
    within: tuple[float, float],
    repeats: tuple[float, float],
    alpha: float = ALPHA,
    power: float = POWER,
) -> float:
    """Minimum detectable difference of two models on n items, in units of the score.

    Miller (2024, arXiv 2411.00640, section 5): sqrt((z_{a/2} + z_b)^2 (w^2 + s_A^2 / K_A + s_B^2 / K_B) / n).

    Args:
        items: n.
        between: w^2, variance over items of the difference of both models' expected scores.
        within: s_A^2 and s_B^2, mean variance of a score when the item is answered again.
        repeats: K_A and K_B, answers an item; infinity for the expected score itself.
        alpha: level of the two-sided test.
        power: chance of detecting the difference.
    """
    variance = between + within[0] / repeats[0] + within[1] / repeats[1]
    return quantiles(alpha, power) * float(np.sqrt(variance / items))


def items_needed(
    difference: float,
    between: float,
    within: tuple[float, float],
    repeats: tuple[float, float],
    alpha: float = ALPHA,
    power: float = POWER,
) -> int:
    """Items that detect ``difference``: the inverse of `minimum_detectable`, rounded to the nearest as in the paper.

    Raises:
        ValueError: if the difference is 0.
    """
    if difference == 0:
        raise ValueError("no number of items detects a difference of 0")
    single = minimum_detectable(1, between, within, repeats, alpha, power)
    return math.floor((single / difference) ** 2 + 0.5)
