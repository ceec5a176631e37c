"""Intervals for domain shares, one by one and jointly, and the distance between a mixture and the intended one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Design, Floats, shares_of

LEVEL = 0.95
"""Confidence level of every interval that is published."""

_DRAWS = 4000
_SEED = 0
_LARGE = 1e4
_CELLS_A_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its bounds at `LEVEL`; NaN where there is no bound."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ShareIntervals:
    """Shares of G domains with their uncertainty; every array is float64 [G], NaN where there is no estimate.

    Attributes:
        share: count / total.
        variance: design-based variance, in share^2.
        design_effect: variance over that of independently drawn units, pi (1 - pi) / total (Kish 1965); NaN at 0 and 1.
        low, high: Korn-Graubard bounds, one domain at a time.
        low_simultaneous, high_simultaneous: Goodman bounds, for all domains jointly.
    """

    share: Floats
    variance: Floats
    design_effect: Floats
    low: Floats
    high: Floats
    low_simultaneous: Floats
    high_simultaneous: Floats


def student_quantile(probability: float, degrees_of_freedom: npt.ArrayLike) -> Floats:
    """Quantile of Student's t, [G]; the normal one beyond a million degrees of freedom, NaN below one."""
    freedom = np.asarray(degrees_of_freedom, dtype=np.float64)
    student = special.stdtrit(np.clip(freedom, 1, 1e6), probability)
    return np.where(freedom >= 1, np.where(freedom > 1e6, special.ndtri(probability), student), np.nan)


