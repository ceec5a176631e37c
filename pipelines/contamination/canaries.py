"""Canaries: benchmark items copied into documents of ours, which go through the scan and the rules like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.items import Benchmark
from corpus_audit.pipelines.kernels.hashing import hash_documents
from corpus_audit.pipelines.kernels.ngrams import rehash
from corpus_audit.pipelines.measures.contamination import Contamination, evidence
from corpus_audit.pipelines.partials import Partial
from corpus_audit.pipelines.tokenization import Tokenization, text_buffers

_BEFORE = "The following page was put together by hand from several older sources; corrections are welcome.\n\n"
_AFTER = "\n\nThis page was last changed in spring, and the discussion of it is closed until further notice."


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


def plant(measure: Contamination, benchmarks: Sequence[Benchmark], tokenization: Tokenization, count: int) -> Planted:
    """Plant ``count`` texts (all, if there are fewer), chosen by a hash of their number, and scan them.

    Args:
        measure: of the index that was built from ``benchmarks``.
        benchmarks: as they were read, in the index's order.
        tokenization: the audit's.
        count: how many.
    """
    index = measure.scanner.index
    items = [item for benchmark in benchmarks for item in benchmark.items]
    first = dict(zip(index.item_texts[: len(items)][::-1].tolist(), reversed(items), strict=True))
    numbers = np.array(
        sorted(number for number in first if index.texts.starts[number + 1] > index.texts.starts[number])
    )
    chosen = np.sort(numbers[np.argsort(rehash(numbers.astype(np.uint64)), kind="stable")][:count]).astype(np.int64)
    text = pa.array([_BEFORE + first[int(number)].text + _AFTER for number in chosen], pa.large_string())
    offsets, data = text_buffers(text)
    high, low = hash_documents(data, offsets)
    ids = pa.array([str(number).encode() for number in chosen], pa.large_binary())
    pages = _Pages(("(canaries)",), np.zeros(len(chosen), np.int64), high, low, ids)
    hits = measure.scanner.scan(text, tokenization.encode(text), high, low)
    return Planted(chosen, evidence(index, hits, pages))
