"""A table of texts on the page of an investigation."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.safe_text import safe_text


def plain_table(body: ET.Element, caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> None:
    """Append a table that scrolls by itself; the first column heads the rows, and the others are figures.

    Args:
        body: what it is appended to.
        caption: of the table.
        heads: of the columns.
        rows: cells, made safe here.
        most: rows that are shown; the number of further ones is said.
    """
    scroll = element(body, "div", class_="scroll", tabindex="0", role="region", aria_label=safe_text(caption, 120))
    table = element(scroll, "table", class_="scores")
    element(element(table, "caption"), "span", safe_text(caption, 120))
    head = element(element(table, "thead"), "tr")
    for number, name in enumerate(heads):
        element(head, "th", name, scope="col", **({"class_": "n"} if number else {}))
    content = element(table, "tbody")
    for row in rows[:most]:
        line = element(content, "tr")
        element(element(line, "th", scope="row"), "bdi", safe_text(row[0], 120))
        for cell in row[1:]:
            element(line, "td", safe_text(cell, 120), class_="n")
    if len(rows) > most:
        element(body, "p", f"{plural(len(rows) - most, 'further row')} in the tables.", class_="note")
