"""Traces a text: the longest spans that it shares with the documents of an index, ranked; after OLMoTrace.

As in OLMoTrace (Liu et al. 2025, arXiv 2504.07096), a span occurs verbatim in a document, consists of whole words, does
not go beyond a line or sentence, and is part of no longer such span; the spans of the lowest unigram probability are
listed, by default one for every 20 words of the text. Unlike there, words are not a tokenizer's, lengths and counts
are exact, and documents are ranked by how many words of the text they share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.tracing.index import TraceIndex
from corpus_audit.pipelines.tracing.query import Lookup, Query, maximal, ranges
from corpus_audit.pipelines.tracing.reference import reference_coverage
from corpus_audit.pipelines.tracing.results import (
    Reference,
    SharedDocument,
    SharedSpan,
    SpanDomain,
    Trace,
    TracedDomain,
)
from corpus_audit.pipelines.tracing.segment import Segment
from corpus_audit.schemas.errors import UsageError

MOST_OCCURRENCES = 100_000
"""Occurrences of a span that ranks documents: more often it is a phrase that says nothing of a document."""

DOCUMENTS_OF_SPAN = 10
EXCERPT_SYMBOLS = 40
"""Words and marks of a document that are shown before and behind a span."""

WORDS_PER_SPAN = 20
"""Words of the text for each span that is listed by default: OLMoTrace's ceil(0.05 L)."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """How a text is traced.

    Attributes:
        shortest: words of a span at least.
        spans: spans that are listed at most; by default one for `WORDS_PER_SPAN` words.
        documents: documents that are listed at most.
        across_sentences: whether spans may go beyond the end of a line or sentence.
        stretches: stretches of the corpus that are traced for reference; 0 for none.
    """

    shortest: int = 8
    spans: int | None = None
    documents: int = 5
    across_sentences: bool = False
    stretches: int = 100


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Documents and the spans that they hold, by segment, document and span; int64 [N] each.

    ``at`` is the first position of the span in the document that stands first in the suffix array.
    """

    segment: np.ndarray
    document: np.ndarray
    span: np.ndarray
    at: np.ndarray


def trace_text(index: TraceIndex, text: str, settings: TraceSettings = TraceSettings()) -> Trace:
    """Trace a text.

    Raises:
        UsageError: it has no word.
    """
    query = Query(text, settings.across_sentences)
    words = int(query.counted.sum())
    if not words:
        raise UsageError("the text has no word")
    lookups = [query.lookup(segment) for segment in index.segments]
    lengths = query.longest(index.segments, lookups)
    starts, sizes = maximal(lengths)
    before = query.counted_before
    span_words = before[starts + sizes] - before[starts]
    longest = int(span_words.argmax()) if len(starts) else None
    longest_text = "" if longest is None else query.span(int(starts[longest]), int(starts[longest] + sizes[longest]))
    most_words = 0 if longest is None else int(span_words[longest])
    kept = np.flatnonzero(span_words >= settings.shortest)
    starts, sizes, span_words = starts[kept], sizes[kept], span_words[kept]
    covered = int(_covered(before, starts, sizes).sum())
    tracer = _Tracer(index, query, lookups, starts, sizes)
    probabilities = tracer.log_probabilities()
    listed = np.argsort(probabilities, kind="stable")
    listed = np.sort(listed[: settings.spans or math.ceil(words / WORDS_PER_SPAN)])
    pairs, domains, holding = tracer.pairs()
    ranked = _ranked(pairs, before, starts, sizes)
    reference, no_reference = (None, "not asked for")
    if settings.stretches:
        reference, no_reference = _reference(index, words, covered, settings)
    return Trace(
        words=words,
        shortest=settings.shortest,
        covered=covered,
        longest=most_words,
        longest_text=longest_text,
        shared_spans=len(starts),
        spans=tuple(tracer.span(int(s), int(span_words[s]), float(probabilities[s]), ranked) for s in listed),
        domains=domains,
        documents=tuple(tracer.document(entry) for entry in ranked[: settings.documents]),
        holding=holding,
        unranked=tracer.unranked,
        reference=reference,
        no_reference=no_reference,
    )


