"""Pairs of snapshots whose distance is known: two sources, five ways to share documents, three strengths of drift."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from corpus_audit.pipelines.statistics.drift import divergence
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from tests.benchmarks.nulls import Plan, contrast, dirichlet_multinomial, installation, split, zipf

SOURCES = ("urn", "python")
"""Dirichlet-multinomial documents, and the text of the Python installation."""

DRIFTS = ("none", "mild", "strong")

VOCABULARY = 8_000
URN_DOCUMENTS = 1_500

_TILTS = {"none": 0.0, "mild": 0.1, "strong": 0.5}  # standard deviation of the log of each token's change
_WEIGHTS = {"mild": 1.2, "strong": 4.0}  # of the second largest domain's documents
MOVED_DOMAIN = 1


@dataclass(frozen=True)
class Pair:
    """Two snapshots and the Jensen-Shannon divergence of what they were drawn from, in bits."""

    contrast: TokenContrast
    truth: float


def seeded(seed: int, *labels: object) -> np.random.Generator:
    """An independent stream for each scenario and replicate."""
    return np.random.default_rng([seed, *(crc32(str(label).encode()) for label in labels)])


def pair(source: str, plan: Plan, drift: str, rng: np.random.Generator) -> Pair:
    """Draw a pair.

    The urn draws new documents; under drift the added ones follow shares times exp(s Z), Z normal by token. The Python
    installation is dealt out without replacement for a null; under drift documents are drawn with replacement, those
    of one domain more often among the added ones.
    """
    return _urn(plan, drift, rng) if source == "urn" else _python(plan, drift, rng)


def _urn(plan: Plan, drift: str, rng: np.random.Generator) -> Pair:
    before = zipf(VOCABULARY)
    added = before * np.exp(_TILTS[drift] * np.random.default_rng(VOCABULARY).standard_normal(VOCABULARY))
    added /= added.sum()
    sizes = plan.sizes(URN_DOCUMENTS)
    samples = []
    for size, shares in zip(sizes, (before, added, before), strict=True):
        documents = dirichlet_multinomial(shares, max(size, 1), rng)
        samples.append(documents.sample(np.arange(size), rng))
    now = (sizes[1] * added + sizes[2] * before) / (sizes[1] + sizes[2])
    return Pair(contrast(*samples), float(divergence.jensen_shannon(before, now)))


def _python(plan: Plan, drift: str, rng: np.random.Generator) -> Pair:
    documents = installation().documents
    if drift == "none":
        return Pair(split(documents, plan, rng), 0.0)
    even = np.full(len(documents), 1 / len(documents))
    weight = np.where(documents.domain == MOVED_DOMAIN, _WEIGHTS[drift], 1.0)
    return drawn_pair(plan, even, weight / weight.sum(), rng)


def drawn_pair(plan: Plan, even: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> Pair:
    """Documents of the installation with replacement, the added ones by ``weight`` [D], the rest by ``even`` [D]."""
    documents = installation().documents
    sizes = plan.sizes(len(documents))
    samples = [
        documents.sample(rng.choice(len(documents), size=size, p=p), rng)
        for size, p in zip(sizes, (even, weight, even), strict=True)
    ]
    before = documents.expected(even)
    now = sizes[1] * documents.expected(weight) + sizes[2] * before
    return Pair(contrast(*samples), float(divergence.jensen_shannon(before, now)))
