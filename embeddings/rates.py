"""How often and how strongly units fire, by domain, with intervals that know that tokens come in documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

T_15 = 2.131449545559323
"""97.5 % quantile of Student's t with 15 degrees of freedom: sixteen groups of documents less one."""

LEAST_GROUPS = 8
"""Groups that must hold tokens; with fewer there is no interval."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A ratio and its 95 % interval, float64 [..., R]; NaN where there is none."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def rates(sums: np.ndarray, tokens: np.ndarray) -> Rates:
    """Sums over tokens, and the interval of that ratio by the random-groups estimator (Wolter 2007, section 2.4).

    The groups are those that documents were dealt into by hash, so that what varies together stays together. With
    residuals e_g = sum_g - ratio * tokens_g the variance of the ratio is G / (G - 1) * sum e_g^2 / tokens^2.

    Args:
        sums: [G, R], by hash group and unit.
        tokens: [G], tokens that count.
    """
    total = float(tokens.sum())
    held = tokens > 0
    if total == 0:
        nothing = np.full(sums.shape[1], np.nan)
        return Rates(nothing, nothing, nothing)
    value = sums.sum(axis=0) / total
    groups = int(held.sum())
    if groups < LEAST_GROUPS:
        nothing = np.full(sums.shape[1], np.nan)
        return Rates(value, nothing, nothing)
    residuals = sums[held] - value * tokens[held, None]
    deviation = np.sqrt(groups / (groups - 1) * (residuals**2).sum(axis=0)) / total
    return Rates(value, value - T_15 * deviation, value + T_15 * deviation)
