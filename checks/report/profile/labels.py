"""What rows are called that have no name of their own."""

from __future__ import annotations

from corpus_audit.checks.report.profile.records import DuplicateRow, LengthRow, ShareRow, VocabularyRow
from corpus_audit.checks.text import numbers

EVERYTHING = "all documents"


def share_label(row: ShareRow) -> str:
    """The value, or how many values the row sums up."""
    return row.name if not row.folded else _others(row.folded)


def length_label(row: LengthRow | VocabularyRow) -> str:
    """The domain, or all documents."""
    return EVERYTHING if row.everything else row.name


def duplicate_label(row: DuplicateRow) -> str:
    """The domain, all documents, or how many domains the row sums up."""
    return EVERYTHING if row.everything else row.name if not row.folded else _others(row.folded)


def _others(folded: int) -> str:
    return "all others" if folded < 0 else f"{numbers.grouped(folded)} others" if folded > 1 else "1 other"
