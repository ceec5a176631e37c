"""How much of a gain between two models comes from items that the training data hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.evaluations.paired import (
    MeanEstimate,
    cluster_codes,
    clustered_error,
    mean_with_error,
)
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, Estimate, student_quantile

PERMUTATIONS = 9_999
_SEED = 0


@dataclass(frozen=True, slots=True)
class LeakShare:
    """A gain, split into what clean items show of it and what contaminated items add.

    Attributes:
        gain: mean paired difference on all items.
        clean: mean paired difference on clean items.
        dirty: mean paired difference on contaminated items.
        share: share of the items that are contaminated.
        leak: ``share * (dirty - clean)``, so that ``gain = clean + leak``, with bounds.
        p: two-sided p-value of a leak of 0, from the clustered error.
        p_permuted: p-value of permuted labels within the strata; NaN where clusters hold several items.
        error: standard error of the leak.
        freedom: degrees of freedom of ``error``.
        at_ceiling: share of contaminated items that the first model already had at the highest score.
    """

    gain: MeanEstimate
    clean: MeanEstimate
    dirty: MeanEstimate
    share: float
    leak: Estimate
    p: float
    p_permuted: float
    error: float
    freedom: int
    at_ceiling: float


def leak_share(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    contaminated: npt.ArrayLike,
    cluster: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    permutations: int = PERMUTATIONS,
) -> LeakShare:
    """Attribute a gain to contaminated items: dirty share * (mean gain on contaminated - mean gain on clean items).

    After the estimated performance gain of Singh et al. (2024, arXiv 2411.03923), score(all) - score(clean), taken of
    paired differences instead of one model's scores, so that contaminated items may be easier than clean ones without
    counting as a leak. The error is linearised and clustered, with the dirty share fixed. Where the first model already
    has contaminated items right they cannot gain, so a leak is underestimated there: `at_ceiling` says how many.

    The permutation test exchanges labels within strata of equal difficulty (Phipson and Smyth 2010, p = (1 + b) /
    (1 + m)): it holds under the hypothesis that labels say nothing of the gain among items of one stratum. Strata must
    come from elsewhere than the two models: the first model's own scores are noisy, and a contaminated item that it has
    wrong by chance gains by regression to the mean. With such strata, and contaminated items that are 10 points easier,
    every one of 300 simulated pairs without a leak was rejected.

    Args:
        before: scores of the first model, float64 [n].
        after: scores of the second model on the same items, float64 [n].
        contaminated: bool [n].
        cluster: labels of clusters, [n], or None.
        strata: labels of difficulty, [n], from neither of the two models; one stratum where None.
        permutations: m.

    Raises:
        ValueError: unless there are two items of either kind.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    dirty = np.asarray(contaminated, dtype=bool)
    if dirty.sum() < 2 or (~dirty).sum() < 2:
        raise ValueError("a leak needs two contaminated and two clean items")
    gain = second - first
    codes = cluster_codes(cluster, len(gain))
    labels = None if cluster is None else codes
    parts = [mean_with_error(gain[part], None if labels is None else labels[part]) for part in (~dirty, dirty)]
    share = float(dirty.mean())
    leak = share * (parts[1].mean - parts[0].mean)
    influence = _influence(gain, dirty) * share
    error = clustered_error(influence, codes)
    freedom = int(codes.max())
    reach = float(student_quantile(0.5 + LEVEL / 2, freedom)) * error
    single = freedom + 1 == len(gain)
    levels = np.zeros(len(gain), dtype=np.int64) if strata is None else cluster_codes(strata, len(gain))
    return LeakShare(
        gain=mean_with_error(gain, labels),
        clean=parts[0],
        dirty=parts[1],
        share=share,
        leak=Estimate(leak, leak - reach, leak + reach),
        p=2 * float(special.stdtr(freedom, -abs(leak) / error)) if error > 0 else float("nan"),
        p_permuted=_permuted(gain, dirty, levels, permutations) if single else float("nan"),
        error=error,
        freedom=freedom,
        at_ceiling=float((first[dirty] >= max(first.max(), second.max())).mean()),
    )


def leak_beyond_placebo(leak: LeakShare, placebo: LeakShare) -> Estimate:
    """The leak less that of an earlier pair of models, before which the items were not in the training data.

    The pairs share a model, whose noise enters both with opposite sign, so variances are not simply added: the bounds
    use |error| + |placebo's error|, which holds whatever the correlation.

    Returns:
        The difference with bounds at `LEVEL` or more.
    """
    value = leak.leak.value - placebo.leak.value
    freedom = min(leak.freedom, placebo.freedom)
    reach = float(student_quantile(0.5 + LEVEL / 2, freedom)) * (leak.error + placebo.error)
    return Estimate(value, value - reach, value + reach)


def _influence(gain: Floats, dirty: npt.NDArray[np.bool_]) -> Floats:
    """Influence of every item on mean(dirty) - mean(clean), [n]."""
    dirty_part = (gain - gain[dirty].mean()) / dirty.sum()
    clean_part = (gain - gain[~dirty].mean()) / (~dirty).sum()
    return np.asarray(np.where(dirty, dirty_part, -clean_part))


def _permuted(gain: Floats, dirty: npt.NDArray[np.bool_], strata: Integers, permutations: int) -> float:
    """Two-sided p-value of mean(dirty) - mean(clean) if labels are exchanged within strata.

    Only the sum over dirty items changes, and it is centred by its expectation under exchange.
    """
    centred = gain.copy()
    for level in np.unique(strata):
        centred[strata == level] -= gain[strata == level].mean()
    observed = abs(float(centred[dirty].sum()))
    rng = np.random.default_rng(_SEED)
    sums = np.zeros(permutations)
    for level in np.unique(strata):
        values, many = centred[strata == level], int(dirty[strata == level].sum())
        if 0 < many < len(values):
            sums += _subset_sums(values, many, permutations, rng)
    # A tolerance for sums that are equal but for the order in which they were added.
    return (1 + int((np.abs(sums) >= observed - 1e-9 * max(observed, 1.0)).sum())) / (1 + permutations)


def _subset_sums(values: Floats, many: int, permutations: int, rng: np.random.Generator) -> Floats:
    """Sums of ``many`` values drawn without replacement, once a permutation; float64 [permutations]."""
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) <= 16:  # scores that are right or wrong: how many of each value are drawn is hypergeometric
        counts = np.bincount(codes.reshape(-1))
        return np.asarray(
            rng.multivariate_hypergeometric(counts, many, size=permutations, method="marginals") @ distinct
        )
    sums = np.empty(permutations)
    block = max(1, (1 << 22) // len(values))
    for start in range(0, permutations, block):
        rows = min(block, permutations - start)
        order = np.argpartition(rng.random((rows, len(values)), dtype=np.float32), many - 1, axis=1)[:, :many]
        sums[start : start + rows] = values[order].sum(axis=1)
    return sums
