"""Samples of the texts of each domain by content hash: feature vectors and excerpts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.text import ngrams
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

KEPT = 4_000
"""Distinct texts kept a domain."""

EXCERPT_CHARACTERS = 160  # two lines of a terminal: enough to recognise a text, too little to republish it

SAMPLES = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
        ("excerpt", ColumnKind.BYTES),
        ("buckets", ColumnKind.BYTES),
        ("counts", ColumnKind.BYTES),
    ),
    keep_per_domain=KEPT,
)


class Samples(Measure):
    """A bottom-k sample by content hash: uniform over distinct texts, the same for any sharding, nested in time.

    Hashed token n-gram vectors serve the classifier two-sample test and DSIR when the shards may be gone.
    """

    name = "samples"
    version = 2

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain and whether excerpts are kept."""
        return {"domain": domain_settings(spec.document)["domain"], "excerpts": spec.excerpts}

    def tables(self) -> dict[str, TableSpec]:
        """One table of samples."""
        return {"samples": SAMPLES}

    def count(self, block: Block) -> Partial:
        """Describe the documents of one block that may be among the lowest of their domain."""
        order = np.lexsort((block.low, block.high, block.domains))
        domain = block.domains[order]
        rank = np.arange(len(order)) - np.searchsorted(domain, domain, side="left")
        # Copies of one text share a place, so a domain's first KEPT documents may hold fewer texts; keep all copies of
        # those texts and let the merge count: rank among distinct texts.
        high, low = block.high[order], block.low[order]
        new = np.ones(len(order), bool)
        new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (domain[1:] != domain[:-1])
        texts = np.cumsum(new)
        rank = texts - texts[np.searchsorted(domain, domain, side="left")]
        selected = order[rank < KEPT]
        buckets, counts, stops = ngrams.feature_vectors(block.ids, block.offsets, selected)
        starts = np.concatenate(([0], stops)).astype(np.int64)
        if block.excerpts is None:
            excerpt = pa.array([b""] * len(selected), pa.large_binary())
        else:
            excerpt = block.excerpts.take(pa.array(selected))
        rows = CountTable(
            SAMPLES,
            {
                "domain": block.domains[selected],
                "high": block.high[selected],
                "low": block.low[selected],
                "documents": np.ones(len(selected), np.int64),
                "tokens": block.tokens[selected],
                "excerpt": excerpt,
                "buckets": packed_runs(buckets.astype("<i2"), starts),
                "counts": packed_runs(np.minimum(counts, 65_535).astype("<u2"), starts),
            },
        )
        return Partial(block.names, {"samples": merging.merge([rows])})


def packed_runs(values: np.ndarray, starts: np.ndarray) -> pa.LargeBinaryArray:
    """Runs of the values as bytes, which are not copied."""
    offsets = starts * values.itemsize
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    )
