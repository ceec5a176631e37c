"""How often and how strongly units fire, by domain, with intervals that take documents as clusters of tokens."""

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

    Both parts were split into the same groups by the hash of the document, so that a document in both is in the same
    group of both, and its contributions cancel: with e the residuals of `rates` over their tokens, the variance is
    G / (G - 1) * sum (e2_g - e1_g)^2. Where no document is shared the expectation of that is the sum of the two
    variances.

    Args:
        first, second: sums [G, R] and tokens [G].
    """
    used = (first[1] > 0) & (second[1] > 0)
    groups = int(used.sum())
    no_interval = np.full(first[0].shape[1], np.nan)
    values, errors = [], []
    for sums, tokens in (first, second):
        total = float(tokens.sum())
        value = sums.sum(axis=0) / total if total else no_interval
        values.append(value)
        errors.append((sums[used] - value * tokens[used, None]) / max(total, 1.0))
    difference = values[1] - values[0]
    if groups < LEAST_GROUPS:
        return RatioDifferences(difference, no_interval, no_interval, no_interval, 0)
    deviation = np.sqrt(groups / (groups - 1) * ((errors[1] - errors[0]) ** 2).sum(axis=0))
    reach = QUANTILES[groups - 1] * deviation
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(deviation > 0, difference / deviation, np.where(difference == 0, 0.0, np.nan))
    return RatioDifferences(difference, difference - reach, difference + reach, t, groups - 1)


def dead_bound(documents: int) -> float:
    """Upper 95 % bound of a rate when no token fired: that of a share of documents (Clopper and Pearson 1934).

    Tokens of one document are not independent, so documents are counted and not tokens; 1 without any document.
    """
    return 1.0 - 0.05 ** (1.0 / documents) if documents else 1.0


def rates(sums: np.ndarray, tokens: np.ndarray) -> Rates:
    """Sums over tokens, and the interval of that ratio by the random-groups estimator (Wolter 2007, section 2.4).

    The groups are those into which documents were split by hash, so that a document is never cut. With residuals
    e_g = sum_g - ratio * tokens_g the variance of the ratio is G / (G - 1) * sum e_g^2 / tokens^2.

    Args:
        sums: [G, R], by hash group and unit.
        tokens: [G], tokens that count.
    """
    total = float(tokens.sum())
    used = tokens > 0
    if total == 0:
        no_interval = np.full(sums.shape[1], np.nan)
        return Rates(no_interval, no_interval, no_interval)
    value = sums.sum(axis=0) / total
    groups = int(used.sum())
    if groups < LEAST_GROUPS:
        no_interval = np.full(sums.shape[1], np.nan)
        return Rates(value, no_interval, no_interval)
    residuals = sums[used] - value * tokens[used, None]
    deviation = np.sqrt(groups / (groups - 1) * (residuals**2).sum(axis=0)) / total
    reach = QUANTILES[groups - 1] * deviation
    return Rates(value, value - reach, value + reach)


def firing_rates(fired: np.ndarray, tokens: np.ndarray, documents: int) -> Rates:
    """Share of tokens on which units fired, with an interval within 0 and 1.

    The upper bound of a unit that never fired is `dead_bound`; fewer than `LEAST_GROUPS` groups give no interval.

    Args:
        fired: [G, R], tokens that fired by hash group and unit.
        tokens: [G], tokens that count.
        documents: how many there are.
    """
    rate = rates(np.asarray(fired, np.float64), np.asarray(tokens, np.float64))
    high = np.where(fired.sum(axis=0) == 0, dead_bound(documents), np.minimum(rate.high, 1.0))
    return Rates(rate.value, np.maximum(rate.low, 0.0), np.where(np.isnan(rate.high), np.nan, high))
