"""Design-based variances of domain shares: a share is a ratio of totals over clusters, not over independent tokens.

G domains partition the corpus. A domain's share in documents, bytes or tokens is ``count / total``. Documents (or hosts)
are drawn, their tokens come along, so the variance counts clusters. Every design below offers the same few figures, from
additive counters alone; `proportions` turns them into intervals.

What the intervals refer to: in a full scan the snapshot's own shares are known exactly. The interval then speaks of the
process that generated the snapshot (another crawl of the same kind), so no finite population correction is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
WideIntegers = npt.NDArray[np.object_]
"""Python integers of any size: second moments do not fit into 64 bits."""


class Design(Protocol):
    """How the clusters of a corpus came to be, for G domains and one unit."""

    @property
    def label(self) -> str:
        """What the clusters are, in words."""

    @property
    def counts(self) -> Integers:
        """The domains' totals, int64 [G]."""

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of the variance; below 1 there is none."""

    @property
    def effective_clusters(self) -> float:
        """Kish's effective number of clusters, (sum n)^2 / sum n^2: the sample size behind a domain never seen."""

    def variance(self) -> Floats:
        """Variance of the shares, [G], in share^2; NaN where the clusters are too few to tell."""

    def deviations(self, rng: np.random.Generator, draws: int) -> Floats:
        """Gaussian deviations of the shares with the design's covariance, [draws, G]; each row adds up to 0."""


def shares_of(counts: npt.ArrayLike) -> Floats:
    """``counts / total``, float64 [G].

    Raises:
        ValueError: if the total is 0, as there is no share then.
    """
    values = np.asarray(counts)
    total = int(values.sum())
    if total <= 0:
        raise ValueError("a share of nothing: the total is 0")
    return values.astype(np.float64) / total


@dataclass(frozen=True)
class DocumentClusters:
    """Documents as clusters, from sums over documents; exact, and additive over shards.

    The ratio estimator's linearised variance (Cochran 1977, section 6.3; Kish 1965, section 6.3) with
    y_d = n_d if d is of domain g, else 0, for D documents of n_d units, N in all:

        Var(pi_g) = D / (D - 1) * sum_d (y_d - pi_g n_d)^2 / N^2
                  = D / (D - 1) * (S_g (1 - 2 pi_g) + pi_g^2 S) / N^2,  S_g = sum_{d in g} n_d^2,  S = sum_g S_g,

    evaluated as S_g (1 - pi_g)^2 + (S - S_g) pi_g^2, in which nothing cancels.

    Attributes:
        counts: the domains' totals, int64 [G], in documents, bytes or tokens.
        squares: S_g, Python integers [G], in the unit squared; equal to ``counts`` when the unit is documents.
        documents: D.
    """

    counts: Integers
    squares: WideIntegers
    documents: int
    label: str = "documents"

    @property
    def degrees_of_freedom(self) -> float:
        """D - 1."""
        return float(self.documents - 1)

    @cached_property
    def effective_clusters(self) -> float:
        """(sum n)^2 / sum n^2."""
        return float(int(self.counts.sum()) ** 2 / int(self.squares.sum()))

    def variance(self) -> Floats:
        """Variance of the shares, [G]; NaN for a single document."""
        if self.documents < 2:
            return np.full(len(self.counts), np.nan)
        total = int(self.counts.sum())
        inside = self.squares.astype(np.float64)
        outside = (int(self.squares.sum()) - self.squares).astype(np.float64)
        share = self.counts / total
        rest = (total - self.counts) / total
        scale = self.documents / (self.documents - 1) / float(total) ** 2
        return np.asarray((inside * rest**2 + outside * share**2) * scale, dtype=np.float64)

    def deviations(self, rng: np.random.Generator, draws: int) -> Floats:
        """Gaussian deviations, [draws, G].

        With independent Z_g of variance S_g / N^2, Z_g - pi_g sum Z has the covariance of the linearised shares.
        """
        total = int(self.counts.sum())
        spread = np.sqrt(self.squares.astype(np.float64)) / total * np.sqrt(self.documents / (self.documents - 1))
        noise = rng.standard_normal((draws, len(self.counts))) * spread
        return np.asarray(noise - noise.sum(axis=1, keepdims=True) * shares_of(self.counts))


