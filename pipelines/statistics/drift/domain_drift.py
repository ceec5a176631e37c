"""Which domains' shares moved between two snapshots that share documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters, Floats, Integers, WideIntegers
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile

UNITS = ("documents", "tokens")

LEAST = 30
"""Effective documents that each side must have: with fewer, whichever were drawn decide what the shares are."""


@dataclass(frozen=True)
class DomainSample:
    """Additive totals of a set of documents over G domains.

    Attributes:
        documents: int64 [G].
        tokens: int64 [G].
        squared: sums over documents of n^2, n their tokens, Python integers [G].
        document_groups, token_groups: int64 [R, G], the totals by hash group of the clusters, where a cluster field is
            set; else None.
    """

    documents: Integers
    tokens: Integers
    squared: WideIntegers
    document_groups: Integers | None = None
    token_groups: Integers | None = None

    def amounts(self, unit: str) -> tuple[Integers, WideIntegers, Integers | None]:
        """Totals, sums of squares and totals by group, in documents or tokens."""
        if unit == "documents":
            return self.documents, self.documents.astype(object), self.document_groups
        return self.tokens, self.squared, self.token_groups


@dataclass(frozen=True)
class DomainDrift:
    """Shares of G domains on both sides; float64 [G], NaN where nothing can be said.

    Attributes:
        share_baseline, share_current: shares.
        difference: current - baseline.
        low, high: 95 % bounds of the difference, one domain at a time.
        p: two-sided p of no difference; agrees with the bounds.
        q: Benjamini-Hochberg over the domains.
        reason: why no bounds could be made, or None.
    """

    share_baseline: Floats
    share_current: Floats
    difference: Floats
    low: Floats
    high: Floats
    p: Floats
    q: Floats
    reason: str | None = None


def domain_drift(
    only_baseline: DomainSample, only_current: DomainSample, shared: DomainSample, unit: str
) -> DomainDrift:
    """Differences of domain shares between ``only_current + shared`` and ``only_baseline + shared``.

    With N_1, N_2 and N_S the sides' and the shared units, and Var(pi_g) the linearised variance of the share in the
    pool of all N distinct units (`clustered.DocumentClusters`), two sides that hold N_S units in common differ by

        Var(pi_2g - pi_1g) = N Var(pi_g) (1 / N_1 + 1 / N_2 - 2 N_S / (N_1 N_2)),

    the shared documents' covariance subtracted. Bounds and p use Student's t with the pool's Satterthwaite degrees of
    freedom, of which a domain has no more than about its effective number of documents. The pooled variance was chosen
    by simulation (documents drawn with replacement, log-normal lengths, 300 to 3,000 documents a side, up to 90 % of
    them shared): it covers 94 to 97 % at a nominal 95 %, separate variances 88 to 97 %, as a side with few documents of
    a domain does not know its own variance.

    Where documents come in clusters the variance is the larger of this one and that of R random groups (Wolter 2007,
    chapter 2), R / (R - 1) sum_r (e_r - mean e)^2 with e_r = u_2r / N_2 - u_1r / N_1 and u = y - pi N_r, which sees
    clusters that both sides hold.

    A domain that neither side holds has no bounds: nothing is known of its variance. No domain has any where a side
    has fewer than `LEAST` effective documents, (sum n)^2 / sum n^2 (Kish 1965). Where both sides are the same, every
    difference is 0, without doubt.

    Args:
        only_baseline: documents of the baseline alone.
        only_current: documents of the current snapshot alone.
        shared: documents that both hold.
        unit: documents or tokens.

    Raises:
        ValueError: if the unit is unknown or a side holds nothing; see `shares_alone`.
    """
    if unit not in UNITS:
        raise ValueError(f"unit {unit!r} is neither documents nor tokens")
    sets = only_baseline, only_current, shared
    counts, squares, groups = zip(*(part.amounts(unit) for part in sets), strict=True)
    sizes = [int(count.sum()) for count in counts]
    size1, size2 = sizes[0] + sizes[2], sizes[1] + sizes[2]
    if size1 == 0 or size2 == 0:
        raise ValueError("a side without documents has no shares to compare")
    share1, share2 = (counts[0] + counts[2]) / size1, (counts[1] + counts[2]) / size2
    difference = share2 - share1
    if sizes[0] == sizes[1] == 0 and not any(int(part.documents.sum()) for part in sets[:2]):
        none, certain = np.zeros(len(difference)), np.ones(len(difference))
        return DomainDrift(share1, share2, none, none, none, certain, certain)
    pool = DocumentClusters(sum(counts), sum(squares), sum(int(part.documents.sum()) for part in sets))
    unshared = 1 / size1 + 1 / size2 - 2 * sizes[2] / (float(size1) * size2)
    variance = pool.variance() * sum(sizes) * max(unshared, 0.0)
    effective_documents = pool.counts.astype(np.float64) ** 2 / np.maximum(pool.squares.astype(np.float64), 1.0)
    freedom = np.minimum(pool.degrees_of_freedom, effective_documents + 1)
    if all(group is not None for group in groups):
        by_group = _group_variance(groups, pool.counts / sum(sizes), size1, size2)
        variance, freedom = np.fmax(variance, by_group), np.minimum(freedom, len(groups[0]) - 1)
    known = pool.counts > 0
    error = np.where(known, np.sqrt(variance), np.nan)
    reach = student_quantile(0.5 + LEVEL / 2, np.maximum(freedom, 1)) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where((error == 0) & (difference == 0), 0.0, difference / error)
    p = 2 * special.stdtr(np.clip(freedom, 1, 1e6), -np.abs(t))
    reason = _too_small(unit, sizes, [int(square.sum()) for square in squares])
    if reason is not None:
        reach, p = np.full(len(p), np.nan), np.full(len(p), np.nan)
    return DomainDrift(
        share_baseline=share1,
        share_current=share2,
        difference=difference,
        low=np.maximum(difference - reach, -1.0),
        high=np.minimum(difference + reach, 1.0),
        p=p,
        q=benjamini_hochberg(p),
        reason=reason,
    )


def shares_alone(
    only_baseline: DomainSample, only_current: DomainSample, shared: DomainSample, unit: str
) -> DomainDrift | None:
    """What can be said where a side holds nothing in the unit: the other side's shares, and why that is all.

    None where both sides hold something: `domain_drift` compares them.

    Args:
        only_baseline, only_current, shared, unit: as for `domain_drift`.
    """
    both = shared.amounts(unit)[0]
    counts = [side.amounts(unit)[0] + both for side in (only_baseline, only_current)]
    before, now = (int(count.sum()) for count in counts)
    if before and now:
        return None
    nothing = np.full(len(both), np.nan)
    shares = [count / size if size else nothing for count, size in zip(counts, (before, now), strict=True)]
    reason = f"neither snapshot holds any {unit}"
    if before or now:
        reason = f"the {'baseline' if now else 'current snapshot'} holds no {unit}"
    return DomainDrift(shares[0], shares[1], nothing, nothing, nothing, nothing, nothing, reason)


def _too_small(unit: str, sizes: list[int], squares: list[int]) -> str | None:
    """Why a side is too small for bounds, from the totals and sums of squares of the three sets."""
    if sizes[0] == sizes[1] == 0:
        return None
    for name, own in (("the baseline", 0), ("the current snapshot", 1)):
        effective = (sizes[own] + sizes[2]) ** 2 / max(squares[own] + squares[2], 1)
        if effective < LEAST:
            if unit == "documents":
                return f"{name} has {sizes[own] + sizes[2]} documents, and {LEAST} are needed"
            return f"the tokens of {name} are spread as over {effective:.1f} equal documents, and {LEAST} are needed"
    return None


def _group_variance(groups: tuple[npt.NDArray[np.int64], ...], share: Floats, size1: int, size2: int) -> Floats:
    """Variance of the differences over hash groups that hold whole clusters of both sides, [G]."""
    scores = [group - share * group.sum(axis=1, keepdims=True) for group in groups]
    e = scores[1] / size2 - scores[0] / size1 + scores[2] * (1 / size2 - 1 / size1)
    number = len(e)
    return np.asarray(((e - e.mean(axis=0)) ** 2).sum(axis=0) * number / (number - 1))