def _reference(index: TraceIndex, words: int, covered: int, settings: TraceSettings) -> tuple[Reference | None, str]:
    stretches = reference_coverage(index, words, settings.shortest, settings.across_sentences, settings.stretches)
    if isinstance(stretches, str):
        return None, stretches
    shares = stretches.covered / stretches.words
    quantiles = tuple(float(q) for q in np.quantile(shares, (0, 0.1, 0.5, 0.9, 1)))
    longest = tuple(int(q) for q in np.quantile(stretches.longest, (0.1, 0.5, 0.9), method="lower"))
    as_high = int((shares >= covered / words).sum())
    return Reference(len(shares), quantiles, as_high, longest), ""  # type: ignore[arg-type]


def _covered(before: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Words that each of some spans adds to those before it; starts and ends both ascend."""
    stops = starts + sizes
    previous = np.concatenate([[0], stops[:-1]])
    added: np.ndarray = before[stops] - before[np.maximum(starts, previous)]
    return added


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A document that holds spans: their numbers, where each is in the segment, and the words of the text in them."""

    segment: int
    document: int
    words: int
    spans: np.ndarray
    at: np.ndarray


def _ranked(pairs: _Pairs, before: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> list[_Ranked]:
    """Documents by words of the text that they share, then by their spans, then in the order of the corpus."""
    if not len(pairs.span):
        return []
    new = np.concatenate([[True], (np.diff(pairs.segment) != 0) | (np.diff(pairs.document) != 0)])
    firsts = np.flatnonzero(new)
    ends = np.append(firsts[1:], len(new))
    stops = starts[pairs.span] + sizes[pairs.span]
    previous = np.concatenate([[0], stops[:-1]])
    previous[new] = 0
    added = before[stops] - before[np.maximum(starts[pairs.span], np.minimum(previous, stops))]
    words = np.add.reduceat(added, firsts)
    order = np.lexsort((firsts, firsts - ends, -words))
    return [
        _Ranked(
            int(pairs.segment[firsts[i]]),
            int(pairs.document[firsts[i]]),
            int(words[i]),
            pairs.span[firsts[i] : ends[i]],
            pairs.at[firsts[i] : ends[i]],
        )
        for i in order[:RANKED].tolist()
    ]


RANKED = 1000
"""Documents that are ranked in memory; those of a span are the best of them, then others in the corpus's order."""


class _Tracer:
    """The spans of a text in the segments of an index; P spans."""

    def __init__(
        self, index: TraceIndex, query: Query, lookups: list[Lookup], starts: np.ndarray, sizes: np.ndarray
    ) -> None:
        self._index, self._query, self._lookups = index, query, lookups
        self._starts, self._sizes = starts, sizes
        bounds = [ranges(s, lookup, starts, sizes) for s, lookup in zip(index.segments, lookups, strict=True)]
        shape = (len(bounds), len(starts))
        self._firsts = np.array([first for first, _ in bounds], np.int64).reshape(shape)
        self._lasts = np.array([last for _, last in bounds], np.int64).reshape(shape)
        self._occurrences = (self._lasts - self._firsts).sum(axis=0)
        self._often = self._occurrences > MOST_OCCURRENCES
        self.unranked = int(self._often.sum())

    def log_probabilities(self) -> np.ndarray:
        """The sum of logarithms of the corpus's shares of each span's words and marks, float64 [P]."""
        size = len(self._query)
        each = np.zeros(size, np.int64)
        inside = np.zeros(size + 1, np.int64)
        np.add.at(inside, self._starts, 1)
        np.add.at(inside, self._starts + self._sizes, -1)
        at = np.flatnonzero(np.cumsum(inside)[:-1] > 0)
        for segment, lookup in zip(self._index.segments, self._lookups, strict=True):
            firsts, lasts = ranges(segment, lookup, at, np.ones(len(at), np.int64))
            each[at] += lasts - firsts
        logs = np.zeros(size + 1)
        logs[1:][at] = np.log(each[at] / max(self._index.words, 1))
        sums = np.cumsum(logs)
        result: np.ndarray = sums[self._starts + self._sizes] - sums[self._starts]
        return result

    def _documents(self, number: int, span: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Documents of a segment that hold a span, the first position of each, and its occurrences there."""
        segment = self._index.segments[number]
        positions = segment.suffixes[self._firsts[number, span] : self._lasts[number, span]]
        documents, first, counts = np.unique(segment.document_of(positions), return_index=True, return_counts=True)
        return documents, positions[first].astype(np.int64), counts

    def pairs(self) -> tuple[_Pairs, tuple[TracedDomain, ...], int]:
        """Documents with the spans that they hold; the domains of all spans; how many documents hold one."""
        parts: list[np.ndarray] = []
        spans_of_domain: dict[str, set[int]] = {}
        holders: dict[str, int] = {}
        holding = 0
        for number, segment in enumerate(self._index.segments):
            is_holder = np.zeros(segment.size, bool)
            for span in range(len(self._starts)):
                documents, positions, _ = self._documents(number, span)
                is_holder[documents] = True
                for code in np.unique(segment.domain_codes[documents]).tolist():
                    spans_of_domain.setdefault(segment.domains[code], set()).add(span)
                if not self._often[span]:
                    columns = (np.full(len(documents), number), documents, np.full(len(documents), span), positions)
                    parts.append(np.stack(columns, axis=1))
            holding += int(is_holder.sum())
            by_domain = np.bincount(segment.domain_codes[is_holder], minlength=len(segment.domains))
            for name, count in zip(segment.domains, by_domain.tolist(), strict=True):
                holders[name] = holders.get(name, 0) + count
        table = np.concatenate(parts) if parts else np.empty((0, 4), np.int64)
        table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
        totals = self._index.facts["domains"]
        domains = [
            TracedDomain(name, self._words_in(spans), holders[name], totals[name]["words"])
            for name, spans in spans_of_domain.items()
        ]
        domains.sort(key=lambda domain: (-domain.words, -domain.documents, domain.domain))
        return _Pairs(*table.T), tuple(domains), holding

    def _words_in(self, spans: set[int]) -> int:
        which = np.array(sorted(spans))
        return int(_covered(self._query.counted_before, self._starts[which], self._sizes[which]).sum())

    def span(self, span: int, words: int, probability: float, ranked: list[_Ranked]) -> SharedSpan:
        """A span with its domains and some of its documents."""
        domains: dict[str, list[int]] = {}
        holders: list[tuple[int, int]] = []
        for number, segment in enumerate(self._index.segments):
            documents, _, counts = self._documents(number, span)
            codes = segment.domain_codes[documents]
            for code in np.unique(codes).tolist():
                entry = domains.setdefault(segment.domains[code], [0, 0])
                entry[0] += int(counts[codes == code].sum())
                entry[1] += int((codes == code).sum())
            holders += [(number, int(document)) for document in documents[:DOCUMENTS_OF_SPAN]]
        best = [(entry.segment, entry.document) for entry in ranked if span in entry.spans][:DOCUMENTS_OF_SPAN]
        shown = list(dict.fromkeys([*best, *holders]))[:DOCUMENTS_OF_SPAN]
        start, stop = int(self._starts[span]), int(self._starts[span] + self._sizes[span])
        return SharedSpan(
            *self._query.characters(start, stop),
            text=self._query.span(start, stop),
            words=words,
            log_probability=probability,
            occurrences=int(self._occurrences[span]),
            domains=tuple(
                SpanDomain(name, *numbers)
                for name, numbers in sorted(domains.items(), key=lambda item: (-item[1][0], item[0]))
            ),
            documents=tuple(self._named(number, document) for number, document in shown),
        )

    def _named(self, number: int, document: int) -> tuple[str, int, str | None, str]:
        segment = self._index.segments[number]
        domain = segment.domains[segment.domain_codes[document]]
        return self._index.origins[number].shard, int(segment.rows[document]), segment.id_of(document), domain

    def document(self, entry: _Ranked) -> SharedDocument:
        """A document with the longest of its spans in its context."""
        segment, origin = self._index.segments[entry.segment], self._index.origins[entry.segment]
        before = self._query.counted_before
        starts, sizes = self._starts[entry.spans], self._sizes[entry.spans]
        best = int((before[starts + sizes] - before[starts]).argmax())
        at, start, size = int(entry.at[best]), int(starts[best]), int(sizes[best])
        first, end = int(segment.documents[entry.document]), int(segment.documents[entry.document + 1]) - 1
        shared = self._query.span(start, start + size)
        rest = _text(segment, at, min(at + size + EXCERPT_SYMBOLS, end))
        return SharedDocument(
            shard=origin.shard,
            split=origin.split,
            row=int(segment.rows[entry.document]),
            id=segment.id_of(entry.document),
            domain=segment.domains[segment.domain_codes[entry.document]],
            words=entry.words,
            spans=len(entry.spans),
            span=self._query.characters(start, start + size),
            character=len(_text(segment, first, at)),
            before=_text(segment, max(at - EXCERPT_SYMBOLS, first), at),
            shared=shared,
            after=rest[len(shared) :],
        )


def _text(segment: Segment, start: int, stop: int) -> str:
    return segment.text_of(start, stop)