@dataclass(frozen=True)
class GroupedTotals:
    """Totals of G domains in R groups (hash groups of a cluster key, or splits), as distinct cells.

    Attributes:
        domain: the cells' domains, int64 [C], 0 to G - 1.
        group: the cells' groups, int64 [C], 0 to R - 1.
        amount: the cells' totals, int64 [C], in documents, bytes or tokens; cells that are not listed are 0.
        domains: G.
        groups: R, empty groups included.
    """

    domain: Integers
    group: Integers
    amount: Integers
    domains: int
    groups: int

    @classmethod
    def from_dense(cls, totals: npt.ArrayLike) -> GroupedTotals:
        """Cells of an integer array [R, G]."""
        table = np.asarray(totals, dtype=np.int64)
        group, domain = np.nonzero(table)
        return cls(domain, group, table[group, domain], domains=table.shape[1], groups=table.shape[0])

    @cached_property
    def counts(self) -> Integers:
        """The domains' totals, int64 [G]."""
        counts = np.zeros(self.domains, dtype=np.int64)
        np.add.at(counts, self.domain, self.amount)
        return counts

    @cached_property
    def sizes(self) -> Integers:
        """The groups' totals N_r, int64 [R]."""
        sizes = np.zeros(self.groups, dtype=np.int64)
        np.add.at(sizes, self.group, self.amount)
        return sizes

    def squared_scores(self, shares: Floats) -> Floats:
        """sum_r (y_rg - pi_g N_r)^2, [G]."""
        sizes = self.sizes.astype(np.float64)
        present = (self.amount - shares[self.domain] * sizes[self.group]) ** 2
        held = np.bincount(self.domain, sizes[self.group] ** 2, self.domains)
        absent = np.maximum((sizes**2).sum() - held, 0.0)
        return np.asarray(np.bincount(self.domain, present, self.domains) + shares**2 * absent, dtype=np.float64)

    def deviations(self, shares: Floats, rng: np.random.Generator, draws: int) -> Floats:
        """sum_r e_r (y_rg - pi_g N_r) with standard normal e, [draws, G] (Gaussian multipliers)."""
        scores = np.outer(-self.sizes.astype(np.float64), shares)
        scores[self.group, self.domain] += self.amount
        return np.asarray(rng.standard_normal((draws, self.groups)) @ scores)


@dataclass(frozen=True)
class RandomGroups:
    """Clusters of any key, such as the host, by hash groups of the key: the random-groups estimator.

    Sums of squares over hosts are not additive over splits; totals by group are. Wolter (2007, Introduction to Variance
    Estimation, chapter 2), in the linearised form of a ratio, over the R groups that are not empty:

        Var(pi_g) = R / (R - 1) * sum_r (y_rg - pi_g N_r)^2 / N^2

    Attributes:
        totals: the domains' totals by group.
        clusters: an upper bound on the number of clusters, which bounds `effective_clusters`.
    """

    totals: GroupedTotals
    clusters: int

    @property
    def label(self) -> str:
        """What the clusters are."""
        return f"{self.totals.groups} random groups"

    @property
    def counts(self) -> Integers:
        """The domains' totals, int64 [G]."""
        return self.totals.counts

    @cached_property
    def degrees_of_freedom(self) -> float:
        """Groups that are not empty, less one."""
        return float(np.count_nonzero(self.totals.sizes) - 1)

    @cached_property
    def effective_clusters(self) -> float:
        """N^2 / sum_c N_c^2 with the sum over clusters estimated from the groups.

        Clusters fall into groups at random, so E sum_r (N_r - N / R)^2 = (1 - 1 / R) sum_c N_c^2.
        """
        sizes = self.totals.sizes.astype(np.float64)
        groups = len(sizes)
        squares = ((sizes - sizes.mean()) ** 2).sum() * groups / max(groups - 1, 1)
        estimate = sizes.sum() ** 2 / squares if squares > 0 else np.inf
        return float(min(max(estimate, 1.0), max(self.clusters, 1)))

    def variance(self) -> Floats:
        """Variance of the shares, [G]; NaN if fewer than two groups hold anything."""
        if self.degrees_of_freedom < 1:
            return np.full(self.totals.domains, np.nan)
        return self.totals.squared_scores(shares_of(self.counts)) * self._scale**2

    def deviations(self, rng: np.random.Generator, draws: int) -> Floats:
        """Gaussian deviations, [draws, G]."""
        return self.totals.deviations(shares_of(self.counts), rng, draws) * self._scale

    @property
    def _scale(self) -> float:
        groups = self.degrees_of_freedom + 1
        return float(np.sqrt(groups / (groups - 1)) / int(self.counts.sum()))


