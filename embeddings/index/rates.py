"""How often and how strongly units fire, by domain, with intervals that know that tokens come in documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_GROUPS = 8
"""Groups that must hold tokens; with fewer there is no interval."""

QUANTILES = {7: 2.364624, 8: 2.306004, 9: 2.262157, 10: 2.228139, 11: 2.200985, 12: 2.178813, 13: 2.160369,
             14: 2.144787, 15: 2.131450}  # fmt: skip
"""97.5 % quantiles of Student's t by degrees of freedom, groups less one; a table, as importing scipy takes longer than
a lookup."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A ratio and its 95 % interval, float64 [..., R]; NaN where there is none."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, slots=True)
class RatioDifferences:
    """RatioDifferences of ratios, with intervals and p-values, float64 [R]; NaN where there is none.

    Attributes:
        value, low, high: the difference and its 95 % interval.
        t: value over its standard error; degrees: of freedom of t.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    t: np.ndarray
    degrees: int


def differences(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> RatioDifferences:
    """The second ratio less the first, for parts of a corpus or two snapshots.

    Both were dealt into the same groups by the hash of the document, so that a document which both hold is in one group
    of both, and what it adds to both cancels: with e the residuals of `rates` over their tokens, the variance is
    G / (G - 1) * sum (e2_g - e1_g)^2. Where no document is shared the expectation of that is the sum of the two
    variances.

    Args:
        first, second: sums [G, R] and tokens [G].
    """
    held = (first[1] > 0) & (second[1] > 0)
    groups = int(held.sum())
    nothing = np.full(first[0].shape[1], np.nan)
    values, errors = [], []
    for sums, tokens in (first, second):
        total = float(tokens.sum())
        value = sums.sum(axis=0) / total if total else nothing
        values.append(value)
        errors.append((sums[held] - value * tokens[held, None]) / max(total, 1.0))
    difference = values[1] - values[0]
    if groups < LEAST_GROUPS:
        return RatioDifferences(difference, nothing, nothing, nothing, 0)
    deviation = np.sqrt(groups / (groups - 1) * ((errors[1] - errors[0]) ** 2).sum(axis=0))
    reach = QUANTILES[groups - 1] * deviation
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(deviation > 0, difference / deviation, np.where(difference == 0, 0.0, np.nan))
    return RatioDifferences(difference, difference - reach, difference + reach, t, groups - 1)


def dead_bound(documents: int) -> float:
    """Upper 95 % bound of a rate when no token fired: that of a share of documents (Clopper and Pearson 1934).

    A document's tokens may all go the same way, so documents are what is counted; 1 without any.
    """
    return 1.0 - 0.05 ** (1.0 / documents) if documents else 1.0


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
    reach = QUANTILES[groups - 1] * deviation
    return Rates(value, value - reach, value + reach)


def firing_rates(fired: np.ndarray, tokens: np.ndarray, documents: int) -> Rates:
    """Share of tokens that units fired on, within 0 and 1; if on none, up to `dead_bound`. No interval of few groups.

    Args:
        fired: [G, R], tokens that fired by hash group and unit.
        tokens: [G], tokens that count.
        documents: how many there are.
    """
    found = rates(np.asarray(fired, np.float64), np.asarray(tokens, np.float64))
    high = np.where(fired.sum(axis=0) == 0, dead_bound(documents), np.minimum(found.high, 1.0))
    return Rates(found.value, np.maximum(found.low, 0.0), np.where(np.isnan(found.high), np.nan, high))
