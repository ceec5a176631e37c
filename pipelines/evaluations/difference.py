"""The difference of two evaluations on one metric of one task, and which method applies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.evaluations.incomparable import other_version
from corpus_audit.pipelines.evaluations.pairing import Pairs
from corpus_audit.pipelines.evaluations.records.items import SHARE_METRICS, Claim
from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.evaluations.paired import mcnemar, mean_with_error, paired_binary_interval
from corpus_audit.pipelines.statistics.evaluations.power import detectable_from_error
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL

FEWEST = 10
"""Paired items, or clusters of them, below which no difference is judged."""

FEW = 300
"""Items below which scores of 0 and 1 are compared by exact methods."""

FEW_DISCORDANT = 30
"""Items on which the models differ below which exact methods are used, however many items there are."""

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its uncertainty; NaN where there is none.

    Attributes:
        items, clusters: items that it rests on, and clusters of them.
        score_a, score_b: the two mean scores.
        value, low, high, error, p, mde: the difference ``score_b - score_a``, bounds, standard error, p, and the
            difference that would be detected with 80 % power.
        method: how bounds and p were made; empty if they were not.
        lacking: why there are none; empty if there are.
    """

    items: int
    clusters: int
    score_a: float
    score_b: float
    value: float
    low: float
    high: float
    error: float
    p: float
    mde: float
    method: str
    lacking: str


def paired_difference(pairs: Pairs) -> Difference:
    """The difference on paired items.

    Scores of 0 and 1 of independent items are compared by the exact McNemar test and a Bayesian interval where there
    are few items or few on which the models differ; everything else by the mean difference with clustered error.
    """
    n = len(pairs.before)
    if not n:
        return _lacking(0, 0, _NAN, _NAN, "no item could be paired")
    score_a, score_b = float(pairs.before.mean()), float(pairs.after.mean())
    gain = pairs.after - pairs.before
    estimate = mean_with_error(gain, pairs.cluster)
    clusters = estimate.clusters
    if n < FEWEST:
        return _lacking(n, clusters, score_a, score_b, f"{n} paired items, and {FEWEST} are needed")
    if clusters < FEWEST:
        return _lacking(n, clusters, score_a, score_b, f"{clusters} clusters, and {FEWEST} are needed")
    gained, lost = int((gain > 0).sum()), int((gain < 0).sum())
    single = clusters == n
    if single and _binary(pairs) and (n < FEW or gained + lost < FEW_DISCORDANT):
        low, high = paired_binary_interval(gained, lost, n)
        return Difference(
            n, clusters, score_a, score_b, estimate.mean, low, high, estimate.error, mcnemar(gained, lost),
            detectable_from_error(estimate.error), "exact McNemar test, Bayesian interval", "",
        )  # fmt: skip
    if np.isnan(estimate.error):
        return _lacking(n, clusters, score_a, score_b, "all paired differences are equal, which tells no uncertainty")
    method = "paired t" if single else "paired t, clustered"
    return Difference(
        n, clusters, score_a, score_b, estimate.mean, estimate.low, estimate.high, estimate.error, estimate.p,
        detectable_from_error(estimate.error), method, "",
    )  # fmt: skip


def aggregate_difference(a: Claim, b: Claim) -> Difference:
    """The difference of two claims without items, from their standard errors as if the items were not the same.

    Scores of one item correlate between models, so that the bounds are wider than those of paired items.
    """
    items = min(a.items or 0, b.items or 0)
    if a.version is not None and b.version is not None and a.version != b.version:
        return _lacking(items, items, a.value, b.value, f"incomparable: {other_version(a.version, b.version)}")
    error_a, error_b = _error(a), _error(b)
    if not error_a or not error_b:
        return _lacking(items, items, a.value, b.value, "no items, and no standard errors")
    if items and items < FEWEST:
        return _lacking(items, items, a.value, b.value, f"{items} items, and {FEWEST} are needed")
    error = float(np.hypot(error_a, error_b))
    value = b.value - a.value
    reach = float(special.ndtri(0.5 + LEVEL / 2)) * error
    p = 2 * float(special.ndtr(-abs(value) / error))
    mde = detectable_from_error(error)
    return Difference(
        items, items, a.value, b.value, value, value - reach, value + reach, error, p, mde, "aggregates, unpaired", ""
    )


def _error(claim: Claim) -> float | None:
    """The standard error that a file states or, where it states none or 0, that of a share of its items."""
    if claim.error:
        return claim.error
    if claim.metric in SHARE_METRICS and claim.items and claim.items > 1 and 0 < claim.value < 1:
        return float(np.sqrt(claim.value * (1 - claim.value) / (claim.items - 1)))
    return None


def _binary(pairs: Pairs) -> bool:
    return bool(np.isin(pairs.before, (0.0, 1.0)).all() and np.isin(pairs.after, (0.0, 1.0)).all())


def _lacking(items: int, clusters: int, score_a: float, score_b: float, why: str) -> Difference:
    value = score_b - score_a
    return Difference(items, clusters, score_a, score_b, value, _NAN, _NAN, _NAN, _NAN, _NAN, "", why)
