"""MinHash signatures of the near-duplicate sample."""

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

SAMPLE_SHARE = 1 / 32
"""Share of first MinHash values, by an independent rehash, whose documents are in the sample.

Choosing by the first MinHash value, one threshold for all domains and snapshots, brings a pair of similarity J into the
sample together with probability about J; a plain sample of documents would find almost no pair.
"""

SIGNATURES = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
        ("signature", ColumnKind.BYTES),
    )
)


class MinHashSample(Measure):
    """Signatures of 128 MinHash values (Broder 1997) over shingles of five tokens; empty documents have none."""

    name = "neighbours"  # in the keys of stored partials, so it stays
    version = 2

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain."""
        return {"domain": domain_settings(spec.document)["domain"]}

    def tables(self) -> dict[str, TableSpec]:
        """One table of signatures."""
        return {"signatures": SIGNATURES}

    def count(self, block: Block) -> Partial:
        """Sign the sampled documents of one block."""
        threshold = np.uint64(int(SAMPLE_SHARE * 2**64))
        selected = np.flatnonzero((ngrams.rehash(block.first_minhash) < threshold) & (block.tokens > 0))
        signed = ngrams.signatures(block.ids, block.offsets, selected)
        width = ngrams.PERMUTATIONS * 4
        offsets = np.arange(len(selected) + 1, dtype=np.int64) * width
        signature = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(),
            len(selected),
            [None, pa.py_buffer(offsets), pa.py_buffer(signed.astype("<u4").tobytes())],
        )
        rows = CountTable(
            SIGNATURES,
            {
                "high": block.high[selected],
                "low": block.low[selected],
                "domain": block.domains[selected],
                "documents": np.ones(len(selected), np.int64),
                "tokens": block.tokens[selected],
                "signature": signature,
            },
        )
        return Partial(block.names, {"signatures": merging.merge([rows])})
