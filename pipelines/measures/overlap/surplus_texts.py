"""Token ids of the texts of which a snapshot has more copies than its baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.counters import gather
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.measures.overlap.document_keys import StoredKeys
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

TEXTS = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("group", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
        ("ids", ColumnKind.BYTES),
    ),
    chunk_rows=256,
    compressed=False,
)
"""``ids`` are token ids, uint16 or uint32 little-endian, as in `samples.DOCUMENTS`; ``group`` is the hash group."""


class SurplusTexts(Measure):
    """The token ids of some texts, once for each domain and hash group, and how many documents have them there.

    How many copies of a text a snapshot has is known only when all of it was read, so these texts are read a second
    time, where there are any (`runners.audit.surplus`).
    """

    version = 1

    def __init__(self, texts: StoredKeys, digest: str) -> None:
        self.texts = texts
        self.digest = digest
        self.name = f"surplus-{digest[:16]}"

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Domain, cluster (hash groups are made of whole clusters), and which texts."""
        return domain_settings(spec.document) | {"texts": self.digest}

    def tables(self) -> dict[str, TableSpec]:
        """One table of texts."""
        return {"texts": TEXTS}

    def count(self, block: Block) -> Partial:
        """Take the texts that occur in one block."""
        rows = np.flatnonzero(self.texts.holds(block.high, block.low, block.domains, block.names))
        facts = {"vocabulary": block.vocabulary}
        if not len(rows):
            return Partial(block.names, self.empty().tables, facts)
        group = block.groups[rows].astype(np.uint64)
        order = np.lexsort((group, block.low[rows], block.high[rows], block.domains[rows]))
        rows, group = rows[order], group[order]
        columns = block.domains[rows], block.high[rows], block.low[rows], group
        new = np.ones(len(rows), bool)
        new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        first = np.flatnonzero(new)
        documents = np.diff(first, append=len(rows))
        rows = rows[first]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(block.tokens[rows], out=offsets[1:])
        ids = gather.take_runs(block.ids, block.offsets[rows], offsets)
        buffers = [None, pa.py_buffer(offsets * ids.itemsize), pa.py_buffer(np.ascontiguousarray(ids))]
        table = CountTable(
            TEXTS,
            {
                "domain": block.domains[rows],
                "high": block.high[rows],
                "low": block.low[rows],
                "group": group[first],
                "documents": documents,
                "tokens": block.tokens[rows],
                "ids": pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(rows), buffers),
            },
        )
        return Partial(block.names, {"texts": merging.merge([table])}, facts)
