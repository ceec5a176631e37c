"""Indexes, hits and merged evidence from a few texts and pages."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.contamination.evidence import Evidence
from corpus_audit.pipelines.contamination.hits import Hits
from corpus_audit.pipelines.contamination.index import build_index
from corpus_audit.pipelines.contamination.items import Benchmark, Item
from corpus_audit.pipelines.kernels.hashing import hash_documents
from corpus_audit.pipelines.measures.contamination import Contamination, evidence
from corpus_audit.pipelines.partials import Partial
from corpus_audit.pipelines.tokenization import Tokenization, text_buffers


@dataclass(frozen=True)
class Pages:
    """Documents as the measure sees them, and what was found in them."""

    names: tuple[str, ...]
    domains: np.ndarray
    high: np.ndarray
    low: np.ndarray
    document_ids: pa.LargeBinaryArray
    hits: Hits


def benchmark(*items: str | tuple[str, str], name: str = "quiz") -> Benchmark:
    """Prompts, or pairs of prompt and answer."""
    made = [
        Item(f"{name}-{i}", item) if isinstance(item, str) else Item(f"{name}-{i}", *item)
        for i, item in enumerate(items)
    ]
    return Benchmark(name, tuple(made), len(made))


def measure_of(
    tokenization: Tokenization, folder: Path, *benchmarks: Benchmark, decoys: Sequence[Decoy] = ()
) -> Contamination:
    """The measure of an index that is built for it."""
    return Contamination(build_index(benchmarks, decoys, tokenization, folder))


def pages_of(
    measure: Contamination,
    tokenization: Tokenization,
    texts: Sequence[str],
    domains: Sequence[str] | None = None,
    cuts: Iterable[int] = (),
) -> Pages:
    """Scan texts in batches that end at the cuts; document i's id is its first word and i's domain."""
    parts, sizes = [], []
    bounds = sorted({0, len(texts), *(cut % (len(texts) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(bounds):
        text = pa.array(texts[start:stop], pa.large_string())
        high, low = hash_documents(*reversed(text_buffers(text)))
        parts.append(measure.scanner.scan(text, tokenization.encode(text), high, low))
        sizes.append(stop - start)
    high, low = hash_documents(*reversed(text_buffers(pa.array(texts, pa.large_string()))))
    values = list(domains) if domains is not None else ["web"] * len(texts)
    names = tuple(sorted(set(values), key=str.encode))
    return Pages(
        names,
        np.array([names.index(value) for value in values], np.int64),
        high,
        low,
        pa.array(
            [f"id-{value}-{text[:9]}".encode() for value, text in zip(values, texts, strict=True)], pa.large_binary()
        ),
        Hits.joined(parts, sizes),
    )


def counted(measure: Contamination, pages: Pages) -> Partial:
    """The partial of some pages."""
    return evidence(measure.scanner.index, pages.hits, pages)


def evidence_of(measure: Contamination, tokenization: Tokenization, texts: Sequence[str]) -> Evidence:
    """What a corpus of these texts, all in one domain, gives."""
    return Evidence(measure.scanner.index, counted(measure, pages_of(measure, tokenization, texts)))
