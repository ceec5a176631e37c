"""What coverage means in a corpus: its own documents, each traced to all the other ones.

A text of common phrases is covered whatever its origin, and a corpus that repeats itself covers any of its documents.
So the coverage of a text is shown beside that of stretches of as many words from documents of the corpus, chosen at
random, whose own document does not count. Other copies of the document do: the corpus holds them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.tracing.index import TraceIndex
from corpus_audit.pipelines.tracing.query import Query, maximal
from corpus_audit.pipelines.tracing.segment import Segment

FEWEST = 20
"""Documents that are long enough; with fewer there is no reference."""

SENTENCE_SYMBOLS = 100
"""Words and marks before a stretch among which the beginning of its sentence is looked for."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches of S documents, traced to all other documents; int64 [S] each.

    Attributes:
        words: words of each.
        covered: of those, words in spans that are long enough.
        longest: words of the longest span.
    """

    words: np.ndarray
    covered: np.ndarray
    longest: np.ndarray


def reference_coverage(
    index: TraceIndex, words: int, shortest: int, across_sentences: bool, stretches: int
) -> Stretches | str:
    """Coverage of stretches of the corpus; the same for the same index and settings.

    Args:
        index: the index.
        words: words of a stretch.
        shortest: words of a span at least.
        across_sentences: as of the text.
        stretches: of as many documents at most, one each.

    Returns:
        The stretches, or why there is no reference.
    """
    eligible = [np.flatnonzero(segment.document_words >= words) for segment in index.segments]
    bounds = np.concatenate([[0], np.cumsum([len(documents) for documents in eligible])])
    total = int(bounds[-1])
    if total < FEWEST:
        return f"documents with as many words as the text: {total:,}; {FEWEST} are needed"
    digests = "".join(file["sha256"] for split in index.facts["splits"] for file in split["segments"])
    seed = hashlib.blake2b(digests.encode(), digest_size=16).digest()
    generator = np.random.default_rng(np.frombuffer(seed, np.uint32))
    selected = np.sort(generator.choice(total, min(stretches, total), replace=False))
    results = []
    for number in selected.tolist():
        where = int(np.searchsorted(bounds, number, side="right")) - 1
        document = int(eligible[where][number - bounds[where]])
        results.append(_trace(index, where, document, words, shortest, across_sentences, float(generator.random())))
    return Stretches(*np.array(results, np.int64).T)


def _trace(
    index: TraceIndex, number: int, document: int, words: int, shortest: int, across_sentences: bool, position: float
) -> tuple[int, int, int]:
    """Words, covered words and words of the longest span, of a stretch of one document."""
    segment = index.segments[number]
    own = (number, int(segment.documents[document]), int(segment.documents[document + 1]))
    query = Query(_stretch(segment, document, words, position), across_sentences)
    lookups = [query.lookup(each) for each in index.segments]
    starts, sizes = maximal(query.longest(index.segments, lookups, own))
    before = query.counted_before
    spans = before[starts + sizes] - before[starts]
    kept = spans >= shortest
    stops = (starts + sizes)[kept]
    previous = np.concatenate([[0], stops[:-1]]) if len(stops) else stops
    covered = int((before[stops] - before[np.maximum(starts[kept], previous)]).sum())
    return int(before[-1]), covered, int(spans.max(initial=0))


def _stretch(segment: Segment, document: int, words: int, position: float) -> str:
    """So many words of a document from the beginning of a sentence, where one is near, at 0 <= ``position`` < 1."""
    first, end = int(segment.documents[document]), int(segment.documents[document + 1]) - 1
    before = np.concatenate([[0], np.cumsum(segment.counted[segment.symbols[first:end]], dtype=np.int64)])
    start = int(position * (np.searchsorted(before, before[-1] - words, side="right")))
    earliest = max(start - SENTENCE_SYMBOLS, 0)
    lead = Query(segment.text_of(first + earliest, first + start))
    if len(lead):
        begins = np.flatnonzero(np.diff(lead.stops, prepend=-1))  # the last sentence that begins before the stretch
        if len(begins) > 1 or earliest == 0:
            start -= len(lead) - int(begins[-1])
    stop = int(np.searchsorted(before, before[start] + words, side="left"))
    return segment.text_of(first + start, first + stop)
