"""Contamination figures that a policy can judge, in the schema METRICS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration
from corpus_audit.schemas.tables.run_tables import METRICS, UNKNOWN

DECLARATIONS = (
    MetricDeclaration(
        "contamination_share",
        "share of a benchmark's items that the rule finds in the corpus",
        "share",
        "benchmarks",
        "interval",
    ),
    MetricDeclaration(
        "contamination_recall",
        "share of planted copies found, of those that the rule must find",
        "share",
        "rules",
        "fact",
    ),
    MetricDeclaration(
        "contamination_copy_recall", "share of planted copies found, by kind of copy", "share", "copies", "fact"
    ),
    MetricDeclaration(
        "contamination_false_positive_rate",
        "share of decoy passages that the rule reports as contaminated",
        "share",
        "rules",
        "interval",
    ),
)
"""Every metric of this module."""


def contamination_metrics(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Metrics of the contamination tables; unsorted."""
    rows: list[dict[str, Any]] = []

    def add(
        metric: str, slice_: str, row: dict[str, Any], value: str, n: str, low: str | None, high: str | None
    ) -> None:
        bounds = {"low": row[low] if low else None, "high": row[high] if high else None}
        figure = {"metric": metric, "slice": slice_, "value": row[value], "n": row[n], **bounds, "unit": "share"}
        rows.append(figure | {"reason": (row["reason"] or UNKNOWN) if row[value] is None else None})

    for row in tables["contamination"].to_pylist():
        slice_ = f"benchmark={row['benchmark']},rule={row['rule']}"
        add("contamination_share", slice_, row, "share", "testable", "low", "high")
    for row in tables["contamination_copies"].to_pylist():
        if row["canaries"]:
            slice_ = f"copy={row['copy']},rule={row['rule']}"
            add("contamination_copy_recall", slice_, row, "recall", "canaries", "recall", "recall")
    for row in tables["contamination_check"].to_pylist():
        slice_ = f"rule={row['rule']}"
        add("contamination_recall", slice_, row, "recall", "canaries", "recall", "recall")
        add("contamination_false_positive_rate", slice_, row, "false_positive_rate", "decoys", "low", "high")
    return pa.Table.from_pylist(rows, schema=METRICS)
