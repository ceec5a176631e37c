"""Domain shares of documents drawn with replacement, the classifier's nulls, and a paired test on histograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from corpus_audit.pipelines.kernels.text.ngrams import BUCKETS
from corpus_audit.pipelines.statistics.classifier.two_sample import classifier_test
from corpus_audit.pipelines.statistics.drift.domain_drift import DomainSample, domain_drift
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from tests.benchmarks.calibration.pairs import MOVED_DOMAIN, seeded
from tests.benchmarks.nulls import DOMAINS, PLANS, Documents, installation

HISTOGRAM = 30


@dataclass(frozen=True)
class DomainShares:
    """Intervals of domain shares that hold the truth, of R draws and all domains.

    Attributes:
        intervals: how many there were, of one snapshot's shares; as many of the differences between two.
        shares: intervals of a snapshot's shares of tokens that hold the truth.
        differences: intervals of the differences of shares of tokens that hold the truth.
    """

    plan: str
    intervals: int
    shares: int
    differences: int


@dataclass(frozen=True)
class ClassifierNulls:
    """What the classifier said of R splits; ``tested`` of them had enough documents on both sides."""

    plan: str
    replicates: int
    tested: int
    rejected: int
    covered: int


@dataclass(frozen=True)
class PairedBins:
    """p-values of a paired t-test on histograms of document lengths, of two domains whose lengths differ."""

    replicates: int
    rejected: int
    smallest_p: float
    rank_test_rejected: int


def domain_sample(documents: Documents, selected: npt.NDArray[np.int64]) -> DomainSample:
    """Totals by domain of the selected documents."""
    domain, lengths = documents.domain[selected], documents.lengths[selected]
    tokens = np.zeros(DOMAINS, dtype=np.int64)
    squared = np.zeros(DOMAINS, dtype=np.int64)
    np.add.at(tokens, domain, lengths)
    np.add.at(squared, domain, lengths**2)
    return DomainSample(np.bincount(domain, minlength=DOMAINS), tokens, squared.astype(object))


def domain_shares(plan: str, seed: int, replicates: int) -> DomainShares:
    """Draw documents with replacement; the true shares are those of all documents, the true differences 0.

    Args:
        plan: name of one of `nulls.PLANS`.
        seed: of the whole benchmark.
        replicates: R.
    """
    documents = installation().documents
    truth = np.bincount(documents.domain, documents.lengths, DOMAINS) / documents.lengths.sum()
    sizes = next(entry for entry in PLANS if entry.name == plan).sizes(len(documents))
    shares = differences = 0
    for replicate in range(replicates):
        rng = seeded(seed, "domains", plan, replicate)
        parts = [domain_sample(documents, rng.integers(len(documents), size=size)) for size in sizes]
        drift = domain_drift(*parts, "tokens")
        differences += int(((drift.low <= 0) & (drift.high >= 0)).sum())
        now = parts[1].tokens + parts[2].tokens, parts[1].squared + parts[2].squared
        count = int(parts[1].documents.sum() + parts[2].documents.sum())
        result = share_intervals(DocumentClusters(*now, count))
        shares += int(((result.low <= truth) & (truth <= result.high)).sum())
    return DomainShares(plan, replicates * DOMAINS, shares, differences)


def classifier_nulls(plan: str, seed: int, replicates: int) -> ClassifierNulls:
    """Deal the documents out and let the classifier tell the sides apart.

    Args:
        plan: name of one of `nulls.PLANS`; append-only leaves nothing to compare.
        seed: of the whole benchmark.
        replicates: R.
    """
    features = installation().features
    removed, added, _ = next(entry for entry in PLANS if entry.name == plan).sizes(len(features))
    tested = rejected = covered = 0
    for replicate in range(replicates):
        order = seeded(seed, "classifier", plan, replicate).permutation(len(features))
        first, second, kept = np.split(order, [removed, removed + added])
        sides = (features.take(np.concatenate([side, kept])) for side in (first, second))
        test = classifier_test(*sides, BUCKETS)
        if test.reason is None:
            tested += 1
            rejected += int(test.p <= 0.05)
            covered += int(test.low <= 0.5 <= test.high)
    return ClassifierNulls(plan, replicates, tested, rejected, covered)


def paired_bins(seed: int, replicates: int) -> PairedBins:
    """Compare document lengths of two different domains, 100 of each, by a paired t-test on their histograms' counts.

    Both histograms add up to the same number, so the mean difference, and with it t, is 0 whatever the data are. The
    rank test (Mann and Whitney) on the same lengths stands beside it.
    """
    documents = installation().documents
    pools = [documents.lengths[documents.domain == g] for g in (0, MOVED_DOMAIN)]
    p, ranks = [], 0
    for replicate in range(replicates):
        rng = seeded(seed, "bins", replicate)
        first, second = (rng.choice(pool, size=100) for pool in pools)
        edges = np.histogram_bin_edges(np.concatenate([first, second]), HISTOGRAM)
        p.append(float(stats.ttest_rel(np.histogram(first, edges)[0], np.histogram(second, edges)[0]).pvalue))
        ranks += int(stats.mannwhitneyu(first, second).pvalue <= 0.05)
    return PairedBins(replicates, sum(entry <= 0.05 for entry in p), min(p), ranks)
