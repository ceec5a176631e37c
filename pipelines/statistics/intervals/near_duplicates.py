"""Near-duplicate rates, with intervals, from MinHash signatures of documents sampled by their first MinHash value."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.drift.minhash_bands import band_hashes, find_similar
from corpus_audit.pipelines.kernels.text.ngrams import PERMUTATIONS
from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate, ratio_interval

THRESHOLD = 0.8
"""Estimated Jaccard similarity from which two documents count as near-duplicates."""


@dataclass(frozen=True)
class Signatures:
    """The sampled documents of a snapshot, a row for every distinct text of a domain.

    Attributes:
        hashes: uint64 [N, 2], content hashes.
        domains: int64 [N], 0 to G - 1.
        documents: int64 [N], documents with the text in the domain.
        signatures: uint32 [N, PERMUTATIONS].
    """

    hashes: npt.NDArray[np.uint64]
    domains: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    signatures: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class NearDuplicates:
    """Near-duplicate rates of one scope.

    Attributes:
        scope: within, across or baseline.
        documents: sampled documents, int64 [G].
        near_duplicates: weighted sampled documents with a near-duplicate, float64 [G].
        domains: the domains' rates with 95 % bounds, NaN where nothing was sampled.
        overall: the rate of all documents.
    """

    scope: str
    documents: npt.NDArray[np.int64]
    near_duplicates: Floats
    domains: list[Estimate]
    overall: Estimate


@dataclass(frozen=True)
class _Units:
    """Rows with the same signature, domain and side, merged: they have the same neighbours, and are each other's."""

    signatures: npt.NDArray[np.uint32]
    domains: npt.NDArray[np.int64]
    sides: npt.NDArray[np.int8]
    hashes: npt.NDArray[np.uint64]
    texts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]


def near_duplicates(
    current: Signatures,
    domains: int,
    sample_share: float,
    baseline: Signatures | None = None,
) -> list[NearDuplicates]:
    """Shares of documents with at least one near-duplicate: in their domain, in another one, and in a baseline.

    A near-duplicate is another text whose signature (Broder 1997) agrees in at least `THRESHOLD` of its values.
    Copies of the same text are not near-duplicates; they are counted elsewhere, exactly.

    A document is in the sample if a rehash of its first MinHash value is below a threshold, share s. Given that
    document i is, its neighbour j of similarity J is if it has the same first value, which has probability J, or
    another one that is sampled too: a = J + (1 - J) s. So the rate is estimated as

        sum over sampled documents that have a sampled neighbour of 1 / a_i  /  sampled documents,

    a Horvitz-Thompson sum (1952, JASA 47) over a Hajek total. For a document with several neighbours J is the
    probability that any of them has its first value, estimated by the share of its signature values that some sampled
    neighbour shares. With one neighbour the estimate is unbiased but for the error of the signature (0.2 % of itself at
    J = 0.8). With more, sampled neighbours show that share at most in full, so the estimate may be too high, by a
    factor of 1 / `THRESHOLD` (1.25) at the very most: it is 1 for documents whose neighbours are copies of each other.
    In large buckets of similar signatures (`kernels.drift.minhash_bands`) not every pair is compared, which can only
    lose some.

    The bounds are a linearised jackknife over groups of connected neighbours, which come into the sample together
    (Korn-Graubard, `proportions.ratio_interval`); with no near-duplicate seen, the upper bound allows for the weight.

    Args:
        current: the sampled documents.
        domains: G.
        sample_share: s, the share of first MinHash values that are in the sample.
        baseline: the baseline's documents, sampled with the same threshold.

    Returns:
        The scopes within and across, and baseline if there is one.

    Raises:
        ValueError: if the share is out of range.
    """
    if not 0 < sample_share <= 1:
        raise ValueError(f"the sample share is {sample_share}, which must be above 0 and at most 1")
    units = _units([current] if baseline is None else [current, baseline])
    least = int(np.ceil(THRESHOLD * PERMUTATIONS))
    agreement, groups = find_similar(
        units.signatures, units.domains, units.sides, units.hashes, units.texts == 1, least
    )
    agree = np.bitwise_count(agreement).sum(axis=2) / PERMUTATIONS
    agree[units.texts > 1, 0] = 1.0
    own = units.sides == 0
    scopes = ("within", "across") if baseline is None else ("within", "across", "baseline")
    rates = []
    for relation, scope in enumerate(scopes):
        share = agree[own, relation]
        weight = np.where(share > 0, 1 / np.maximum(share + (1 - share) * sample_share, THRESHOLD), 0.0)
        rates.append(_rates(scope, units.domains[own], units.documents[own], weight, groups[own], domains))
    return rates


def _units(sides: list[Signatures]) -> _Units:
    signatures = np.concatenate([side.signatures for side in sides])
    domains = np.concatenate([side.domains for side in sides])
    hashes = np.concatenate([side.hashes for side in sides])
    documents = np.concatenate([side.documents for side in sides])
    side = np.repeat(np.arange(len(sides), dtype=np.int8), [len(each.domains) for each in sides])
    digest = band_hashes(signatures, 0, PERMUTATIONS)
    order = np.lexsort((hashes[:, 1], hashes[:, 0], domains, side, digest))
    new = np.ones(len(order), bool)
    new[1:] = False
    for column in (digest, side, domains):
        new[1:] |= column[order][1:] != column[order][:-1]
    first = np.flatnonzero(new)
    rows = order[first]
    if not len(order):
        texts, documents_of_unit = np.zeros(0, np.int64), np.zeros(0, np.int64)
    else:
        texts, documents_of_unit = np.diff(first, append=len(order)), np.add.reduceat(documents[order], first)
    return _Units(signatures[rows], domains[rows], side[rows], hashes[rows], texts, documents_of_unit)


def _rates(
    scope: str,
    domain: npt.NDArray[np.int64],
    documents: npt.NDArray[np.int64],
    weight: Floats,
    groups: npt.NDArray[np.int64],
    domains: int,
) -> NearDuplicates:
    hits = documents * weight
    order = np.lexsort((groups, domain))
    edges = np.searchsorted(domain[order], np.arange(domains + 1))
    rates = [
        _rate(hits[rows], documents[rows], groups[rows])
        for rows in (order[start:stop] for start, stop in pairwise(edges))
    ]
    return NearDuplicates(
        scope=scope,
        documents=np.bincount(domain, documents, domains).astype(np.int64),
        near_duplicates=np.bincount(domain, hits, domains).astype(np.float64),
        domains=rates,
        overall=_rate(hits, documents, groups),
    )


def _rate(hits: Floats, documents: npt.NDArray[np.int64], groups: npt.NDArray[np.int64]) -> Estimate:
    """Hits over documents, with the groups as sampling units."""
    if not len(hits):
        return Estimate(float("nan"), float("nan"), float("nan"))
    _, group = np.unique(groups, return_inverse=True)
    interval = ratio_interval(np.bincount(group, hits), np.bincount(group, documents))
    high = interval.high / THRESHOLD if interval.value == 0 else interval.high
    return Estimate(min(interval.value, 1.0), min(interval.low, 1.0), min(high, 1.0))
