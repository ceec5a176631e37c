"""Outcome of every row of a shard (document, filtered, dead letter), and how many documents were verified.

Not measures of documents but of reading: they stay with their shard and are counted from the reader's tally.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.measures.base import Block, Measure
from corpus_audit.pipelines.measures.records import record_key
from corpus_audit.pipelines.reading.documents.batches import SplitTally
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

OUTCOMES = TableSpec((("cell", ColumnKind.CELL), ("rows", ColumnKind.SUM)))
"""Cells of (name, 0); the names are ``outcome:reason``. ``row_bytes:`` and ``dead_bytes:<reason>`` count bytes."""

LETTERS = TableSpec(
    (
        ("row", ColumnKind.KEY),
        ("reason", ColumnKind.FIRST_DOMAIN),
        ("bytes", ColumnKind.FIRST),
        ("sha256", ColumnKind.BYTES),
        ("excerpt", ColumnKind.BYTES),
    )
)

DOCUMENT, DEAD, FILTERED, NUL, VERIFIED = "document", "dead_letter", "filtered", "nul", "verified"
UNCAPTIONED, MEMBER = "uncaptioned", "member"
ROW_BYTES, DEAD_BYTES = "row_bytes", "dead_bytes"


class Coverage(Measure):
    """Rows and bytes by outcome and reason, and the dead letters."""

    name = "coverage"
    version = 2
    uses_tokens = False
    merges = False

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Whether dead letters keep an excerpt."""
        return {"excerpts": spec.limits.dead_letter_excerpts}

    def tables(self) -> dict[str, TableSpec]:
        """Outcomes and letters."""
        return {"outcomes": OUTCOMES, "letters": LETTERS}

    def count(self, block: Block) -> Partial:
        """Coverage is counted from the reader's tally; see `coverage_partial`."""
        raise NotImplementedError("coverage is counted from a SplitTally")


class Verification(Measure):
    """How many documents of a shard were compared with the reference tokenizer."""

    name = "verification"
    version = 1
    merges = False

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Nothing: the tokenizer and both packages' versions are in the key."""
        return {}

    def tables(self) -> dict[str, TableSpec]:
        """One row."""
        return {"outcomes": OUTCOMES}

    def count(self, block: Block) -> Partial:
        """Verification is counted by a Verifier; see `verification_partial`."""
        raise NotImplementedError("verification is counted by a Verifier")


def coverage_partial(split: int, tally: SplitTally, nul_documents: int) -> Partial:
    """The coverage of one split."""
    counts = {f"{DOCUMENT}:": tally.documents, f"{NUL}:": nul_documents, f"{ROW_BYTES}:": tally.row_bytes}
    counts |= {f"{DEAD_BYTES}:{reason}": n for reason, n in tally.dead_bytes.items()}
    counts |= {f"{DEAD}:{reason}": n for reason, n in tally.dead.items()}
    counts |= {f"{FILTERED}:{reason}": n for reason, n in tally.filtered.items()}
    counts |= {f"{UNCAPTIONED}:": tally.uncaptioned}
    counts |= {f"{MEMBER}:{ending}": n for ending, n in tally.members.items()}
    names, outcomes = _outcomes(counts)
    letters = sorted(tally.letters, key=lambda letter: letter.row)
    number = {name: i for i, name in enumerate(names)}
    rows = CountTable(
        LETTERS,
        {
            "row": record_key(split, np.array([letter.row for letter in letters], np.int64)),
            "reason": np.array([number[f"{DEAD}:{letter.reason.value}"] for letter in letters], np.int64),
            "bytes": np.array([letter.bytes for letter in letters], np.int64),
            "sha256": pa.array([letter.sha256.encode() for letter in letters], pa.large_binary()),
            "excerpt": pa.array([(letter.excerpt or "").encode() for letter in letters], pa.large_binary()),
        },
    )
    return Partial(names, {"outcomes": outcomes, "letters": merging.merge([rows])})


def verification_partial(documents: int) -> Partial:
    """The verification of one split."""
    names, outcomes = _outcomes({f"{VERIFIED}:": documents})
    return Partial(names, {"outcomes": outcomes})


def _outcomes(counts: dict[str, int]) -> tuple[tuple[str, ...], CountTable]:
    names = tuple(sorted((name for name, n in counts.items() if n), key=str.encode))
    cell = count_tables.cells(np.arange(len(names)), np.zeros(len(names), np.int64))
    rows = np.array([counts[name] for name in names], np.int64)
    return names, CountTable(OUTCOMES, {"cell": cell, "rows": rows})


@dataclass(slots=True)
class ShardCoverage:
    """A shard's coverage, read back.

    Attributes:
        documents, nul_documents: counted documents, and those with a NUL.
        row_bytes: bytes of all rows that were read (see `SplitTally`).
        dead, filtered: rows by reason; dead_bytes: bytes of the dead letters by reason.
        letters: the dead letters as a merged table; reasons refer to ``names``.
        uncaptioned: images without a caption, where captions are read.
        members: members of archives that are no part of a document, by their ending.
    """

    names: tuple[str, ...]
    letters: CountTable
    documents: int = 0
    nul_documents: int = 0
    row_bytes: int = 0
    dead: dict[str, int] = field(default_factory=dict)
    dead_bytes: dict[str, int] = field(default_factory=dict)
    filtered: dict[str, int] = field(default_factory=dict)
    uncaptioned: int = 0
    members: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, partial: Partial) -> ShardCoverage:
        """From a shard's partial."""
        coverage = cls(partial.names, partial.tables["letters"])
        for name, rows in outcome_rows(partial).items():
            outcome, reason = name.split(":", 1)
            if outcome == DOCUMENT:
                coverage.documents = rows
            elif outcome == NUL:
                coverage.nul_documents = rows
            elif outcome == ROW_BYTES:
                coverage.row_bytes = rows
            elif outcome == DEAD_BYTES:
                coverage.dead_bytes[reason] = rows
            elif outcome == UNCAPTIONED:
                coverage.uncaptioned = rows
            elif outcome == MEMBER:
                coverage.members[reason] = rows
            elif outcome == DEAD:
                coverage.dead[reason] = rows
            else:
                coverage.filtered[reason] = rows
        return coverage

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return self.documents + sum(self.dead.values()) + sum(self.filtered.values())


def outcome_rows(partial: Partial) -> dict[str, int]:
    """Rows by ``outcome:reason``."""
    table = partial.tables["outcomes"]
    positions, _ = count_tables.split_cells(table.columns["cell"])
    return {partial.names[p]: int(n) for p, n in zip(positions, table.columns["rows"], strict=True)}
