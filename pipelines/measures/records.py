"""Every document's counts, kept with its shard (written only when the audit asks for it)."""

from __future__ import annotations

from typing import Any

from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

RECORDS = TableSpec(
    (
        ("cell", ColumnKind.KEY),
        ("high", ColumnKind.TIE),
        ("low", ColumnKind.TIE),
        ("id", ColumnKind.BYTES),
        ("domain", ColumnKind.FIRST_DOMAIN),
        ("bytes", ColumnKind.FIRST),
        ("characters", ColumnKind.FIRST),
        ("words", ColumnKind.FIRST),
        ("tokens", ColumnKind.FIRST),
    )
)
"""The key is split * 2^40 + row."""


class Records(Measure):
    """One row a document; shard coordinates make it the one measure whose rows depend on the sharding."""

    name = "records"
    version = 1
    merges = False

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain and the id."""
        return {"domain": domain_settings(spec.document)["domain"], "id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """One table of records."""
        return {"records": RECORDS}

    def count(self, block: Block) -> Partial:
        """List one block."""
        rows = CountTable(
            RECORDS,
            {
                "cell": record_key(block.split, block.rows),
                "high": block.high,
                "low": block.low,
                "id": block.document_ids,
                "domain": block.domains,
                "bytes": block.bytes,
                "characters": block.characters,
                "words": block.words,
                "tokens": block.tokens,
            },
        )
        return Partial(block.names, {"records": merging.merge([rows])})


def record_key(split: int, rows: Any) -> Any:
    """uint64 keys of rows of a split."""
    return (rows + (split << 40)).astype("uint64")
