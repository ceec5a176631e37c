"""Indexes, hits and merged evidence from a few texts and pages."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.contamination.evidence import TextEvidence
from corpus_audit.pipelines.contamination.index import build_decoy_index, build_index
from corpus_audit.pipelines.contamination.measure import Contamination, count_evidence
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers

_SYLLABLES = ("ba", "co", "de", "fi", "gu", "ka", "lem", "mor", "né", "pro", "ra", "st", "the", "tin", "vo", "y")


@dataclass(frozen=True)
class Pages:
    """Documents as the measure sees them, and what was found in them."""

    names: tuple[str, ...]
    domains: np.ndarray
    high: np.ndarray
    low: np.ndarray
    document_ids: pa.LargeBinaryArray
    hits: Hits


def prose(seed: int, words: int) -> str:
    """Made-up prose of so many words between white space: frequent and rare words, capitals, punctuation, paragraphs.

    It looks like text to a scan, and is the same on every machine.
    """
    rng = random.Random(seed)
    vocabulary = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(2000)]
    chances = [1 / (rank + 3) for rank in range(len(vocabulary))]
    text, opens = "", True
    for number, drawn in enumerate(rng.choices(vocabulary, chances, k=words), 1):
        word = drawn.capitalize() if opens or rng.random() < 0.03 else drawn
        word = rng.choice([f"“{word}”", f"({word})", f"{word}'s", f"{word}-{drawn}"]) if rng.random() < 0.05 else word
        opens = rng.random() < 0.08
        word += rng.choice(".?!…") if opens else "," if rng.random() < 0.06 else ""
        text += word + ("" if number == words else "\n\n" if opens and rng.random() < 0.2 else " ")
    return text


def pieces(text: str, lengths: Iterable[int]) -> Iterator[str]:
    """Consecutive pieces of a text, of so many words each.

    Raises:
        ValueError: the text is too short.
    """
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    at = 0
    for length in lengths:
        if at + length > len(spans):
            raise ValueError(f"the text has only {len(spans)} words")
        yield text[spans[at][0] : spans[at + length - 1][1]]
        at += length


def benchmark(*items: str | tuple[str, str], name: str = "quiz") -> Benchmark:
    """Prompts, or pairs of prompt and answer."""
    numbered = [
        Item(f"{name}-{i}", item) if isinstance(item, str) else Item(f"{name}-{i}", *item)
        for i, item in enumerate(items)
    ]
    return Benchmark(name, tuple(numbered), len(numbered))


def measure_of(
    tokenization: Tokenization, folder: Path, *benchmarks: Benchmark, decoys: Sequence[Decoy] = ()
) -> Contamination:
    """The measure of an index that is built for it: of the decoys, if there are any, else of the benchmarks."""
    if decoys:
        return Contamination(build_decoy_index(benchmarks, decoys, tokenization, folder))
    return Contamination(build_index(benchmarks, tokenization, folder))


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
        parts.append(measure.scanner.scan(text, tokenization.encode(text), high, low, tokenization))
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
    return count_evidence(measure.scanner.index, pages.hits, pages)


def evidence_of(measure: Contamination, tokenization: Tokenization, texts: Sequence[str]) -> TextEvidence:
    """What a corpus of these texts, all in one domain, gives."""
    return TextEvidence(measure.scanner.index, counted(measure, pages_of(measure, tokenization, texts)))
