"""Document lengths in characters and tokens, exact log-bucket histograms by domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.statistics.intervals.lengths import bucket_index
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

UNITS = ("characters", "tokens")
_UNIT_STEP = 1 << 16

HISTOGRAM = TableSpec((("cell", ColumnKind.CELL), ("documents", ColumnKind.SUM)))
"""Cells are (domain, unit * 65,536 + bucket)."""


class Lengths(Measure):
    """Documents by domain, unit and bucket; bucket edges are a table of integers, so merging is exact."""

    name = "lengths"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain."""
        return {"domain": domain_settings(spec.document)["domain"]}

    def tables(self) -> dict[str, TableSpec]:
        """One histogram table."""
        return {"histogram": HISTOGRAM}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        numbers = [
            bucket_index(lengths) + unit * _UNIT_STEP for unit, lengths in enumerate((block.characters, block.tokens))
        ]
        cell = count_tables.cells(np.tile(block.domains, len(UNITS)), np.concatenate(numbers))
        rows = CountTable(HISTOGRAM, {"cell": cell, "documents": np.ones(len(cell), np.int64)})
        return Partial(block.names, {"histogram": merging.merge([rows])})


def split_number(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(unit positions, bucket positions), int64 [N] each."""
    return number // _UNIT_STEP, number % _UNIT_STEP
