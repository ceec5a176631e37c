"""Difference of two models' mean scores on the same items: clustered standard error, exact methods for few items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile

_NODES = 512
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean over items with its uncertainty; NaN where there is none.

    Attributes:
        mean: in units of the score.
        error: standard error of the mean.
        freedom: degrees of freedom of ``error``: clusters - 1.
        low, high: bounds at `LEVEL`.
        p: two-sided p-value of a mean of 0.
        items, clusters: how many there are.
    """

    mean: float
    error: float
    freedom: int
    low: float
    high: float
    p: float
    items: int
    clusters: int


def cluster_codes(cluster: npt.ArrayLike | None, items: int) -> Integers:
    """Codes 0 to C - 1 of the clusters, int64 [n]; every item is a cluster of its own where ``cluster`` is None."""
    if cluster is None:
        return np.arange(items, dtype=np.int64)
    return np.asarray(np.unique(np.asarray(cluster), return_inverse=True)[1], dtype=np.int64).reshape(-1)


def clustered_error(deviations: Floats, codes: Integers) -> float:
    """Standard error of a sum of items whose influences are ``deviations``: sqrt(C / (C - 1) sum_c (sum_i e_i)^2).

    Args:
        deviations: influence of every item on the estimate, float64 [n]; they add up to 0.
        codes: cluster of every item, 0 to C - 1, [n].

    Returns:
        The error in units of the estimate; NaN for fewer than two clusters.
    """
    clusters = int(codes.max()) + 1 if len(codes) else 0
    if clusters < 2:
        return float("nan")
    sums = np.bincount(codes, weights=deviations, minlength=clusters)
    return float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum()))


def mean_with_error(values: npt.ArrayLike, cluster: npt.ArrayLike | None = None) -> MeanEstimate:
    """Mean of item scores, or of paired differences of item scores, with its clustered standard error.

    Miller (2024, arXiv 2411.00640, equations 4 and 7): with clusters c = 1 to C of n items,

        SE = sqrt(C / (C - 1) * sum_c (sum_{i in c} (d_i - mean))^2) / n,

    and Student's t with C - 1 degrees of freedom. The factor C / (C - 1), which the paper leaves out, makes it the
    usual sd / sqrt(n) where every item is its own cluster.

    Args:
        values: float64 [n], finite.
        cluster: labels of the clusters, [n], of any type that sorts; None for items drawn independently.

    Returns:
        The estimate. Without spread, or with a single cluster, error, bounds and p are NaN: such data do not say how
        certain the mean is.

    Raises:
        ValueError: if there are no values, or some are not finite.
    """
    score = np.asarray(values, dtype=np.float64)
    if not len(score) or not np.isfinite(score).all():
        raise ValueError("a mean needs at least one value, and finite ones")
    codes = cluster_codes(cluster, len(score))
    mean = float(score.mean())
    error = clustered_error((score - mean) / len(score), codes)
    clusters = int(codes.max()) + 1
    # Equal values leave rounding errors in the mean, and with them a spread of that size.
    if not error > 1e-14 * max(float(np.abs(score).max()), 1e-300):
        nan = float("nan")
        return MeanEstimate(mean, nan, clusters - 1, nan, nan, nan, len(score), clusters)
    reach = float(student_quantile(0.5 + LEVEL / 2, clusters - 1)) * error
    p = 2 * float(special.stdtr(clusters - 1, -abs(mean) / error))
    return MeanEstimate(mean, error, clusters - 1, mean - reach, mean + reach, p, len(score), clusters)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value that two models are right equally often, from the items on which they differ.

    McNemar (1947, Psychometrika 12): given b + c discordant items, b is binomial with probability 1/2.

    Args:
        gained: items that only the second model has right.
        lost: items that only the first model has right.

    Returns:
        min(1, 2 P(X <= min(b, c))); 1 if the models differ on no item.
    """
    discordant = gained + lost
    if discordant == 0:
        return 1.0
    fewer = min(gained, lost)
    return min(1.0, 2 * float(special.betainc(discordant - fewer, fewer + 1, 0.5)))


@lru_cache(maxsize=4096)
def paired_binary_interval(gained: int, lost: int, items: int) -> tuple[float, float]:
    """Bayesian bounds at `LEVEL` of the difference of two paired shares, for items that are right or wrong.

    The normal approximation covers too little below a few hundred items (Bowyer et al. 2025, arXiv 2503.01747). The
    four outcomes of an item are multinomial with Jeffreys' prior (1/2 each), so that, with b gained and c lost of n,

        p_b - p_c = S (2 R - 1),  S ~ Beta(b + c + 1, n - b - c + 1),  R ~ Beta(b + 1/2, c + 1/2) independent,

    and the bounds are its 2.5 and 97.5 % quantiles, by numerical integration over S.

    Raises:
        ValueError: if the counts are negative or exceed ``items``.
    """
    if min(gained, lost) < 0 or gained + lost > items or items < 1:
        raise ValueError("discordant items must be among the items")
    probability = (np.arange(_NODES) + 0.5) / _NODES
    share = special.betaincinv(gained + lost + 1.0, items - gained - lost + 1.0, probability)

    def below(x: float) -> float:
        return float(special.betainc(gained + 0.5, lost + 0.5, np.clip((x / share + 1) / 2, 0, 1)).mean())

    bounds = []
    for tail in ((1 - LEVEL) / 2, 0.5 + LEVEL / 2):
        low, high = -1.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) < tail else (low, middle)
        bounds.append((low + high) / 2)
    return bounds[0], bounds[1]
