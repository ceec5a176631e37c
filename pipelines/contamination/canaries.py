"""Canaries: benchmark items planted in synthetic documents, which pass through the scan and the rules like any other.

There are canaries of every kind in `copies`. A page of a canary is passages of the corpus itself with the copy between
them. On the pages of one kind its opening words are quoted once more before it and behind it, as far away as the item
is long: a scan that takes an n-gram's first or last occurrence for the copy does not find the copy. The quotation alone
satisfies no rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item
from corpus_audit.pipelines.contamination.copies import COPIES, Copy
from corpus_audit.pipelines.contamination.measure import Contamination, count_evidence
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.kernels.text.ngrams import rehash
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers

_FILLER = (
    "The following page was put together by hand from several older sources; corrections are welcome.",
    "This page was last changed in spring, and the discussion of it is closed until further notice.",
)
"""Text around an item if no passages of the corpus are given."""

_QUOTED_WORDS = 10
"""Opening words of an item that are quoted: they contain an 8-gram but no 13-gram, and are less than half of an item
that is long enough for that kind of copy."""


@dataclass(frozen=True)
class PlantedCopies:
    """The canaries of one kind of copy, and the scan's hits in them.

    Attributes:
        copy: the kind.
        texts: int64 [C], the texts that were planted, ascending.
        partial: the counts of the synthetic documents, one a text.
    """

    copy: Copy
    texts: np.ndarray
    partial: Partial


@dataclass(frozen=True)
class _Pages:
    names: tuple[str, ...]
    domains: np.ndarray
    high: np.ndarray
    low: np.ndarray
    document_ids: pa.LargeBinaryArray


def plant_canaries(
    measure: Contamination,
    benchmarks: Sequence[Benchmark],
    tokenization: Tokenization,
    count: int,
    passages: Sequence[str] = (),
) -> tuple[PlantedCopies, ...]:
    """Plant ``count`` texts of each kind of copy, selected by a hash of their number, and scan them.

    A kind that applies to fewer texts (such as those that have an answer) gets fewer, perhaps none.

    Args:
        measure: the measure with the index that was built from ``benchmarks``.
        benchmarks: the benchmarks, in the index's order.
        tokenization: the audit's.
        count: canaries of each kind.
        passages: passages of the corpus to put around the canaries; two fixed sentences if there are none.
    """
    index = measure.scanner.index
    items = [item for benchmark in benchmarks for item in benchmark.items]
    first = dict(zip(index.item_texts[: len(items)][::-1].tolist(), reversed(items), strict=True))
    numbers = np.array(
        sorted(number for number in first if index.texts.starts[number + 1] > index.texts.starts[number]), np.int64
    )
    ordered = numbers[np.argsort(rehash(numbers.astype(np.uint64)), kind="stable")].tolist()
    return tuple(
        _plant_kind(measure, copy, [(n, first[n]) for n in ordered], tokenization, count, passages) for copy in COPIES
    )


def _plant_kind(
    measure: Contamination,
    copy: Copy,
    items: Sequence[tuple[int, Item]],
    tokenization: Tokenization,
    count: int,
    passages: Sequence[str],
) -> PlantedCopies:
    """Plant the first ``count`` items to which the kind applies."""
    copies = ((number, copy.make(item)) for number, item in items)
    selected = sorted(itertools.islice(((number, text) for number, text in copies if text is not None), count))
    filler = _endless(passages)
    text = pa.array([_page(copied, filler, copy.quoted) for _, copied in selected], pa.large_string())
    offsets, data = text_buffers(text)
    high, low = hash_documents(data, offsets)
    ids = pa.array([str(number).encode() for number, _ in selected], pa.large_binary())
    pages = _Pages(("(canaries)",), np.zeros(len(selected), np.int64), high, low, ids)
    hits = measure.scanner.scan(text, tokenization.encode(text), high, low, tokenization)
    texts = np.array([number for number, _ in selected], np.int64)
    return PlantedCopies(copy, texts, count_evidence(measure.scanner.index, hits, pages))


def _endless(passages: Sequence[str]) -> Iterator[str]:
    """The passages, or the filler, repeated without end."""
    return itertools.cycle([passage for passage in passages if passage.strip()] or _FILLER)


def _page(copied: str, filler: Iterator[str], quoted: bool) -> str:
    words = copied.split()
    parts = [next(filler), copied, next(filler)]
    if quoted:
        opening = " ".join(words[:_QUOTED_WORDS])
        parts = [
            opening,
            *_passages_of(len(words), filler),
            copied,
            *_passages_of(len(words), filler),
            opening,
            next(filler),
        ]
    return "\n\n".join(parts)


def _passages_of(words: int, filler: Iterator[str]) -> Iterator[str]:
    """Passages that have at least ``words`` words in all."""
    while words > 0:
        passage = next(filler)
        words -= len(passage.split())
        yield passage
