"""Totals of every split by facet value, for the two-stage intervals of a sampled audit."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings, facet_settings
from corpus_audit.pipelines.measures.domains import facet_order, value_hashes
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

TOTALS = TableSpec(
    (
        ("split", ColumnKind.KEY),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("facet", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
        ("bytes", ColumnKind.SUM),
        ("tokens", ColumnKind.SUM),
    )
)


class SplitTotals(Measure):
    """Splits are the first stage of sampling: the variance between them needs each one's totals."""

    name = "split_totals"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Every facet."""
        facets = {name: facet_settings(source) for name, source in spec.document.facets.items()}
        return domain_settings(spec.document) | {"facets": facets}

    def tables(self) -> dict[str, TableSpec]:
        """One table of totals."""
        return {"totals": TOTALS}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        parts = []
        for position, name in enumerate(facet_order(block.facets)):
            column = block.facets[name]
            high, low = value_hashes(column.values)
            parts.append(
                CountTable(
                    TOTALS,
                    {
                        "split": np.full(len(block), block.split_key, np.uint64),
                        "high": high[column.codes],
                        "low": low[column.codes],
                        "facet": np.full(len(block), position, np.uint64),
                        "documents": np.ones(len(block), np.int64),
                        "bytes": block.bytes,
                        "tokens": block.tokens,
                    },
                )
            )
        return Partial((), {"totals": merging.merge(parts)})
