"""Ratios of sums over clusters, with intervals: sums of anything over what is counted, such as tokens.

Tokens of one document go together, so that documents are the sampling units and not tokens. Two estimators:

* `ratio_estimates`, where every cluster is known: the linearised variance of a ratio (Cochran 1977, section 6.3). With
  residuals e_c = sum_c - ratio * count_c of C clusters it is C / (C - 1) * sum e_c^2 / count^2.
* `leave_one_out`, where clusters are known only in a few groups of unequal size: the delete-a-group jackknife (CR3 of
  MacKinnon and White 1985). A group with many of the counts, such as that of one very long document, pulls the ratio
  towards itself, and its residual is divided by one less its share of them to make up for that. The degrees of freedom
  are those of Bell and McCaffrey (2002): groups count by their size, so that few or unequal ones widen the interval.

Shares of a whole, which are ratios whose parts add up to it, have designs of their own: `clustered` and `grouped`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from corpus_audit.pipelines.statistics.intervals.clustered import Floats

LEAST_CLUSTERS = 8
"""Clusters (by `Freedom`) or groups without which there is no interval."""


class Freedom(StrEnum):
    """By what clusters are counted: an interval has one less of them as its degrees of freedom.

    EFFECTIVE is Kish's number, count^2 / sum count_c^2, so that one long document cannot make an interval narrow.
    CLUSTERS is their plain number, for counts that may be 0 or less.
    """

    EFFECTIVE = "effective"
    CLUSTERS = "clusters"


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A ratio, and its 95 % interval; None where there are too few clusters, or nothing to divide by."""

    value: float | None
    low: float | None
    high: float | None


def ratio_estimates(
    sums: Floats,
    counts: Floats,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    freedom: Freedom = Freedom.EFFECTIVE,
) -> list[RatioEstimate]:
    """Sums over counts, by the ratio estimator with linearised variance.

    Args:
        sums: float64 [C, R], by cluster and ratio.
        counts: float64 [C], what is divided by, of each cluster.
        bounds: between which every ratio lies.
        freedom: by what clusters are counted; of the effective ones, those whose count is 0 are left out.

    Returns:
        R estimates.
    """
    total = float(counts.sum())
    if total <= 0:
        return [RatioEstimate(None, None, None)] * sums.shape[1]
    value = sums.sum(0) / total
    if freedom is Freedom.EFFECTIVE:
        sums, counts = sums[counts > 0], counts[counts > 0]
    clusters = len(counts)
    counted = total**2 / float((counts**2).sum()) if freedom is Freedom.EFFECTIVE else float(clusters)
    if counted < LEAST_CLUSTERS:
        return [RatioEstimate(float(v), None, None) for v in value]
    # Imported here, as scipy takes longer to import than a lookup in an index, which needs the jackknife alone.
    from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile

    residuals = sums - value * counts[:, None]
    deviation = np.sqrt(clusters / (clusters - 1) * (residuals**2).sum(0)) / total
    reach = float(student_quantile((1 + LEVEL) / 2, counted - 1)) * deviation
    low, high = np.maximum(value - reach, bounds[0]), np.minimum(value + reach, bounds[1])
    return [RatioEstimate(*map(float, row)) for row in zip(value, low, high, strict=True)]


def leave_one_out(sums: Floats, counts: Floats, value: Floats) -> Floats:
    """How far ratios move when a group is left out, [G, R]; the sum of their squares is the jackknife's variance.

    Args:
        sums: [G, R], by group and ratio.
        counts: [G], what is divided by.
        value: [R], the ratios.

    Returns:
        (sum_g - ratio * count_g) / (count - count_g); 0 for a group that counts nothing, or everything.
    """
    rest = float(counts.sum()) - counts
    residuals = sums - value * counts[:, None]
    moved: Floats = residuals / np.where(rest > 0, rest, np.inf)[:, None]
    return moved


def working_covariance(counts: Floats) -> Floats:
    """Covariance [G, G] of `leave_one_out` if a group's sum varies as its count, which is what degrees assume."""
    share = counts / counts.sum()
    left = np.where(share < 1, 1 - share, np.inf)
    residual = (np.eye(len(share)) - share[:, None]) / left[:, None]
    covariance: Floats = (residual * share) @ residual.T
    return covariance


def degrees_of_freedom(covariance: Floats) -> float:
    """Degrees of freedom of a sum of squares with this covariance (Satterthwaite 1946), at least 1.

    Those of the chi squared of the same mean and variance.
    """
    return max(float(np.trace(covariance) ** 2 / (covariance**2).sum()), 1.0)
