"""What the sampler-log tables share: the intended mixture, and making a table from arrays and scalars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.figures.facet_totals import nullable
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

UNKNOWN = "(unknown)"
"""The domain of drawn documents whose own domain is not in the run."""


@dataclass(frozen=True, slots=True)
class TargetMixture:
    """The mixture that the sampler should have drawn from G domains.

    Attributes:
        names: the domains.
        shares: their intended shares, float64 [G].
        unit: unit of the shares, tokens or documents.
        documents: documents that the run counted by domain, int64 [G].
        complete: whether the run counted the whole corpus; a sampled audit reads a part.
    """

    names: list[str]
    shares: Floats
    unit: str
    documents: Integers
    complete: bool


def rows_of(schema: pa.Schema, size: int, columns: dict[str, object]) -> pa.Table:
    """A table of ``size`` rows; scalars are repeated, NaN and missing columns become null."""
    return pa.table([_column(schema.field(name).type, size, columns.get(name)) for name in schema.names], schema=schema)


def _column(type_: pa.DataType, size: int, value: object) -> pa.Array:
    if value is None:
        return pa.nulls(size, type_)
    column = value if isinstance(value, np.ndarray) else np.full(size, value, dtype=object)
    if column.dtype.kind == "f":
        return nullable(column).cast(type_)
    if column.dtype.kind == "O":
        missing = [item is None or item != item for item in column]
        return pa.array(list(column), type_, mask=np.array(missing, dtype=bool))
    return pa.array(column, type_)
