"""What a trace returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SharedDocument:
    """A document that holds spans of the text.

    Attributes:
        shard, split, row: where it is.
        id: its id, if the audit names a column for it.
        domain: its domain.
        words: words of the text in spans that the document holds.
        spans: how many of the spans of at least the shortest length it holds.
        span: the longest of them as characters of the text, start and stop.
        character: the character of the document at which that span begins.
        before, shared, after: the document there: text before the span, the span, text behind it.
    """

    shard: str
    split: int
    row: int
    id: str | None
    domain: str
    words: int
    spans: int
    span: tuple[int, int]
    character: int
    before: str
    shared: str
    after: str


@dataclass(frozen=True, slots=True)
class SpanDomain:
    """How often a span occurs in a domain, and in how many documents of it."""

    domain: str
    occurrences: int
    documents: int


@dataclass(frozen=True, slots=True)
class SharedSpan:
    """A span of the text that occurs in the corpus and is part of no longer one.

    Attributes:
        start, stop: characters of the text.
        text: the span.
        words: its words, punctuation marks not counted.
        log_probability: the sum of the natural logarithms of its words' and marks' shares of the corpus.
        occurrences: how often it occurs in the corpus.
        domains: of its occurrences, the most frequent first.
        documents: a few of the documents that hold it: (shard, row, id, domain).
    """

    start: int
    stop: int
    text: str
    words: int
    log_probability: float
    occurrences: int
    domains: tuple[SpanDomain, ...]
    documents: tuple[tuple[str, int, str | None, str], ...]


@dataclass(frozen=True, slots=True)
class TracedDomain:
    """What the text shares with the documents of a domain.

    Attributes:
        domain: its name.
        words: words of the text in spans that occur in the domain.
        documents: documents of the domain that hold one of those spans.
        corpus_words: words of the domain.
    """

    domain: str
    words: int
    documents: int
    corpus_words: int


@dataclass(frozen=True, slots=True)
class Reference:
    """Coverage of stretches of the corpus's own documents, each traced to all other documents.

    Attributes:
        stretches: how many, each of as many words as the text.
        quantiles: coverage at 0, 10, 50, 90 and 100 % of them.
        as_high: stretches whose coverage is at least that of the text.
        longest: the words of the longest span, at 10, 50 and 90 % of them.
    """

    stretches: int
    quantiles: tuple[float, float, float, float, float]
    as_high: int
    longest: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of a text.

    Attributes:
        words: words of the text, punctuation marks not counted.
        shortest: words of a span at least.
        covered: words of the text in spans of at least so many words.
        longest: words of the longest span, whatever its length.
        longest_text: that span; empty if no word of the text occurs.
        shared_spans: how many spans there are of at least ``shortest`` words.
        spans: those listed: the least probable ones.
        domains: by words shared, the most first.
        documents: those listed: by words shared, the most first.
        holding: documents that hold at least one of the spans.
        unranked: spans with more occurrences than `trace.MOST_OCCURRENCES`, which do not rank documents; they are in
            ``domains`` and ``covered``.
        reference: None where it was not computed.
        no_reference: why it was not.
    """

    words: int
    shortest: int
    covered: int
    longest: int
    longest_text: str
    shared_spans: int
    spans: tuple[SharedSpan, ...]
    domains: tuple[TracedDomain, ...]
    documents: tuple[SharedDocument, ...]
    holding: int
    unranked: int
    reference: Reference | None
    no_reference: str

    @property
    def coverage(self) -> float:
        """Share of the text's words that are in spans of at least the shortest length."""
        return self.covered / self.words if self.words else 0.0
