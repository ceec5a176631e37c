"""How document lengths changed between two snapshots, from their histograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.lengths import histogram_quantiles
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile

PERCENTS = (5, 25, 50, 75, 95, 99)
STATISTICS = ("p05", "p25", "p50", "p75", "p95", "p99", "mean", "ks")

FEWEST_DOCUMENTS = 8
"""Documents that each side must have for bounds of the mean and of the largest gap."""


@dataclass(frozen=True)
class LengthHistogram:
    """Documents by length, int64 [B] each, buckets ascending: the smallest and the largest length in each."""

    low: Integers
    high: Integers
    documents: Integers

    @property
    def size(self) -> int:
        """Documents."""
        return int(self.documents.sum())


@dataclass(frozen=True)
class LengthDrift:
    """Changes of the `STATISTICS`, float64 [8] each; NaN where the sample is too small to say.

    Attributes:
        value_baseline, value_current: the statistic on each side; the largest gap has no value of a side.
        change: log2 of current over baseline, 0 where both are 0; for ks the gap itself, largest difference of the two
            distributions.
        low, high: 95 % bounds of the change.
    """

    value_baseline: Floats
    value_current: Floats
    change: Floats
    low: Floats
    high: Floats


def length_drift(baseline: LengthHistogram, current: LengthHistogram, shared: int) -> LengthDrift:
    """Compare two histograms over the same table of buckets.

    A quantile has order-statistic bounds on each side (`lengths.histogram_quantiles`), and the bounds of the log ratio
    combine those of the sides (Zou and Donner 2008, Statistics in Medicine 27): with values x_i, bounds l_i and u_i,
    all logarithms,

        low = x_2 - x_1 - sqrt((x_2 - l_2)^2 + (u_1 - x_1)^2 - 2 rho (x_2 - l_2) (u_1 - x_1)),

    ``high`` likewise. Documents that both sides hold, n_S of n_1 and n_2, make the sides correlated,
    rho = n_S / sqrt(n_1 n_2). That is exact to first order if the shared documents' lengths are distributed as the
    sides' are, and an approximation where they are not. Uneven bounds at a high rho give wider intervals than need be.
    Lengths are known by bucket: to 1 %, exactly below 100.

    The log ratio of the means has a Student interval by the delta method, with the covariance rho times the smaller of
    the two variances, so that a side that drifts away from the shared documents is not taken to vary with them.

    The largest gap is Kolmogorov and Smirnov's, at the edges of buckets. Its error is at most the largest error of the
    difference of the two distributions, so its bounds are the gap -+ k sqrt(1 / n_1 + 1 / n_2 - 2 n_S / (n_1 n_2)), k
    the quantile of Kolmogorov's distribution (1.36), cut to [0, 1]: conservative.

    Args:
        baseline, current: the sides' histograms, shared documents included.
        shared: documents that both sides hold.

    Raises:
        ValueError: if more documents are shared than a side has.
    """
    sizes = baseline.size, current.size
    if not 0 <= shared <= min(sizes):
        raise ValueError(f"{shared} documents are shared by sides of {sizes[0]} and {sizes[1]}")
    rho = shared / float(np.sqrt(float(sizes[0]) * sizes[1])) if min(sizes) else 0.0
    sides = [_quantiles(side) for side in (baseline, current)]
    means, errors = zip(*(_mean(side) for side in (baseline, current)), strict=True)
    values = [np.append(side[0], mean) for side, mean in zip(sides, means, strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(values[0] == values[1], 0.0, np.log2(values[1]) - np.log2(values[0]))
        (x1, low1, high1), (x2, low2, high2) = (np.log2(side) for side in sides)
        down, up = _combined(x2 - low2, high1 - x1, rho), _combined(high2 - x2, x1 - low1, rho)
        scaled = np.array([1 / np.float64(means[0]), 1 / np.float64(means[1])])
        variance = (scaled * errors) @ (scaled * errors) - 2 * rho * min(errors) ** 2 * scaled.prod()
    reach = float(student_quantile(0.5 + LEVEL / 2, min(sizes) - 1)) * np.sqrt(max(variance, 0.0)) / np.log(2)
    change = np.where(np.isfinite(change), change, np.nan)
    low, high = change - np.append(down, reach), change + np.append(up, reach)
    gap, gap_low, gap_high = _largest_gap(baseline, current, shared)
    if shared == sizes[0] == sizes[1] > 0:  # the same documents: nothing is in doubt, however few they are
        low, high, gap_low, gap_high = change.copy(), change.copy(), gap, gap
    return LengthDrift(
        value_baseline=np.append(values[0], np.nan),
        value_current=np.append(values[1], np.nan),
        change=np.append(change, gap),
        low=np.append(np.where(np.isfinite(low), low, np.nan), gap_low),
        high=np.append(np.where(np.isfinite(high), high, np.nan), gap_high),
    )


def _quantiles(side: LengthHistogram) -> Floats:
    """Values, lower and upper bounds of the `PERCENTS`, [3, Q]."""
    one = np.zeros(len(side.documents), dtype=np.int64)
    quantiles = histogram_quantiles(one, side.low, side.high, side.documents, 1, PERCENTS)
    return np.stack([quantiles.value[0], quantiles.low[0], quantiles.high[0]])


def _mean(side: LengthHistogram) -> tuple[float, float]:
    """Mean and its standard error."""
    n = side.size
    if n == 0:
        return float("nan"), float("nan")
    middle = (side.low + side.high) / 2
    mean = float(middle @ side.documents) / n
    if n < FEWEST_DOCUMENTS:
        return mean, float("nan")
    return mean, float(np.sqrt(float((middle - mean) ** 2 @ side.documents) / (n - 1) / n))


def _combined(first: Floats, second: Floats, rho: float) -> Floats:
    return np.asarray(np.sqrt(np.maximum(first**2 + second**2 - 2 * rho * first * second, 0.0)))


def _largest_gap(baseline: LengthHistogram, current: LengthHistogram, shared: int) -> tuple[float, float, float]:
    """Largest difference of the distributions at bucket edges, and its bounds."""
    n1, n2 = baseline.size, current.size
    if n1 == 0 or n2 == 0:
        return float("nan"), float("nan"), float("nan")
    edges = np.union1d(baseline.high, current.high)
    gap = float(np.abs(_below(baseline, edges) / n1 - _below(current, edges) / n2).max())
    if min(n1, n2) < FEWEST_DOCUMENTS:
        return gap, float("nan"), float("nan")
    unshared = max(1 / n1 + 1 / n2 - 2 * shared / (float(n1) * n2), 0.0)
    reach = float(special.kolmogi(1 - LEVEL) * np.sqrt(unshared)) if shared < max(n1, n2) else 0.0
    return gap, max(gap - reach, 0.0), min(gap + reach, 1.0)


def _below(side: LengthHistogram, edges: npt.NDArray[np.int64]) -> Floats:
    """Documents no longer than each edge."""
    sums = np.concatenate([[0], np.cumsum(side.documents)])
    return np.asarray(sums[np.searchsorted(side.high, edges, side="right")], dtype=np.float64)
