"""Canaries: benchmark items planted in synthetic documents, which pass through the scan and the rules like any other.

They are copied in every way of `copies`. A page of a canary is passages of the corpus itself with the copy between
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
from corpus_audit.pipelines.contamination.measure import Contamination, evidence
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.kernels.text.ngrams import rehash
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers

_FILLER = (
    "The following page was put together by hand from several older sources; corrections are welcome.",
    "This page was last changed in spring, and the discussion of it is closed until further notice.",
)
"""What stands around an item where there is no passage of the corpus."""

_QUOTED = 10
"""Words of an item that are quoted: they hold an 8-gram, no 13-gram, and are less than half of an item that is long
enough for that kind of copy."""


@dataclass(frozen=True)
class Planted:
    """The canaries of one kind of copy, and the scan's hits in them.

    Attributes:
        copy: the kind.
        texts: int64 [C], the texts that were planted, ascending.
        partial: of the documents that hold them, one document a text.
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


def plant(
    measure: Contamination,
    benchmarks: Sequence[Benchmark],
    tokenization: Tokenization,
    count: int,
    passages: Sequence[str] = (),
) -> tuple[Planted, ...]:
    """Plant ``count`` texts of each kind of copy, chosen by a hash of their number, and scan them.

    Of a kind that applies to fewer texts (those that have an answer, say) there are fewer; of some, perhaps none.

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
        sorted(number for number in first if index.texts.starts[number + 1] > index.texts.starts[number]), np.int64
    )
    ordered = numbers[np.argsort(rehash(numbers.astype(np.uint64)), kind="stable")].tolist()
    return tuple(
        _plant(measure, copy, [(n, first[n]) for n in ordered], tokenization, count, passages) for copy in COPIES
    )


def _plant(
    measure: Contamination,
    copy: Copy,
    items: Sequence[tuple[int, Item]],
    tokenization: Tokenization,
    count: int,
    passages: Sequence[str],
) -> Planted:
    """The first ``count`` items to which the kind applies."""
    made = ((number, copy.make(item)) for number, item in items)
    chosen = sorted(itertools.islice(((number, text) for number, text in made if text is not None), count))
    around = _around(passages)
    text = pa.array([_page(copied, around, copy.quoted) for _, copied in chosen], pa.large_string())
    offsets, data = text_buffers(text)
    high, low = hash_documents(data, offsets)
    ids = pa.array([str(number).encode() for number, _ in chosen], pa.large_binary())
    pages = _Pages(("(canaries)",), np.zeros(len(chosen), np.int64), high, low, ids)
    hits = measure.scanner.scan(text, tokenization.encode(text), high, low, tokenization)
    texts = np.array([number for number, _ in chosen], np.int64)
    return Planted(copy, texts, evidence(measure.scanner.index, hits, pages))


def _around(passages: Sequence[str]) -> Iterator[str]:
    """Passages without end."""
    return itertools.cycle([passage for passage in passages if passage.strip()] or _FILLER)


def _page(copied: str, around: Iterator[str], quoted: bool) -> str:
    words = copied.split()
    parts = [next(around), copied, next(around)]
    if quoted:
        opening = " ".join(words[:_QUOTED])
        parts = [opening, *_at_least(len(words), around), copied, *_at_least(len(words), around), opening, next(around)]
    return "\n\n".join(parts)


def _at_least(words: int, around: Iterator[str]) -> Iterator[str]:
    """Passages of so many words together."""
    while words > 0:
        passage = next(around)
        words -= len(passage.split())
        yield passage
