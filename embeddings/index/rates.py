"""How often and how strongly units fire, by domain, with intervals that take documents as clusters of tokens.

Documents are dealt into groups by hash, and a group's tokens and sums are all that is known of it. The variance of a
ratio of sums is that of the ratios without each group in turn, with degrees of freedom by which few or unequal groups
make a wider interval: the delete-a-group jackknife of `pipelines/statistics/intervals/ratios.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.intervals.ratios import (
    LEAST_CLUSTERS,
    degrees_of_freedom,
    leave_one_out,
    working_covariance,
)

LEAST_GROUPS = LEAST_CLUSTERS
"""Groups that must hold tokens; with fewer there is no interval."""

LEAST_DOCUMENTS = 30
"""Documents that either side of a difference must have: with fewer, what few of them share looks like a difference."""

QUANTILES = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582, 6: 2.446912, 7: 2.364624, 8: 2.306004,
             9: 2.262157, 10: 2.228139, 11: 2.200985, 12: 2.178813, 13: 2.160369, 14: 2.144787,
             15: 2.131450}  # fmt: skip
"""97.5 % quantiles of Student's t by degrees of freedom, groups less one at most; a table, as importing scipy takes
longer than a lookup."""


@dataclass(frozen=True, slots=True)
class Rates:
    """A ratio and its 95 % interval, float64 [..., R]; NaN where there is none.

    Attributes:
        value, low, high: the ratio and its interval.
        degrees: of freedom of the interval; 0 where there is none.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    degrees: float = 0.0


@dataclass(frozen=True, slots=True)
class RatioDifferences:
    """Differences of ratios, with intervals and p-values, float64 [R]; NaN where there is none.

    Attributes:
        value, low, high: the difference and its 95 % interval.
        t: value over its standard error; degrees: of freedom of t.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    t: np.ndarray
    degrees: float


def quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t at 1 to 15 degrees of freedom, interpolated in their inverse.

    Between two whole numbers it is too wide by at most 2 % (from 1 to 2 degrees, by 18 %), and never too narrow.
    """
    known = np.array(sorted(QUANTILES, reverse=True))
    return float(np.interp(1 / degrees, 1 / known, [QUANTILES[int(whole)] for whole in known]))


def differences(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    documents: tuple[int, int],
    disjoint: bool = False,
) -> RatioDifferences:
    """The second ratio less the first, for parts of a corpus or two snapshots.

    Both parts were split into the same groups by the hash of the document, so that a document in both is in the same
    group of both, and its contributions cancel: with e the residuals of `rates` over their tokens, each over one less
    its group's share of tokens, the variance is sum (e2_g - e1_g)^2. Where no document is shared the expectation of
    that is the sum of the two variances.

    Where a unit is active in few documents, those in which two parts differ may hold none of them: the sums then vary
    less than they would with other documents of the same kind, and a difference looks larger than it is. It is
    therefore judged with no less variance than it would have if documents of both were drawn alike: of parts that share
    no document, if those of the part with the lower ratio were drawn as those of the other (`_borrowed_variance`); of
    snapshots, which differ by documents that came and by documents that went, if those of both were drawn as those of
    the larger one (`_variance_if_alike`).

    Args:
        first, second: sums [G, R] and tokens [G].
        documents: how many either has; with fewer than `LEAST_DOCUMENTS` there is no interval.
        disjoint: whether no document is in both.
    """
    no_interval = np.full(first[0].shape[1], np.nan)
    values, errors, designs = [], [], []
    for (sums, tokens), count in zip((first, second), documents, strict=True):
        total = float(tokens.sum())
        value = sums.sum(axis=0) / total if total else no_interval
        values.append(value)
        if total:
            errors.append(leave_one_out(sums, tokens, value))
            designs.append(working_covariance(tokens) / max(count, 1))
    difference = values[1] - values[0]
    groups = int(((first[1] > 0) & (second[1] > 0)).sum())
    if groups < LEAST_GROUPS or min(documents) < LEAST_DOCUMENTS:
        return RatioDifferences(difference, no_interval, no_interval, no_interval, 0.0)
    variance = ((errors[1] - errors[0]) ** 2).sum(axis=0)
    if disjoint:
        one, other = ((error**2).sum(axis=0) for error in errors)
        below = one + np.maximum(other, _borrowed_variance(one, (first[1], second[1]), documents))
        above = other + np.maximum(one, _borrowed_variance(other, (second[1], first[1]), documents[::-1]))
        variance = np.maximum(variance, np.where(difference < 0, below, above))
    else:
        larger = int(documents[1] > documents[0])
        known = (errors[larger] ** 2).sum(axis=0)
        variance = np.maximum(variance, _variance_if_alike(known, (first[1], second[1]), documents, larger))
    deviation = np.sqrt(variance)
    degrees = _degrees(designs[0] + designs[1])
    reach = quantile(degrees) * deviation
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(deviation > 0, difference / deviation, np.where(difference == 0, 0.0, np.nan))
    return RatioDifferences(difference, difference - reach, difference + reach, t, degrees)


