"""Canaries: benchmark items copied into documents, which go through the scan and the rules like any other.

A page of a canary is passages of the corpus itself with the item between them, and its opening words are quoted once
more before it and behind it, as far away as the item is long: a scan that takes an n-gram's first or last occurrence
for the copy does not find the copy. The quotation alone satisfies no rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.items import Benchmark
from corpus_audit.pipelines.kernels.hashing import hash_documents
from corpus_audit.pipelines.kernels.ngrams import rehash
from corpus_audit.pipelines.measures.contamination import Contamination, evidence
from corpus_audit.pipelines.partials import Partial
from corpus_audit.pipelines.tokenization import Tokenization, text_buffers

_FILLER = (
    "The following page was put together by hand from several older sources; corrections are welcome.",
    "This page was last changed in spring, and the discussion of it is closed until further notice.",
)
"""What stands around an item where there is no passage of the corpus."""

_QUOTED, _LEAST_WORDS = 10, 24
"""Words of an item that are quoted, and words it must have for that: they hold an 8-gram, no 13-gram, and are less than
half of the item."""


@dataclass(frozen=True)
class Planted:
    """The canaries of a run and what the scan found in them.

    Attributes:
        texts: int64 [C], the texts that were planted, ascending.
        partial: of the documents that hold them, one document a text.
    """

    texts: np.ndarray
    partial: Partial


@dataclass(frozen=True)
class _Pages:
    names: tuple[str, ...]
    domains: np.ndarray
    high: np.ndarray
    low: np.ndarray
    document_ids: pa.LargeBinaryArray


def plant(
    measure: Contamination,
    benchmarks: Sequence[Benchmark],
    tokenization: Tokenization,
    count: int,
    passages: Sequence[str] = (),
) -> Planted:
    """Plant ``count`` texts (all, if there are fewer), chosen by a hash of their number, and scan them.

    Args:
        measure: of the index that was built from ``benchmarks``.
        benchmarks: as they were read, in the index's order.
        tokenization: the audit's.
        count: how many.
        passages: of the corpus, to stand around them; without any, sentences of ours do.
    """
    index = measure.scanner.index
    items = [item for benchmark in benchmarks for item in benchmark.items]
    first = dict(zip(index.item_texts[: len(items)][::-1].tolist(), reversed(items), strict=True))
    numbers = np.array(
        sorted(number for number in first if index.texts.starts[number + 1] > index.texts.starts[number])
    )
    chosen = np.sort(numbers[np.argsort(rehash(numbers.astype(np.uint64)), kind="stable")][:count]).astype(np.int64)
    around = _around(passages)
    text = pa.array([_page(first[int(number)].text, around) for number in chosen], pa.large_string())
    offsets, data = text_buffers(text)
    high, low = hash_documents(data, offsets)
    ids = pa.array([str(number).encode() for number in chosen], pa.large_binary())
    pages = _Pages(("(canaries)",), np.zeros(len(chosen), np.int64), high, low, ids)
    hits = measure.scanner.scan(text, tokenization.encode(text), high, low)
    return Planted(chosen, evidence(index, hits, pages))


def _around(passages: Sequence[str]) -> Iterator[str]:
    """Passages without end."""
    return itertools.cycle([passage for passage in passages if passage.strip()] or _FILLER)


def _page(item: str, around: Iterator[str]) -> str:
    words = item.split()
    parts = [next(around), item, next(around)]
    if len(words) >= _LEAST_WORDS:
        quoted = " ".join(words[:_QUOTED])
        parts = [quoted, *_at_least(len(words), around), item, *_at_least(len(words), around), quoted, next(around)]
    return "\n\n".join(parts)


def _at_least(words: int, around: Iterator[str]) -> Iterator[str]:
    """Passages of so many words together."""
    while words > 0:
        passage = next(around)
        words -= len(passage.split())
        yield passage
