"""Traces are those of the definition, whatever the documents and however they are divided into segments."""

import re
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.tracing.suffix_array import suffix_array
from corpus_audit.pipelines.tracing.query import Query, maximal
from corpus_audit.pipelines.tracing.segment import map_segment, write_segment
from corpus_audit.pipelines.tracing.trace import TraceSettings, trace_text
from corpus_audit.pipelines.tracing.words import words_of
from corpus_audit.schemas.errors import UsageError
from tests.corpora import real_texts
from tests.pipelines.tracing import oracle
from tests.pipelines.tracing.making import batch, index_of

ALPHABET = [*'abä中文.!。)-" \n', "ab", "a\u0301", "..", "  ", "\u00a0", "\u3000", "\u200d", "\x00", "𐀀", "🙂"]
texts = st.lists(st.sampled_from(ALPHABET), max_size=14).map("".join)
words = st.lists(st.sampled_from(["a", "b", "c", "."]), max_size=12).map(" ".join)


@given(st.lists(st.integers(0, 3), max_size=40))
@settings(deadline=None, max_examples=200)
@example([])
@example([0, 0, 0, 0])
def test_suffixes_are_sorted(symbols: list[int]) -> None:
    expected = sorted(range(len(symbols)), key=lambda at: symbols[at:])
    assert suffix_array(np.array(symbols, np.int32), 3).tolist() == expected


@given(st.lists(st.text(max_size=12) | texts, max_size=6))
@settings(deadline=None, max_examples=200)
def test_words_are_those_of_the_definition(documents: list[str]) -> None:
    encoded = [document.encode("utf-8", "ignore") for document in documents]
    offsets = np.cumsum([0, *map(len, encoded)])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    words = words_of(data, offsets)
    ends = np.append(words.starts, len(data))
    first = 0
    for text, stop in zip(encoded, words.stops.tolist(), strict=True):
        pieces = []
        for w in range(first, stop):
            middle = int(words.starts[w] + words.lengths[w])
            end = int(ends[w + 1])
            pieces.append((data[words.starts[w] : middle].tobytes().decode(), data[middle:end].tobytes().decode()))
        assert "".join(word + space for word, space in pieces).encode() == text
        counted = words.counted[first:stop].tolist()
        expected = oracle.cut(text.decode())
        leading = len(pieces) - len(expected)
        assert leading in (0, 1) and all(word == "" for word, _ in pieces[:leading])
        assert [(*piece, counts) for piece, counts in zip(pieces, counted, strict=True)][leading:] == expected
        first = stop


def words_of_documents(trace) -> dict[str, int]:
    return {document.id: document.words for document in trace.documents}


@given(st.lists(st.lists(texts | words, min_size=1, max_size=4), min_size=1, max_size=3), texts | words,
       st.integers(1, 3), st.booleans())  # fmt: skip
@settings(deadline=None, max_examples=80)
@example([["a b", "a b", ""], ["a b"]], "a b", 1, False)
@example([["a. b"], ["b a.", "b"]], "b a. b", 1, False)
@example([["a. b"], ["b a.", "b"]], "b a. b", 1, True)
def test_traces_are_those_of_the_definition(segments: list[list[str]], text: str, shortest: int, across: bool) -> None:
    documents = [document for part in segments for document in part]
    domains = ["even" if d % 2 == 0 else "odd" for d in range(len(documents))]
    expected = oracle.trace(text, documents, shortest, across)
    with tempfile.TemporaryDirectory() as folder:
        index = index_of(Path(folder), segments, domains)
        wanted = TraceSettings(shortest, 1000, 1000, across, stretches=0)
        if not expected["words"]:
            with pytest.raises(UsageError):
                trace_text(index, text, wanted)
            return
        trace = trace_text(index, text, wanted)
    assert (trace.words, trace.covered, trace.longest) == tuple(expected[n] for n in ("words", "covered", "longest"))
    assert trace.shared_spans == len(trace.spans) == len(expected["spans"])
    for span, (span_text, size, counts, probability) in zip(trace.spans, expected["spans"], strict=True):
        assert text[span.start : span.stop] == span.text == span_text
        assert (span.words, span.occurrences) == (size, sum(counts.values()))
        assert span.log_probability == pytest.approx(probability)
        by_domain: Counter[str] = Counter()
        for document, count in counts.items():
            by_domain[domains[document]] += count
        assert {domain.domain: domain.occurrences for domain in span.domains} == by_domain
        assert sum(domain.documents for domain in span.domains) == len(counts)
        assert {int(name.removeprefix("d")) for _, _, name, _ in span.documents} <= set(counts)
        assert len(span.documents) == min(10, len(counts))
    assert words_of_documents(trace) == {f"d{d}": size for d, size in expected["holders"].items()}
    assert trace.holding == len(expected["holders"])
    assert [d.words for d in trace.documents] == sorted((d.words for d in trace.documents), reverse=True)
    for document in trace.documents:
        own = documents[int(document.id.removeprefix("d"))]
        assert own[document.character :].startswith(document.shared)
        assert document.before + document.shared + document.after in own
        assert text[document.span[0] : document.span[1]] == document.shared


@given(st.lists(texts | words, min_size=2, max_size=5), st.data())
@settings(deadline=None, max_examples=40)
def test_a_document_can_be_traced_to_all_others(documents: list[str], data: st.DataObject) -> None:
    own = data.draw(st.integers(0, len(documents) - 1))
    query = Query(documents[own])
    expected = oracle.trace(documents[own], documents, 1, False, skip=own)
    with tempfile.TemporaryDirectory() as folder:
        segment = index_of(Path(folder), [documents]).segments[0]
        bounds = (int(segment.documents[own]), int(segment.documents[own + 1]))
        starts, sizes = maximal(query.longest([segment], [query.lookup(segment)], (0, *bounds)))
    texts = [query.span(start, start + size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
    assert texts == [span[0] for span in expected["spans"]]


@given(st.lists(st.text(max_size=20) | texts, min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_a_segment_holds_the_documents(documents: list[str]) -> None:
    documents = [text.encode("utf-8", "ignore").decode() for text in documents]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment"
        segment = map_segment(path, write_segment(path, [batch(documents)]))
        bounds = segment.documents.tolist()
        texts = [segment.text_of(start, stop - 1) for start, stop in pairwise(bounds)]
    assert texts == documents


def test_counts_in_real_text_are_those_of_a_search(tmp_path: Path) -> None:
    documents = [text for _, text in real_texts(300_000)]
    index = index_of(tmp_path, [documents[::2], documents[1::2]])
    longest = sorted(documents, key=len)[-3:]
    text = "\n".join(document[len(document) // 3 :][:500] for document in longest) + " of the and in this is"
    trace = trace_text(index, text, TraceSettings(shortest=2, spans=10_000, stretches=0))
    assert len(trace.spans) > 20
    for span in trace.spans:
        whole = re.compile(rf"(?<![\w\u0300-\u036f]){re.escape(span.text)}(?![\w\u0300-\u036f])")
        counts = [len(whole.findall(document)) if span.text in document else 0 for document in documents]
        assert span.occurrences == sum(counts), span.text
        assert span.domains[0].documents == np.count_nonzero(counts)
