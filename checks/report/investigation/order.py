"""The order of runs with and without contaminated items, on the page of an investigation."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.leak_findings import ContaminationAnalysis, leak_tables
from corpus_audit.checks.report.investigation.plain_table import plain_table
from corpus_audit.checks.text.numbers import grouped

MOST_ROWS = 100
"""Rows of the table; the Parquet table has all."""


def order_table(body: ET.Element, analysis: ContaminationAnalysis) -> None:
    """Append the table; nothing where runs are not ranked."""
    rows = dict(leak_tables(analysis))["evaluation_ranks"].to_pylist()
    if not rows:
        return
    heads = ["Task", "Run and step", "Items", "Contaminated", "Score", "Rank", "Score, clean", "Rank, clean"]
    cells = [
        [
            f"{row['task']} ({row['metric']})", f"{row['run']} at {grouped(row['step'])}", grouped(row["items"]),
            grouped(row["contaminated"]), f"{row['score']:.3f}", str(row["rank"]), f"{row['clean']:.3f}",
            str(row["clean_rank"]),
        ]
        for row in rows
    ]  # fmt: skip
    plain_table(body, "Order of runs with and without contaminated items", heads, cells, MOST_ROWS)
