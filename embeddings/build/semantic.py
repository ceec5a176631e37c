"""Semantic contamination: benchmark items whose meaning is near to a window of the corpus.

The contamination scan compares words; this compares meaning, and so reports paraphrases, translations, and the same
question in other words.

1. Decoys are windows of the corpus itself, each compared with all windows but those of its own document and exact
   copies. Their nearest neighbours show how near text comes that has the same subjects and is not the same text.
2. The threshold is the cosine that 1 % of one half of the decoys exceeds.
3. The share of the other half that exceeds it is the false-positive rate, with its interval.

Near copies within the corpus make decoys look nearer, and so the threshold higher: fewer items are then reported,
never more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.lookup.search import WindowSearch
from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark
from corpus_audit.pipelines.statistics.intervals.proportions import wilson
from corpus_audit.schemas.tables.embedding_tables import SEMANTIC, SEMANTIC_ITEMS

if TYPE_CHECKING:  # importing it loads torch, and this module needs only its vectors
    from corpus_audit.embeddings.scan.encoder import TextEncoder

DECOYS = 1000
LEAST_DECOYS = 200
"""With fewer, 1 % of one half of them is less than one."""

QUANTILE = 0.99
_SAME = 1 - 1e-6
"""Cosine from which two windows hold the same text: their vectors differ by rounding alone."""

_FIRST = 8


@dataclass(frozen=True)
class Threshold:
    """The cosine from which an item counts as semantically contaminated.

    Attributes:
        cosine: exceeded by 1 % of one half of the decoys; NaN if there are too few.
        decoys, near: decoys of the other half, and how many of them exceed it.
    """

    cosine: float
    decoys: int
    near: int


def threshold(search: WindowSearch) -> Threshold:
    """Estimate the threshold from at most `DECOYS` windows: those of lowest name, which is a hash."""
    cosines = [
        value for row in range(min(DECOYS, search.windows)) if (value := _nearest_other(search, row)) is not None
    ]
    if len(cosines) < LEAST_DECOYS:
        return Threshold(np.nan, len(cosines) // 2, 0)
    values = np.array(cosines)
    cosine = float(np.quantile(values[::2], QUANTILE, method="higher"))
    return Threshold(cosine, len(values[1::2]), int((values[1::2] > cosine).sum()))


def _nearest_other(search: WindowSearch, row: int) -> float | None:
    """Cosine of a window with the nearest that is not of its document and does not hold its text."""
    query = np.asarray(search.vectors("mean")[row], np.float64)
    if not query.any():
        return None
    document = search.document_of(row)
    wanted = _FIRST
    while True:
        rows, scores = search.ranked(query, min(wanted, search.windows))
        for other, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if score < _SAME and search.document_of(other) != document:
                return float(score)
        if wanted >= search.windows:
            return None
        wanted *= 8


def semantic_contamination(
    search: WindowSearch, encoder: TextEncoder, benchmarks: Sequence[Benchmark]
) -> dict[str, pa.Table]:
    """The tables ``semantic`` and ``semantic_items`` of benchmarks."""
    limit = threshold(search)
    items: dict[str, list[object]] = {name: [] for name in SEMANTIC_ITEMS.names}
    rows = []
    for benchmark in benchmarks:
        vectors = encoder.means([item.text for item in benchmark.items])
        testable = vectors.any(axis=1)
        hits = 0
        for item, vector in zip(benchmark.items, vectors, strict=True):
            row: dict[str, object] = dict.fromkeys(SEMANTIC_ITEMS.names)
            if vector.any():
                nearest_rows, scores = search.ranked(vector.astype(np.float64), 1)
                best = int(nearest_rows[0])
                is_near = None if np.isnan(limit.cosine) else bool(scores[0] > limit.cosine)
                hits += bool(is_near)
                row |= {"cosine": float(scores[0]), "near": is_near, "window": int(search.names(best)),
                        "domain": search.domains(np.array([best]))[0],
                        "document": search.location_of(best)}  # fmt: skip
            row |= {"benchmark": benchmark.name, "item": item.id}
            for name, value in row.items():
                items[name].append(value)
        rows.append(_summary(benchmark.name, int(testable.sum()), int((~testable).sum()), hits, limit))
    return {
        "semantic": pa.Table.from_pylist(rows, schema=SEMANTIC),
        "semantic_items": pa.table(
            [pa.array(items[field.name], field.type) for field in SEMANTIC_ITEMS], schema=SEMANTIC_ITEMS
        ),
    }


def _summary(name: str, testable: int, untestable: int, hits: int, limit: Threshold) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(SEMANTIC.names)
    row |= {"benchmark": name, "items": testable, "untestable": untestable, "decoys": limit.decoys}
    if np.isnan(limit.cosine):
        few = f"fewer than {LEAST_DECOYS} windows have a neighbour of another document: no threshold"
        return row | {"reason": few}
    row |= {"threshold": limit.cosine, "decoys_near": limit.near}
    if not testable:
        return row | {"near": 0, "reason": "no item has a token that counts"}
    low, high = wilson(hits / testable, testable)
    return row | {"near": hits, "share": hits / testable, "low": float(low), "high": float(high)}
