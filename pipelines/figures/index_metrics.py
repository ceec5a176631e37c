"""Metrics of an activation index: figures about its snapshot that a policy can judge, in the schema METRICS.

They are read from the tables of `schemas.tables.embedding_tables`; neither the model nor the index itself is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.statistics.intervals.proportions import wilson
from corpus_audit.schemas.tables.metric_declarations import MetricDeclaration
from corpus_audit.schemas.tables.run_tables import METRICS, UNKNOWN

DECLARATIONS = (
    MetricDeclaration(
        "semantic_share",
        "share of a benchmark's items that are close in meaning to a window of the corpus",
        "share",
        "whole benchmarks",
        "interval",
    ),
    MetricDeclaration(
        "semantic_false_positive_rate",
        "share of decoy windows that are as close to a window of another document",
        "share",
        "all",
        "interval",
    ),
    MetricDeclaration(
        "embedding_drift_auc",
        "how well a classifier tells the snapshots apart by a model's vectors",
        "probability",
        "all",
        "interval",
    ),
    MetricDeclaration(
        "embedding_drift_p", "p-value of the permutation test of that classifier", "probability", "all", "fact"
    ),
    MetricDeclaration(
        "units_moved_share", "share of the model's units whose mean activation changed", "share", "all", "fact"
    ),
)
"""Every metric of this module."""


def embedding_metrics(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Metrics of the tables of an index; unsorted."""
    rows: list[dict[str, Any]] = []

    def add(
        metric: str,
        slice_: str,
        value: float | None,
        n: int,
        bounds: tuple[Any, Any],
        unit: str,
        why: str | None = None,
    ) -> None:
        low, high = bounds
        figure = {"metric": metric, "slice": slice_, "value": value, "n": n, "low": low, "high": high, "unit": unit}
        rows.append(figure | {"reason": (why or UNKNOWN) if value is None else None})

    for row in tables["semantic"].to_pylist() if "semantic" in tables else ():
        bounds = row["low"], row["high"]
        add(
            "semantic_share",
            f"benchmark={row['benchmark']}",
            row["share"],
            row["items"],
            bounds,
            "share",
            row["reason"],
        )
    for row in tables["semantic"].to_pylist()[:1] if "semantic" in tables else ():
        add("semantic_false_positive_rate", "all", *_rate(row["decoys_near"], row["decoys"]), "share", row["reason"])
    for row in tables["embedding_drift"].to_pylist() if "embedding_drift" in tables else ():
        n = row["documents_before"] + row["documents_after"]
        add("embedding_drift_auc", "all", row["auc"], n, (row["low"], row["high"]), "probability", row["reason"])
        add("embedding_drift_p", "all", row["p"], n, (row["p"], row["p"]), "probability", row["reason"])
        moved = None if row["units_moved"] is None or not row["units"] else row["units_moved"] / row["units"]
        add("units_moved_share", "all", moved, row["units"], (moved, moved), "share", row["reason"])
    return pa.Table.from_pylist(rows, schema=METRICS)


def _rate(part: int | None, total: int) -> tuple[float | None, int, tuple[float | None, float | None]]:
    """A share, its denominator and its Wilson bounds."""
    if part is None or not total:
        return None, total, (None, None)
    low, high = wilson(part / total, total)
    return part / total, total, (float(low), float(high))
