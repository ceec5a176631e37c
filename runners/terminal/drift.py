"""The summary that ``drift`` prints: what changed between two runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.checks.report.drift import edits
from corpus_audit.checks.report.drift.readings import case, reading, token_text
from corpus_audit.checks.report.drift.records import DriftView
from corpus_audit.checks.report.drift.sentences import (
    causes_text,
    classifier,
    distribution,
    headline,
    offset_text,
)
from corpus_audit.checks.report.drift.views import drift_views
from corpus_audit.checks.report.page.terminal import safe_text
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.pipelines.drift.lenses import TABLE_OF_IMAGE_LENS
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

WIDTH = 80
MOST_CHARACTERS = 600
"""Of the conclusion; domains' names may be long."""

LISTED = 8
"""Tokens and domains that are listed."""

Row = dict[str, Any]


def drift_summary_text(tables: Mapping[str, pa.Table]) -> str:
    """Lines of at most `WIDTH` columns, without a final newline, for each baseline in the tables."""
    return "\n\n".join("\n".join(_baseline_lines(view, tables)) for view in drift_views(tables))


def _baseline_lines(view: DriftView, tables: Mapping[str, pa.Table]) -> list[str]:
    lines = [f"Drift from {safe_text(view.label)}", "─" * WIDTH]
    lines += textwrap.wrap(safe_text(headline(view), MOST_CHARACTERS), WIDTH, break_on_hyphens=False)
    if view.nothing_changed:
        return lines
    lines.append("")
    documents = " ".join(map(_plain, view.documents))
    lines += _paragraph("Documents", f"{documents} {_sentence_of(view.unknown)}")
    lines += _paragraph("Tokens", distribution(view))
    for head, sentence in zip(("Edits", "Passages"), edits.sentences(view.edits), strict=False):
        lines += _paragraph(head, _plain(sentence))
    has_text = _has_text(view.label, tables)
    if has_text:
        lines += _paragraph("Why", _parts(view))
        lines += _paragraph("Classifier", " ".join(map(_plain, classifier(view))))
    lines += _images(view.label, tables)
    lines += ["", *_domains(view, tables, "tokens" if has_text else "documents")]
    return [*lines, "", *_tokens(view.label, tables)] if has_text else lines


def _has_text(label: str, tables: Mapping[str, pa.Table]) -> bool:
    """Whether a side holds a token: images without captions have none."""
    rows = tables["drift_domains"].select(["baseline", "unit", "share_baseline", "share_current"]).to_pylist()
    return any(
        row["baseline"] == label
        and row["unit"] == "tokens"
        and (row["share_baseline"], row["share_current"]) != (None,) * 2
        for row in rows
    )


def _plain(sentence: Sentence) -> str:
    return "".join(safe_text(part.text, 100) if isinstance(part, Name) else part for part in sentence)


def _sentence_of(reason: str) -> str:
    """A reason as a sentence; nothing where there is none."""
    return f"{reason[:1].upper()}{reason[1:]}." if reason else ""


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{head:<12}", subsequent_indent=" " * 12, break_on_hyphens=False)


def _parts(view: DriftView) -> str:
    mixture, content = view.parts.mixture, view.parts.content
    if mixture is None or content is None:
        return _sentence_of(view.parts.reason or "no token's share changed")
    return (
        f"{numbers.percent(mixture)} of the change of token shares is the mix of domains, "
        f"{numbers.percent(content)} is the text within them{causes_text(view.parts)}."
        f"{offset_text(view)}"
    )


_LENS_SAYS = {"shown": "changed", "not shown": "no significant change", "not tested": "not tested"}


def _images(label: str, tables: Mapping[str, pa.Table]) -> list[str]:
    """What the lenses of images show; nothing where the corpus is not one of images."""
    if TABLE_OF_IMAGE_LENS["image sizes"] not in tables:
        return []
    rows = {row["lens"]: row for row in tables["drift_lenses"].to_pylist() if row["baseline"] == label}
    says = []
    for name in TABLE_OF_IMAGE_LENS:
        detail = rows[name]["example"] or rows[name]["reason"]
        what = f" ({safe_text(detail, 200)})" if detail else ""
        says.append(f"{name.removeprefix('image ').capitalize()}: {_LENS_SAYS[rows[name]['reading']]}{what}.")
    return _paragraph("Images", " ".join(says))


def _domains(view: DriftView, tables: Mapping[str, pa.Table], unit: str) -> list[str]:
    rows = [row for row in tables["drift"].to_pylist() if row["baseline"] == view.label and row["statistic"] == "jsd"]
    shares = {
        row["domain"]: row
        for row in tables["drift_domains"].to_pylist()
        if row["baseline"] == view.label and row["unit"] == unit
    }
    text = "text" if unit == "tokens" else ""
    lines = [f"{f'Share of {unit}':<30}{'before':>9}{'now':>9}{'change':>9}   {text:<20}".rstrip()]
    by_domain = {row["domain"]: row for row in rows}
    edited = {row.domain: row.reading for row in view.edits.rows}
    ordered = sorted(shares.values(), key=lambda row: -abs(row["difference"] or 0.0))
    for row in ordered[:LISTED]:
        says = _text_of(by_domain.get(row["domain"]), edited.get(row["domain"])) if text else ""
        before, now = (_share(row[side]) for side in ("share_baseline", "share_current"))
        moved = numbers.NONE if row["difference"] is None else f"{row['difference']:+.2%}"
        lines.append(f"{safe_text(row['domain'])[:29]:<30}{before:>9}{now:>9}{moved:>9}   {says:<20}".rstrip())
    if len(ordered) > LISTED:
        lines.append(f"and {numbers.plural(len(ordered) - LISTED, 'more domain')} with smaller changes")
    return lines


def _text_of(row: Row | None, edits_reading: str | None) -> str:
    """What the tests say of the text of a domain; edits where they alone go one way."""
    if row is None:
        return ""
    state = case(row)
    if state in ("new", "gone"):
        return state
    says = reading(row)
    return "drift of edits" if says != "drift" and edits_reading == "drift" else says


def _tokens(label: str, tables: Mapping[str, pa.Table]) -> list[str]:
    rows = [
        row for row in tables["drift_tokens"].to_pylist() if row["baseline"] == label and row["domain"] == ALL_DOMAINS
    ]
    lines = []
    for kind, head in (("riser", "Rose"), ("faller", "Fell"), ("new", "New"), ("vanished", "Vanished")):
        matching = [row for row in rows if row["kind"] == kind]
        named = ", ".join(_named(row) for row in matching[:LISTED]) or "none"
        more = f" and {len(matching) - LISTED} more" if len(matching) > LISTED else ""
        lines += _paragraph(head, f"{named}{more}")
    return lines


def _share(value: float | None) -> str:
    return numbers.NONE if value is None else f"{value:.2%}"


def _named(row: Row) -> str:
    ratio = "" if row["log2_ratio"] is None else f" ({row['log2_ratio']:+.1f})"
    return f"{token_text(row['text'])}{ratio}"
