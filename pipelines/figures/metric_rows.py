"""Builds rows of the metrics table: values with denominator and bounds, from numbers or from a table's columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.figures.facet_totals import nullable
from corpus_audit.pipelines.reading.documents.batches import PRIMARY
from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.schemas.tables import run_tables

ALL: Literal["all"] = "all"
"""The slice of figures about the whole corpus."""


def metric_rows(
    metric: str,
    slices: Any,
    value: npt.ArrayLike | pa.ChunkedArray,
    n: npt.ArrayLike | pa.ChunkedArray,
    low: npt.ArrayLike | pa.ChunkedArray,
    high: npt.ArrayLike | pa.ChunkedArray,
    unit: str,
    absent: str = "there is nothing to divide by",
) -> pa.Table:
    """Rows of one metric in the schema METRICS; NaN becomes null, with ``absent`` as the reason."""
    size = len(slices)
    names = slices if isinstance(slices, pa.Array | pa.ChunkedArray) else pa.array(slices, pa.string())
    values = nullable(value)
    return pa.table(
        {
            "metric": pa.repeat(metric, size),
            "slice": names,
            "value": values,
            "n": pa.array(np.asarray(n, dtype=np.int64)),
            "low": nullable(low),
            "high": nullable(high),
            "unit": pa.repeat(unit, size),
            "reason": pc.if_else(pc.is_null(values), pa.scalar(absent), pa.scalar(None, pa.string())),
        },
        schema=run_tables.METRICS,
    )


def rows_from_columns(
    metric: str,
    slices: pa.ChunkedArray,
    table: pa.Table,
    columns: tuple[str, str, str, str],
    unit: str,
    absent: str = "there is nothing to divide by",
) -> pa.Table:
    """Rows of one metric from a table's columns: value, n, low, high."""
    value, n, low, high = (table[name] for name in columns)
    return metric_rows(metric, slices, value, n, low, high, unit, absent)


def exact_rows(metric: str, slices: Sequence[str], value: npt.ArrayLike, n: npt.ArrayLike, unit: str) -> pa.Table:
    """Rows of facts about the data that was read: the bounds are the value."""
    return metric_rows(metric, slices, value, n, value, value, unit)


def ratio(part: npt.ArrayLike, total: npt.ArrayLike) -> Floats:
    """part / total, NaN where total is 0."""
    denominator = np.asarray(total, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, np.asarray(part, dtype=np.float64) / denominator, np.nan)


def column_sum(table: pa.Table, column: str) -> int:
    """The sum of a column of integers; 0 without rows."""
    return int(pc.sum(table[column]).as_py() or 0)


def domain_slices(domain: pa.ChunkedArray) -> pa.ChunkedArray:
    """The slice of each domain: ``domain=<value>``, and ``all`` for (all)."""
    named = pc.binary_join_element_wise(f"{PRIMARY}=", domain, "")
    return pc.if_else(pc.equal(domain, run_tables.ALL_DOMAINS), ALL, named)
