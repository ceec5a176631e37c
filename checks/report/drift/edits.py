"""What the report and the terminal show of edits: how much documents changed, and the passages that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from corpus_audit.checks.report.drift.readings import reading
from corpus_audit.checks.report.drift.records import EditedRow, EditsView, PartRow, PassageRow
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.pipelines.drift.edit_patterns import telling
from corpus_audit.pipelines.drift.lenses import passage_text
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LISTED = 12
"""Domains, and passages, that the page lists."""

QUANTILES = ("p05", "p25", "p50", "p75", "p95")

Row = dict[str, Any]


def edits_view(tested: Sequence[Row], sizes: Sequence[Row], patterns: Sequence[Row]) -> EditsView:
    """From rows of DRIFT_EDITS with statistic jsd, EDIT_SIZES and EDIT_PATTERNS of one comparison."""
    figures: dict[str, dict[str, Row]] = {}
    for row in sizes:
        figures.setdefault(row["domain"], {})[row["figure"]] = row
    tests = {row["domain"]: row for row in tested}
    names = sorted(
        figures.keys() | tests.keys(),
        key=lambda name: (name != ALL_DOMAINS, -_documents(figures.get(name, {}), tests.get(name)), name),
    )
    rows = [_edited(name, figures.get(name, {}), tests.get(name)) for name in names]
    rows = [row for row in rows if row.documents or row.reason]
    # Passages of all documents are those of the domains once more; they stand alone where documents have no domain.
    by_domain = [row for row in patterns if row["domain"] != ALL_DOMAINS] or list(patterns)
    passages = [_passage(row) for row in telling(by_domain)]
    return EditsView(
        tuple(rows[: LISTED + 1]),
        tuple(passages[:LISTED]),
        max(len(rows) - LISTED - 1, 0),
        max(len(by_domain) - LISTED, 0),
    )


def sentences(view: EditsView) -> Iterator[Sentence]:
    """How much documents were edited, and what edits have in common; nothing where that is not known."""
    whole = next((row for row in view.rows if row.everything), None)
    if whole is not None and whole.similarity and whole.change:
        yield (_size(whole),)
    if view.passages:
        first = {row.direction: row for row in reversed(view.passages)}
        vanished_first = sorted(first.values(), key=lambda row: row.direction != "vanished")
        parts = [(Name(row.words), "; " if row is not vanished_first[-1] else ".") for row in vanished_first]
        yield ("Edits have in common: ", *(piece for pair in parts for piece in pair))


def with_edits(whole: PartRow, turnover: Mapping[str, Any], tested: Sequence[Row]) -> PartRow:
    """The parts of all documents; without causes where nothing is known of edits, though there may be some."""
    edited = turnover.get("edited", 0)
    followed = tested[0]["documents"] if tested else 0
    if edited is None or (edited and not followed):
        return replace(whole, causes=())
    return replace(whole, followed=(followed, edited))


def signed(value: float) -> str:
    """A number of tokens with its sign: ``−79``."""
    text = f"{value:+,.0f}"
    return "0" if float(text.replace(",", "")) == 0 else text.replace("-", numbers.MINUS)


def _size(row: EditedRow) -> str:
    """``Half of the 960 edited documents are at least 93.7 % similar to before; …``."""
    similar = numbers.percent(row.similarity[2])
    if row.documents == 1:
        return (
            f"The edited document is {similar} similar to before (shingles of 5 tokens) and changed by "
            f"{signed(row.change[2])} tokens."
        )
    return (
        f"Half of the {numbers.grouped(row.documents)} edited documents are at least {similar} similar to before "
        f"(shingles of 5 tokens); the middle half changed by {signed(row.change[1])} to {signed(row.change[3])} tokens."
    )


def _documents(figures: Mapping[str, Row], test: Row | None) -> int:
    documents: int = next(iter(figures.values()))["documents"] if figures else (test or {}).get("edited", 0)
    return documents


def _edited(name: str, figures: Mapping[str, Row], test: Row | None) -> EditedRow:
    def points(figure: str) -> tuple[float, ...]:
        return tuple(figures[figure][quantile] for quantile in QUANTILES) if figure in figures else ()

    row = test or {}
    return EditedRow(
        name,
        name == ALL_DOMAINS,
        _documents(figures, test),
        points("similarity"),
        points("tokens_change"),
        row.get("documents", 0),
        row.get("excess"),
        row.get("low"),
        row.get("high"),
        row.get("p_adjusted"),
        reading(row),
        row.get("reason") or "",
    )


def _passage(row: Row) -> PassageRow:
    diff = tuple((row["diff"] or "").split("\n")) if row["diff"] else ()
    return PassageRow(
        row["domain"],
        row["direction"],
        row["text"],
        row["documents"],
        row["edited"],
        row["example"],
        diff,
        passage_text(row),
    )