@dataclass(frozen=True)
class TwoStage:
    """A sampled audit: m of M splits were read, each whole (Cochran 1977, section 10.3 and equation 10.14).

    With f = m / M, and splits of unequal size handled by the ratio estimator:

        Var(pi_g) = (1 - f) * m / (m - 1) * sum_s (y_sg - pi_g N_s)^2 / N^2  +  f * Var_within(pi_g)

    The first term is what the unread splits add. The second is the full scan's variance, scaled to M splits: it is what
    remains when every split is read, as the target is the generating process.

    Attributes:
        splits: the domains' totals by split that was read; ``groups`` is m, empty splits included.
        planned: M.
        within: the design inside splits, over the same documents.
    """

    splits: GroupedTotals
    planned: int
    within: DocumentClusters | RandomGroups

    @property
    def label(self) -> str:
        """What the clusters are."""
        return f"two stages: {self.splits.groups} of {self.planned} splits, {self.within.label}"

    @property
    def counts(self) -> Integers:
        """The domains' totals, int64 [G]."""
        return self.splits.counts

    @property
    def read_share(self) -> float:
        """f = m / M."""
        return self.splits.groups / self.planned

    @property
    def degrees_of_freedom(self) -> float:
        """m - 1, or those within if every split was read."""
        return self.within.degrees_of_freedom if self.read_share >= 1 else float(self.splits.groups - 1)

    @property
    def effective_clusters(self) -> float:
        """N^2 / sum_s N_s^2: a domain that was not seen may sit in the unread splits."""
        if self.read_share >= 1:
            return self.within.effective_clusters
        sizes = self.splits.sizes.astype(np.float64)
        return float(sizes.sum() ** 2 / (sizes**2).sum())

    def variance(self) -> Floats:
        """Variance of the shares, [G]; NaN if one split of several was read."""
        if self.read_share >= 1:
            return self.within.variance()
        if self.degrees_of_freedom < 1:
            return np.full(self.splits.domains, np.nan)
        between = self.splits.squared_scores(shares_of(self.counts)) * self._scale**2
        return (1 - self.read_share) * between + self.read_share * self.within.variance()

    def deviations(self, rng: np.random.Generator, draws: int) -> Floats:
        """Gaussian deviations, [draws, G]."""
        within = self.within.deviations(rng, draws) * np.sqrt(self.read_share)
        if self.read_share >= 1:
            return np.asarray(within)
        between = self.splits.deviations(shares_of(self.counts), rng, draws) * self._scale
        return np.asarray(between * np.sqrt(1 - self.read_share) + within)

    @property
    def _scale(self) -> float:
        splits = self.splits.groups
        return float(np.sqrt(splits / (splits - 1)) / int(self.counts.sum()))
