"""Variances from totals by group: hash groups of a cluster key (random groups) and splits of a sampled audit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from corpus_audit.pipelines.statistics.intervals.clustered import (
    DocumentClusters,
    Floats,
    Integers,
    satterthwaite,
    shares_of,
)


@dataclass(frozen=True)
class GroupedTotals:
    """Totals of G domains in R groups (hash groups of a cluster key, or splits), as a sparse table of cells.

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

    def score_moment(self, shares: Floats, power: int) -> Floats:
        """sum_r (y_rg - pi_g N_r)^power, [G], for an even power."""
        sizes = self.sizes.astype(np.float64)
        present = (self.amount - shares[self.domain] * sizes[self.group]) ** power
        of_present = np.bincount(self.domain, sizes[self.group] ** power, self.domains)
        absent = np.maximum((sizes**power).sum() - of_present, 0.0)
        return np.asarray(np.bincount(self.domain, present, self.domains) + shares**power * absent, dtype=np.float64)

    def degrees_of_freedom(self, groups: int) -> Floats:
        """Degrees of freedom of sum_r u_r^2, u the scores, [G], at most ``groups`` - 1.

        Satterthwaite's (1946) 2 V^2 / Var(V) with Var(V) from the fourth powers, 3 (sum u^2)^2 / sum u^4 - 1: R - 1 for
        R normal scores, 2 where a single group makes up the variance.
        """
        shares = shares_of(self.counts)
        fourth = self.score_moment(shares, 4)
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = np.where(fourth > 0, 3 * self.score_moment(shares, 2) ** 2 / fourth - 1, np.inf)
        return np.minimum(freedom, groups - 1.0)

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
        """Name of the clusters."""
        return f"{self.totals.groups} random groups"

    @property
    def counts(self) -> Integers:
        """The domains' totals, int64 [G]."""
        return self.totals.counts

    @cached_property
    def groups(self) -> int:
        """Groups that are not empty."""
        return int(np.count_nonzero(self.totals.sizes))

    @property
    def degrees_of_freedom(self) -> Floats:
        """Degrees of freedom of the variances, [G]."""
        return self.totals.degrees_of_freedom(self.groups)

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
        """Variance of the shares, [G]; NaN if fewer than two groups are not empty."""
        if self.groups < 2:
            return np.full(self.totals.domains, np.nan)
        return self.totals.score_moment(shares_of(self.counts), 2) * self._scale**2

    def deviations(self, rng: np.random.Generator, draws: int) -> Floats:
        """Gaussian deviations, [draws, G]."""
        return self.totals.deviations(shares_of(self.counts), rng, draws) * self._scale

    @property
    def _scale(self) -> float:
        return float(np.sqrt(self.groups / (self.groups - 1)) / int(self.counts.sum()))


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
        """Name of the clusters."""
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
    def degrees_of_freedom(self) -> Floats:
        """Degrees of freedom of both stages' variances together, [G] (Satterthwaite 1946)."""
        within = self.within.degrees_of_freedom
        if self.read_share >= 1:
            return within
        between = self.splits.degrees_of_freedom(self.splits.groups)
        stages = self._between(), self.read_share * self.within.variance()
        return satterthwaite((stages[0], between), (stages[1], within), between + within)

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
        return self._between() + self.read_share * self.within.variance()

    def _between(self) -> Floats:
        """Variance from the unread splits, [G]."""
        if self.splits.groups < 2:
            return np.full(self.splits.domains, np.nan)
        return (1 - self.read_share) * self.splits.score_moment(shares_of(self.counts), 2) * self._scale**2

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