def clopper_pearson(share: npt.ArrayLike, size: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Clopper and Pearson's (1934) exact binomial bounds for sizes that need not be whole numbers.

    Args:
        share: observed shares [G].
        size: sample sizes [G].

    Returns:
        Lower and upper bounds, [G]; exactly 0 at a share of 0 and exactly 1 at a share of 1.
    """
    observed = np.asarray(share, dtype=np.float64)
    sizes = np.asarray(size, dtype=np.float64)
    tail = (1 - LEVEL) / 2
    hits, misses = observed * sizes, (1 - observed) * sizes
    low = np.where(observed <= 0, 0.0, _beta_quantile(tail, hits, misses + 1))
    high = np.where(observed >= 1, 1.0, _beta_quantile(1 - tail, hits + 1, misses))
    return np.where(np.isnan(sizes), np.nan, low), np.where(np.isnan(sizes), np.nan, high)


def _beta_quantile(probability: float, a: Floats, b: Floats) -> Floats:
    """Quantile of the beta distribution, [G].

    With both parameters beyond `_LARGE` by Cornish and Fisher's (1938) expansion, which is then within a millionth of a
    standard deviation and keeps its speed and precision, where inverting the incomplete beta function loses both.
    """
    z = float(special.ndtri(probability))
    with np.errstate(divide="ignore", invalid="ignore"):
        n = a + b
        deviation = np.sqrt(a * b / (n + 1)) / n
        skewness = 2 * (b - a) * np.sqrt(n + 1) / ((n + 2) * np.sqrt(a * b))
        excess = 6 * ((a - b) ** 2 * (n + 1) - a * b * (n + 2)) / (a * b * (n + 2) * (n + 3))
        steps = z + (z**2 - 1) * skewness / 6 + (z**3 - 3 * z) * excess / 24 - (2 * z**3 - 5 * z) * skewness**2 / 36
        expanded = a / n + deviation * steps
        large = np.minimum(a, b) > _LARGE
        # Where the expansion holds, the slow function gets parameters at which it is fast; its result is not used.
        exact = special.betaincinv(np.where(large, 1.0, a), np.where(large, 1.0, b), probability)
    return np.asarray(np.where(large, expanded, exact))


def wilson(share: npt.ArrayLike, size: npt.ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Wilson's (1927) score bounds, [G] each, for sizes that need not be whole numbers."""
    observed = np.asarray(share, dtype=np.float64)
    sizes = np.asarray(size, dtype=np.float64)
    square = float(special.ndtri(0.5 + level / 2)) ** 2
    centre = observed + square / (2 * sizes)
    reach = np.sqrt(square * (observed * (1 - observed) / sizes + square / (4 * sizes**2)))
    scale = 1 + square / sizes
    low = np.where(observed <= 0, 0.0, (centre - reach) / scale)
    high = np.where(observed >= 1, 1.0, (centre + reach) / scale)
    return np.where(np.isnan(sizes), np.nan, low), np.where(np.isnan(sizes), np.nan, high)


def goodman(share: npt.ArrayLike, size: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Goodman's (1965) simultaneous bounds for the G shares of a multinomial, [G] each.

    Score bounds with the chi-square quantile of the error (1 - `LEVEL`) / G. ``size`` may differ by share: divided by
    the share's design effect, it adjusts the bounds for clusters.
    """
    domains = max(np.size(share), 1)
    return wilson(share, size, 1 - (1 - LEVEL) / domains)


def share_intervals(design: Design) -> ShareIntervals:
    """Shares of a design's domains with bounds.

    Korn and Graubard (1998, Survey Methodology 24): Clopper-Pearson on the effective sample size
    n* = pi (1 - pi) / Var(pi), times (t_{n-1} / t_{df})^2, n the total in the unit, df the design's. The joint bounds
    are Goodman's on the same n* with t at the joint level, widened where need be to hold the single ones.

    At a share of 0 or 1 the variance tells nothing. The sample size is then Kish's effective number of clusters, so the
    upper bound of a domain never seen is 1 - 0.025^(1/n), about 3.7 / n (the rule of three, two-sided).

    Raises:
        ValueError: if the total is 0.
    """
    counts = np.asarray(design.counts)
    total = int(counts.sum())
    share = shares_of(counts)
    variance = design.variance()
    spread = share * ((total - counts) / total)
    at_edge = (counts == 0) | (counts == total)
    clusters = design.effective_clusters
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(variance > 0, spread / variance, np.where(np.isnan(variance), np.nan, clusters))
        design_effect = np.where(at_edge, np.nan, variance * total / spread)
    size = np.where(at_edge, clusters, size)

    def adjusted(joint_level: float) -> Floats:
        upper = 0.5 + joint_level / 2
        elements = student_quantile(upper, total - 1)
        ratio = elements / student_quantile(upper, design.degrees_of_freedom)
        return np.asarray(np.where(at_edge, size, size * ratio**2))

    low, high = clopper_pearson(share, adjusted(LEVEL))
    joint_low, joint_high = goodman(share, adjusted(1 - (1 - LEVEL) / len(counts)))
    return ShareIntervals(
        share=share,
        variance=variance,
        design_effect=design_effect,
        low=np.minimum(low, share),
        high=np.maximum(high, share),
        low_simultaneous=np.minimum(joint_low, low),
        high_simultaneous=np.maximum(joint_high, high),
    )


def ratio_interval(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Estimate:
    """Share of a part of every cluster, with a Korn-Graubard interval over the clusters.

    For example the rows of C shards that are dead letters: ``numerator`` and ``denominator`` are integers [C]. The
    variance is the ratio estimator's (Cochran 1977, section 6.3). With a share of 0 or 1 the sample size is Kish's
    effective number of clusters; with a single cluster and a share in between there are no bounds.

    Raises:
        ValueError: if the denominators add up to 0.
    """
    part = np.asarray(numerator, dtype=np.float64)
    totals = np.asarray(denominator, dtype=np.float64)
    total = float(totals.sum())
    if total <= 0:
        raise ValueError("a share of nothing: the total is 0")
    share = float(part.sum()) / total
    clusters = int(np.count_nonzero(totals))
    size = total**2 / float((totals**2).sum())
    if 0 < share < 1:
        variance = clusters / max(clusters - 1, 1) * float(((part - share * totals) ** 2).sum()) / total**2
        if variance > 0:
            size = share * (1 - share) / variance
        upper = 0.5 + LEVEL / 2
        size *= float(student_quantile(upper, total - 1) / student_quantile(upper, clusters - 1)) ** 2
    low, high = clopper_pearson(share, size)
    return Estimate(share, float(low), float(high))


def total_variation(design: Design, intended: npt.ArrayLike) -> Estimate:
    """Total variation distance between the realised and the intended mixture, half the sum of |pi_g - q_g|.

    The distance has a kink where a share meets its target, so neither the delta method nor a plain bootstrap holds
    there (Fang and Santos 2019, Review of Economic Studies 86). With X the deviations of the shares (Gaussian, with the
    design's covariance), the triangle inequality bounds both T^ - T and T - T^ by

        W = 1/2 (sum over far domains of sign(pi_g - q_g) X_g + sum over near domains of |X_g|),

    where a domain is near if its share is within kappa standard errors of its target, kappa^2 = max(ln n, 2 ln G, 1),
    as in generalised moment selection (Andrews and Soares 2010, Econometrica 78). The interval is T^ -+ the quantile of
    W at 1 - (1 - `LEVEL`) / 2, cut to [0, 1]: exact to first order away from the kinks (with two domains it is the
    usual interval of one difference) and conservative at them.

    A domain never seen is given the standard error of one effective cluster, 1 / n.

    Args:
        design: G domains.
        intended: target shares q, [G], adding up to 1.

    Raises:
        ValueError: if the total is 0 or the targets do not add up to 1.
    """
    target = np.asarray(intended, dtype=np.float64)
    if not np.isclose(target.sum(), 1.0, rtol=0, atol=1e-9):
        raise ValueError(f"the intended shares add up to {target.sum()}, not to 1")
    gap = shares_of(design.counts) - target
    distance = min(0.5 * float(np.abs(gap).sum()), 1.0)
    variance = design.variance()
    if np.isnan(variance).any():
        return Estimate(distance, float("nan"), float("nan"))
    clusters = design.effective_clusters
    unseen = np.where(np.asarray(design.counts) == 0, 1 / clusters, 0.0)
    error = np.sqrt(variance + unseen**2)
    kappa = np.sqrt(max(np.log(clusters), 2 * np.log(len(gap)), 1.0))
    near = np.abs(gap) <= kappa * error
    sign = np.sign(gap)
    # A fixed seed, as equal counts have to give equal tables; in blocks, as draws times domains may not fit in memory.
    rng = np.random.default_rng(_SEED)
    block = max(1, _CELLS_A_BLOCK // len(gap))
    reach = []
    for start in range(0, _DRAWS, block):
        draws = min(block, _DRAWS - start)
        deviation = design.deviations(rng, draws) + rng.standard_normal((draws, len(gap))) * unseen
        reach.append(0.5 * np.where(near, np.abs(deviation), sign * deviation).sum(axis=1))
    margin = float(np.quantile(np.concatenate(reach), 0.5 + LEVEL / 2))
    return Estimate(distance, max(0.0, distance - margin), min(1.0, distance + margin))
