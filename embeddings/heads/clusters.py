"""Ratios over documents, with intervals that take documents as clusters of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.intervals.proportions import student_quantile

LEAST_DOCUMENTS = 8
"""Effective documents without which there is no interval."""


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A ratio, and its 95 % interval; None where there are too few documents, or nothing to divide by."""

    value: float | None
    low: float | None
    high: float | None


def ratio(sums: np.ndarray, counts: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> list[RatioEstimate]:
    """Sums over counts, by the ratio estimator with documents as clusters (Cochran 1977, section 6.3).

    With residuals e_d = sum_d - ratio * count_d of n documents, the variance is n / (n - 1) * sum e_d^2 / count^2. The
    degrees of freedom are those of Kish's effective number of documents, count^2 / sum count_d^2, less one, so that one
    long document cannot make an interval narrow.

    Args:
        sums: float64 [D, R], by document and ratio.
        counts: float64 [D], what is divided by, of each document.
        bounds: between which every ratio lies.

    Returns:
        R estimates.
    """
    total = float(counts.sum())
    if total <= 0:
        return [RatioEstimate(None, None, None)] * sums.shape[1]
    value = sums.sum(0) / total
    used = counts > 0
    documents, effective = int(used.sum()), total**2 / float((counts**2).sum())
    if effective < LEAST_DOCUMENTS:
        return [RatioEstimate(float(v), None, None) for v in value]
    residuals = sums[used] - value * counts[used, None]
    deviation = np.sqrt(documents / (documents - 1) * (residuals**2).sum(0)) / total
    reach = float(student_quantile(0.975, effective - 1)) * deviation
    low, high = np.maximum(value - reach, bounds[0]), np.minimum(value + reach, bounds[1])
    return [RatioEstimate(*map(float, row)) for row in zip(value, low, high, strict=True)]
