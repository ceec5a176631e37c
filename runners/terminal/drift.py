"""The summary that ``drift`` prints: what changed between two runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.checks.report.drift.readings import case, reading, token_text
from corpus_audit.checks.report.drift.sentences import causes_of_content, causes_text
from corpus_audit.checks.report.drift.turnover_sentences import has_changed, kinds_of_documents, new_and_gone
from corpus_audit.checks.report.page.terminal import safe_text
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.sentences import Name
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

WIDTH = 80
MOST_CHARACTERS = 600
"""Of the conclusion; domains' names may be long."""

LISTED = 8
"""Tokens and domains that are listed."""

Row = dict[str, Any]


def drift_summary_text(tables: Mapping[str, pa.Table]) -> str:
    """Lines of at most `WIDTH` columns, without a final newline, for each baseline in the tables."""
    labels = list(dict.fromkeys(tables["drift"]["baseline"].to_pylist()))
    return "\n\n".join("\n".join(_baseline_lines(label, tables)) for label in labels)


def _baseline_lines(label: str, tables: Mapping[str, pa.Table]) -> list[str]:
    rows = [row for row in tables["drift"].to_pylist() if row["baseline"] == label and row["statistic"] == "jsd"]
    overall = next(row for row in rows if row["domain"] == ALL_DOMAINS)
    lines = [f"Drift from {safe_text(label)}", "─" * WIDTH]
    turnover = [row for row in tables["turnover"].to_pylist() if row["baseline"] == label]
    if case(overall) == "same" and not any(map(has_changed, turnover)):
        kept = numbers.plural(turnover[0]["kept"], "document")
        return [*lines, f"Identical: both hold the same {kept}."]
    conclusion = next(row for row in tables["drift_conclusion"].to_pylist() if row["baseline"] == label)
    lines += [*textwrap.wrap(safe_text(conclusion["headline"], MOST_CHARACTERS), WIDTH), ""]
    lines += _paragraph("Documents", _documents(turnover))
    lines += _paragraph("Tokens", _headline(overall))
    parts = {
        row["part"]: row
        for row in tables["drift_parts"].to_pylist()
        if row["baseline"] == label and row["domain"] == ALL_DOMAINS
    }
    lines += _paragraph("Why", _parts(parts))
    lines += _paragraph("Classifier", _classifier(label, tables))
    lines += ["", *_domains(label, rows, tables), "", *_tokens(label, tables)]
    return lines


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{head:<12}", subsequent_indent=" " * 12)


def _headline(row: Row) -> str:
    result = reading(row)
    if result == "insufficient":
        return f"Not enough data: {row['reason'] or 'no interval could be computed'}."
    bounds = f"{row['excess']:.5f} bits beyond chance [{row['low']:.5f}, {row['high']:.5f}], p {row['p']:.4f}"
    if row["permutations"] == 0:
        return f"No drift: {row['reason'].removesuffix(': there is no drift')}."
    if result == "drift":
        return f"Drift: the token distributions differ by {bounds}."
    if row["high"] <= 0:
        return (
            f"The token distributions are no farther apart than with documents exchanged at random, p {row['p']:.4f}; "
            "the documents are too unlike each other for this test to bound a drift."
        )
    return f"The token distributions do not differ by more than chance: {bounds}; by at most {row['high']:.5f} bits."


def _parts(parts: Mapping[str, Row]) -> str:
    mixture, content = parts["mixture"], parts["content"]
    if mixture["attribution"] is None:
        return f"{mixture['reason'][:1].upper()}{mixture['reason'][1:]}."
    return (
        f"{mixture['attribution']:.0%} of the change of token shares is the mix of domains, "
        f"{content['attribution']:.0%} is the text within them{causes_text(causes_of_content(parts))}."
    )


def _documents(turnover: list[Row]) -> str:
    """Domains that are new or gone, then what became of all documents, then why less is known than could be."""
    whole = next(row for row in turnover if row["domain"] == ALL_DOMAINS)
    said = [
        "".join(safe_text(part.text, 24) if isinstance(part, Name) else part for part in sentence)
        for sentence in new_and_gone(turnover)
    ]
    said.append(kinds_of_documents(whole))
    if whole.get("reason"):
        said.append(f"{whole['reason'][:1].upper()}{whole['reason'][1:]}.")
    return " ".join(said)


def _classifier(label: str, tables: Mapping[str, pa.Table]) -> str:
    row = next(
        row
        for row in tables["drift_classifier"].to_pylist()
        if row["baseline"] == label and row["domain"] == ALL_DOMAINS
    )
    if row["auc"] is None:
        return f"Not enough data: {row['reason']}."
    if row["reason"]:
        return f"{row['reason'][:1].upper()}{row['reason'][1:]}."
    return (
        f"Tells unshared documents of the two sides apart with AUC {row['auc']:.3f} "
        f"[{row['low']:.3f}, {row['high']:.3f}], p {row['p']:.3f}; 0.5 is no difference."
    )


def _domains(label: str, rows: list[Row], tables: Mapping[str, pa.Table]) -> list[str]:
    shares = {
        row["domain"]: row
        for row in tables["drift_domains"].to_pylist()
        if row["baseline"] == label and row["unit"] == "tokens"
    }
    lines = [f"{'Share of tokens':<30}{'before':>9}{'now':>9}{'change':>9}   {'text':<20}"]
    by_domain = {row["domain"]: row for row in rows}
    ordered = sorted(shares.values(), key=lambda row: -abs(row["difference"] or 0.0))
    for row in ordered[:LISTED]:
        jsd = by_domain.get(row["domain"])
        verdict = reading(jsd) if jsd else ""
        before, now = (_share(row[side]) for side in ("share_baseline", "share_current"))
        moved = numbers.NONE if row["difference"] is None else f"{row['difference']:+.2%}"
        lines.append(f"{safe_text(row['domain'])[:29]:<30}{before:>9}{now:>9}{moved:>9}   {verdict:<20}".rstrip())
    if len(ordered) > LISTED:
        lines.append(f"and {numbers.plural(len(ordered) - LISTED, 'more domain')} with smaller changes")
    return lines


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
