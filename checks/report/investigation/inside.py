"""The inside of a model on the page of an investigation: balance of experts, units that moved or were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.report.investigation.plain_table import plain_table
from corpus_audit.checks.representations.expert_analysis import ExpertAnalysis
from corpus_audit.checks.representations.expert_findings import expert_tables
from corpus_audit.checks.representations.unit_findings import unit_tables
from corpus_audit.checks.representations.unit_records import UnitAnalysis
from corpus_audit.checks.text.numbers import grouped

MOST_ROWS = 50
"""Rows of a table; the Parquet tables have all."""

_BALANCE = (
    "MaxVio is the largest load of an expert over the mean one, less 1: 0 is balance, and so is an entropy of 1. "
    "Medians of the first and of the last tenth of the steps. By mixture is the share of its variance from step to "
    "step that goes with the domains that were drawn."
)


def inside_section(body: ET.Element, experts: ExpertAnalysis | None, units: UnitAnalysis | None) -> None:
    """Append the section; nothing without experts and units."""
    layers = [] if experts is None else dict(expert_tables(experts))["expert_layers"].to_pylist()
    tables = {} if units is None else dict(unit_tables(units))
    moved = [row for row in tables["units"].to_pylist() if row["q"] is not None and _size(row) > 0] if tables else []
    drawn = tables["drawn_units"].to_pylist() if tables else []
    if not (layers or moved or drawn):
        return
    element(body, "h2", "Inside the model")
    if layers and experts is not None:
        element(body, "p", _BALANCE, class_="about")
        heads = ["Series", "Layer", "Experts", "MaxVio first", "MaxVio last", "Entropy", "Dead", "By mixture"]
        rows = [
            [
                row["series"], "" if row["layer"] is None else str(row["layer"]), grouped(row["experts"]),
                _figure(row["violation_first"]), _figure(row["violation"]), _figure(row["entropy"]),
                "" if row["dead"] is None else grouped(row["dead"]), _share(row["explained"]),
            ]
            for row in layers
        ]  # fmt: skip
        plain_table(body, f"Balance of the experts of {experts.run}", heads, rows, MOST_ROWS)
    if moved:
        moved.sort(key=lambda row: -_size(row))
        heads = ["Unit", "Mean before", "Mean after", "Change in sd", "95 % interval"]
        rows = [[row["unit"], _figure(row["first"]), _figure(row["second"]), *_in_sd(row)] for row in moved]
        plain_table(body, "Units that moved, the largest certain changes first", heads, rows, MOST_ROWS)
    if drawn:
        drawn.sort(key=lambda row: (row["step"], row["p"], row["expected"] - row["documents"]))
        heads = ["Unit", "Spike at step", "Documents drawn", "Expected", "p"]
        rows = [
            [row["unit"], grouped(row["step"]), f"{row['documents']} of {row['examples']}", _figure(row["expected"]),
             f"{row['p']:.2g}"]
            for row in drawn
        ]  # fmt: skip
        plain_table(body, "Units with examples that were drawn before a spike", heads, rows, MOST_ROWS)


def _size(row: dict[str, float]) -> float:
    """The smallest change that the interval allows, in standard deviations."""
    low, high, scale = row["low"], row["high"], row["deviation"]
    return max(low, -high, 0.0) / scale if scale else 0.0


def _in_sd(row: dict[str, float]) -> Sequence[str]:
    scale = row["deviation"]
    if not scale:
        return "–", "–"
    return f"{(row['second'] - row['first']) / scale:+.2g}", f"{row['low'] / scale:+.2g} to {row['high'] / scale:+.2g}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
