"""What became of the documents, in words: the page, the terminal and the demo share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

NAMED = 3
"""Domains that a sentence names."""

Row = Mapping[str, Any]
"""A row of TURNOVER; runs of earlier versions have fewer columns."""


def kinds_of_documents(row: Row) -> str:
    """How many documents were kept, edited, added and removed, as a sentence; of which renamed and replaced.

    What is not known of a run (see the table's reason) is left out, as nothing is known of it.
    """
    edited, renamed, replaced = (row.get(name) for name in ("edited", "renamed", "replaced"))
    parts = [f"{numbers.plural(row['kept'], 'document')} {'was' if row['kept'] == 1 else 'were'} kept"]
    if edited is not None:
        parts.append(f"{numbers.grouped(edited)} edited")
    parts += [f"{numbers.grouped(row['added'])} added", f"{numbers.grouped(row['removed'])} removed"]
    text = f"{', '.join(parts[:-1])} and {parts[-1]}"
    if renamed:
        text += f"; {numbers.grouped(renamed)} of the kept and edited have another id than before"
    if replaced:
        text += f"; {numbers.grouped(replaced)} of the removed have an id that now names another text"
    return f"{text}."


def new_and_gone(rows: Sequence[Row]) -> Iterator[Sentence]:
    """A sentence on domains that only the current snapshot has, and one on those that only the baseline has."""
    domains = [row for row in rows if row["domain"] != ALL_DOMAINS]
    new = [row for row in domains if row["added"] and not _before(row)]
    gone = [row for row in domains if row["removed"] and not row["kept"] + row["added"] + (row.get("edited") or 0)]
    for rows_of_kind, kind, state in ((new, "added", "new"), (gone, "removed", "gone")):
        if not rows_of_kind:
            continue
        rows_of_kind = sorted(rows_of_kind, key=lambda row: (-row[kind], row["domain"]))
        parts: list[str | Name] = ["Domain " if len(rows_of_kind) == 1 else "Domains "]
        for index, row in enumerate(rows_of_kind[:NAMED]):
            documents, tokens = numbers.plural(row[kind], "document"), row[f"{kind}_tokens"]
            of_text = f", {numbers.plural(tokens, 'token')}" if tokens else ""  # images without captions have none
            parts += [", " if index else "", Name(row["domain"]), f" ({documents}{of_text})"]
        more = len(rows_of_kind) - NAMED
        parts.append(f" and {numbers.grouped(more)} more" if more > 0 else "")
        yield (*parts, f" {'is' if len(rows_of_kind) == 1 else 'are'} {state}.")


def has_changed(row: Row) -> bool:
    """Whether a slice's documents are other ones than before, or have other texts or ids."""
    return any(row.get(name) for name in ("added", "removed", "edited", "renamed"))


def _before(row: Row) -> int:
    documents: int = row["kept"] + row["removed"] + (row.get("edited") or 0)
    return documents
