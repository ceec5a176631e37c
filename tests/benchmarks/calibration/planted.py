"""Planted changes of the installation's text: power, and to which part, mix or text, the change is attributed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.drift.decomposition import Parts, decompose
from corpus_audit.pipelines.statistics.drift.domain_drift import domain_drift
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_drift import RISER, token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from tests.benchmarks.calibration.domains import domain_sample
from tests.benchmarks.calibration.pairs import MOVED_DOMAIN, seeded
from tests.benchmarks.calibration.snapshots import PERMUTATIONS
from tests.benchmarks.nulls import DOMAINS, Documents, contrast, installation

PLANTS = ("none", "domain up by a fifth", "20 tokens doubled")

DOUBLED = 20
COPIES = 5  # of every document, so that a fifth more is one more

Integers = np.ndarray


@dataclass(frozen=True)
class Planted:
    """What R pairs of independent halves gave, one half changed.

    Attributes:
        rejected: pairs whose divergence has p <= 0.05.
        failed: pairs whose lower bound of the excess divergence is above 0.
        domain_found: pairs in which the changed domain's share of tokens moved, q <= 0.05.
        tokens_found: of the changed tokens of all pairs, those reported as risers.
        tokens_false: other risers and fallers.
        mixture, content: mean noise-subtracted parts, TVD.
        identical_mixture, identical_content: attribution of the change when it is planted on identical documents.
    """

    plant: str
    replicates: int
    rejected: int
    failed: int
    domain_found: int
    tokens_found: int
    tokens_false: int
    mixture: float
    content: float
    identical_mixture: float
    identical_content: float


def planted(plant: str, seed: int, replicates: int) -> Planted:
    """Split the documents into halves and change the second; and change a copy of all documents.

    A domain's documents are made a fifth more by repeating a fifth of those that the half holds; tokens are doubled
    where they stand.

    Args:
        plant: one of `PLANTS`.
        seed: of the whole benchmark.
        replicates: R.
    """
    source = installation().documents
    tokens = changed_tokens(source)
    after = source.doubled(tokens) if plant == "20 tokens doubled" else source
    counts = np.zeros(5, dtype=np.int64)
    excess = np.zeros(2)
    for replicate in range(replicates):
        rng = seeded(seed, plant, replicate)
        order = rng.permutation(len(source))
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        if plant == "domain up by a fifth":
            moving = second[source.domain[second] == MOVED_DOMAIN]
            second = np.concatenate([second, rng.choice(moving, size=len(moving) // 5, replace=False)])
        made = _contrast(source, after, first, second, rng)
        summary = drift_summary(made, PERMUTATIONS, seed + replicate)
        moved = token_drift(made)
        risers = moved.tokens[moved.kind == RISER]
        true = np.isin(risers, tokens).sum() if plant == "20 tokens doubled" else 0
        shares = domain_drift(
            domain_sample(source, first), domain_sample(after, second), domain_sample(source, first[:0]), "tokens"
        )
        counts += (
            (summary.distances["jsd"].p or 1.0) <= 0.05,
            (summary.low or 0.0) > 0,
            shares.q[MOVED_DOMAIN] <= 0.05,
            true,
            (moved.q <= 0.05).sum() - true,
        )
        parts = _parts(source, after, first, second, rng)
        excess += parts.mixture.excess, parts.content.excess
    same = _identical(source, after, plant, seed)
    excess /= max(replicates, 1)
    return Planted(plant, replicates, *counts.tolist(), *excess.tolist(), *same)


def changed_tokens(source: Documents) -> Integers:
    """Twenty tokens, evenly spaced by rank among those of at least 100 documents, the 20 most frequent left out."""
    documents = np.bincount(source.token, minlength=source.vocabulary)
    order = np.argsort(-documents, kind="stable")
    usual = order[DOUBLED : int((documents >= 100).sum())]
    return np.sort(usual[np.linspace(0, len(usual) - 1, DOUBLED).astype(np.int64)])


def _contrast(
    before: Documents, after: Documents, first: Integers, second: Integers, rng: np.random.Generator
) -> TokenContrast:
    return contrast(before.sample(first, rng), after.sample(second, rng), before.sample(first[:0], rng))


def _parts(before: Documents, after: Documents, first: Integers, second: Integers, rng: np.random.Generator) -> Parts:
    """The parts of the change from documents ``first`` to documents ``second``."""

    def domains() -> Iterator[TokenContrast]:
        for g in range(DOMAINS):
            inside = first[before.domain[first] == g], second[before.domain[second] == g]
            yield _contrast(before, after, *inside, rng)

    sides = before.sample(first, rng).count, after.sample(second, rng).count
    return decompose(*sides, domains()).overall


def _identical(before: Documents, after: Documents, plant: str, seed: int) -> tuple[float, float]:
    """Attribution to mixture and content where both sides hold the same documents, `COPIES` of each."""
    rng = seeded(seed, plant, "identical")
    first = np.repeat(np.arange(len(before)), COPIES)
    second = first
    if plant == "domain up by a fifth":
        second = np.concatenate([first, np.flatnonzero(before.domain == MOVED_DOMAIN)])
    parts = _parts(before, after, first, second, rng)
    return parts.mixture.attribution, parts.content.attribution
