"""Which tokens and n-grams carry a unit's activation in a domain: attributions summed over examples, with intervals.

The share of an n-gram is the sum of the attributions of its tokens, over all its occurrences in the examples, over the
sum of F(x) - F(b) (of methods whose values are no parts of that: of the values of all tokens). An interval takes
documents as clusters, as several examples may be of one: that of a ratio of sums over D documents
(`pipelines/statistics/intervals/ratios.py`), with D - 1 degrees of freedom, as a document's part of what shares are of
may be below 0. The documents are those of a unit's *strongest* examples, no sample of the domain: the interval says how
much the share depends on which of them are in the list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from corpus_audit.embeddings.attribution.methods.names import Method
from corpus_audit.embeddings.attribution.results import Attributed
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.pipelines.statistics.intervals.ratios import Freedom, RatioEstimate, ratio_estimates
from corpus_audit.schemas.errors import UsageError

LONGEST = 3
"""Tokens of the longest n-grams."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A token or an n-gram of the examples of a domain.

    Attributes:
        text: as it stands in the documents, blanks around it left out; length: its tokens.
        occurrences, documents: how often, and in how many documents, it occurs in the examples.
        mean: attribution of an example, in the unit's own scale.
        share: of `Attributed.whole`, summed over the examples; None if that is not above 0.
        low, high: 95 % interval; None with fewer than `LEAST_CLUSTERS` documents.
    """

    text: str
    length: int
    occurrences: int
    documents: int
    mean: float
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DomainAttribution:
    """The examples of a unit in one domain, together.

    Attributes:
        domain: its name.
        examples, documents: how many there are.
        value: mean activation of the examples; baseline_value: that of their baselines.
        tokens: single tokens, of the largest sum first.
        ngrams: runs of 2 to `LONGEST` tokens that occur in two documents at least, likewise.
    """

    domain: str
    examples: int
    documents: int
    value: float
    baseline_value: float
    tokens: list[Carrier]
    ngrams: list[Carrier]


def domain_examples(index: Index, unit: str, domains: Sequence[str], k: int, lowest: bool = False) -> list[Example]:
    """The strongest examples of a unit in some domains, at most k of each: from its own list and from the top list.

    With ``lowest`` they are those of the list of its lowest activations, as a domain has no such list of its own.
    A document that is in several domains is located first in the one that it stands for.

    Raises:
        UsageError: the index has no such domain, or no list of it.
    """
    result = []
    for domain in domains:
        if domain not in index.domains:
            raise UsageError(f"the index has no domain {domain!r}; it has {', '.join(index.domains)}")
        listed = [] if lowest else index.lookup(unit, domain=domain, k=k)
        whole = index.lookup(unit, which="minima" if lowest else "top", k=1000)
        listed += [e for e in whole if any(at.domain == domain for at in e.locations)]
        distinct = {(example.window, example.position): example for example in reversed(listed)}
        sign = 1 if lowest else -1
        for example in sorted(distinct.values(), key=lambda example: (sign * example.value, example.window))[:k]:
            locations = tuple(sorted(example.locations, key=lambda at: at.domain != domain))
            result.append(replace(example, locations=locations))
    return result


def by_domain(examples: Sequence[Attributed], domains: Sequence[str], method: Method) -> list[DomainAttribution]:
    """The examples of each domain together, in the order of ``domains``; domains without examples are left out.

    Args:
        examples: attributed by the method.
        domains: their names.
        method: decides what shares are of.
    """
    result = []
    for domain in domains:
        members = [example for example in examples if example.domain == domain]
        if members:
            result.append(_together(domain, members, method))
    return result


def _together(domain: str, examples: Sequence[Attributed], method: Method) -> DomainAttribution:
    clusters = {document: i for i, document in enumerate(dict.fromkeys(example.document for example in examples))}
    totals = np.zeros(len(clusters))
    sums: dict[tuple[int, str], np.ndarray] = defaultdict(lambda: np.zeros(len(clusters)))
    occurrences: dict[tuple[int, str], np.ndarray] = defaultdict(lambda: np.zeros(len(clusters), np.int64))
    for example in examples:
        cluster = clusters[example.document]
        totals[cluster] += example.whole(method)
        for length, text, value in _ngrams(example):
            sums[length, text][cluster] += value
            occurrences[length, text][cluster] += 1
    keys = [key for key in sums if key[0] == 1 or int((occurrences[key] > 0).sum()) > 1]
    carried = np.stack([sums[key] for key in keys], axis=1)
    shares = ratio_estimates(carried, totals, freedom=Freedom.CLUSTERS)
    carriers = [
        _carrier(key, sums[key], occurrences[key], share, len(examples))
        for key, share in zip(keys, shares, strict=True)
    ]
    carriers.sort(key=lambda carrier: (-carrier.mean, carrier.length, carrier.text))
    return DomainAttribution(
        domain=domain,
        examples=len(examples),
        documents=len(clusters),
        value=float(np.mean([example.value for example in examples])),
        baseline_value=float(np.mean([example.baseline_value for example in examples])),
        tokens=[carrier for carrier in carriers if carrier.length == 1],
        ngrams=[carrier for carrier in carriers if carrier.length > 1],
    )


def _ngrams(example: Attributed) -> Iterator[tuple[int, str, float]]:
    """(tokens, text, sum of attributions) of every run of up to `LONGEST` tokens of an example."""
    positions = example.in_text
    upto = np.concatenate([[0.0], np.cumsum(example.attribution[positions])])
    for length in range(1, LONGEST + 1):
        for i in range(len(positions) - length + 1):
            first, last = positions[i], positions[i + length - 1]
            text = " ".join(example.text[int(example.starts[first]) : int(example.ends[last])].split())
            yield length, text, float(upto[i + length] - upto[i])


def _carrier(
    key: tuple[int, str], sums: np.ndarray, occurrences: np.ndarray, share: RatioEstimate, examples: int
) -> Carrier:
    return Carrier(
        text=key[1],
        length=key[0],
        occurrences=int(occurrences.sum()),
        documents=int((occurrences > 0).sum()),
        mean=float(sums.sum()) / examples,
        share=share.value,
        low=share.low,
        high=share.high,
    )