def _borrowed_variance(
    variance: np.ndarray, tokens: tuple[np.ndarray, np.ndarray], documents: tuple[int, int]
) -> np.ndarray:
    """Variance of the second side's ratio if its documents are drawn as those of the first, [R].

    With documents of their own means the variance of a ratio is proportional to sum l^2 / (sum l)^2 over documents of l
    tokens. That is at least 1 / documents, and dealing documents into G groups at random gives an unbiased estimate of
    it, sum (T_g - T / G)^2 / (T^2 (1 - 1 / G)) of the groups' tokens T_g. The larger of the two ratios of it is taken.

    Args:
        variance: [R], of the first side's ratio.
        tokens: [G], of either side.
        documents: how many either has.
    """
    unequal = []
    for own, count in zip(tokens, documents, strict=True):
        estimate = float(((own - own.mean()) ** 2).sum() / (own.sum() ** 2 * (1 - 1 / len(own))))
        unequal.append(max(estimate, 1 / count))
    scaled: np.ndarray = variance * max(documents[0] / documents[1], unequal[1] / unequal[0])
    return scaled


def _variance_if_alike(
    variance: np.ndarray, tokens: tuple[np.ndarray, np.ndarray], documents: tuple[int, int], larger: int
) -> np.ndarray:
    """Variance of a difference of ratios of two snapshots if all documents are drawn as those of the larger one, [R].

    With documents of their own means the variance of a difference is proportional to sum (l2 / T2 - l1 / T1)^2 over
    documents of l1 tokens in one and l2 in the other snapshot, and that of the one ratio to sum l^2 / T^2. As documents
    are dealt into G groups at random, sum (T2_g / T2 - T1_g / T1)^2 / (1 - 1 / G) over groups estimates the former
    without bias, and sum (T_g / T - 1 / G)^2 / (1 - 1 / G), which is taken to be at least 1 / documents, the latter.

    Args:
        variance: [R], of the larger snapshot's ratio.
        tokens: [G], of either snapshot.
        documents: how many either has.
        larger: 0 or 1, the snapshot of more documents.
    """
    shares = [own / own.sum() for own in tokens]
    lost = 1 - 1 / len(shares[0])
    difference = float(((shares[1] - shares[0]) ** 2).sum()) / lost
    own = float(((shares[larger] - 1 / len(shares[larger])) ** 2).sum()) / lost
    scaled: np.ndarray = variance * difference / max(own, 1 / documents[larger])
    return scaled


def dead_bound(documents: int) -> float:
    """Upper 95 % bound of a rate when no token fired: that of a share of documents (Clopper and Pearson 1934).

    Tokens of one document are not independent, so documents are counted and not tokens; 1 without any document.
    """
    return 1.0 - 0.05 ** (1.0 / documents) if documents else 1.0


def rates(sums: np.ndarray, tokens: np.ndarray) -> Rates:
    """Sums over tokens, and the interval of that ratio by the delete-a-group jackknife.

    The groups are those into which documents were split by hash, so that a document is never cut. With residuals
    e_g = sum_g - ratio * tokens_g the variance of the ratio is sum (e_g / (1 - tokens_g / tokens))^2 / tokens^2.

    Args:
        sums: [G, R], by hash group and unit.
        tokens: [G], tokens that count.
    """
    total = float(tokens.sum())
    no_interval = np.full(sums.shape[1], np.nan)
    if total == 0:
        return Rates(no_interval, no_interval, no_interval)
    value = sums.sum(axis=0) / total
    if int((tokens > 0).sum()) < LEAST_GROUPS:
        return Rates(value, no_interval, no_interval)
    deviation = np.sqrt((leave_one_out(sums, tokens, value) ** 2).sum(axis=0))
    degrees = _degrees(working_covariance(tokens))
    reach = quantile(degrees) * deviation
    return Rates(value, value - reach, value + reach, degrees)


def _degrees(covariance: np.ndarray) -> float:
    """Degrees of freedom, at most those that the table of quantiles has."""
    return min(degrees_of_freedom(covariance), float(max(QUANTILES)))


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
    return Rates(rate.value, np.maximum(rate.low, 0.0), np.where(np.isnan(rate.high), np.nan, high), rate.degrees)
