"""Count tables: sorted keys with values that can be merged; every measure counts into this form.

A `TableSpec` says for each column whether it is a key or how values of equal keys are merged (`ColumnKind`); the module
`merging` merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.counters.bits import set_bits

Column: TypeAlias = Any
"""A numpy vector, or an Arrow large_binary array for `ColumnKind.BYTES`."""

LOW_BITS = 32
"""A wide value is ``high * 2^LOW_BITS + low``: exact sums far past int64."""


class ColumnKind(StrEnum):
    """The content of a column, and how rows with equal keys are merged into one."""

    KEY = "key"  # uint64; rows are grouped by all keys, sorted by them in the order of the schema
    DOMAIN = "domain"  # a key too: int64 position in the partial's sorted names
    CELL = "cell"  # a key too: uint64, the domain's position << 32 | a number below 2^32, such as a token
    TIE = "tie"  # uint64; sorts after the keys and decides which row comes first; the first is kept
    SUM = "sum"  # int64, added; overflow raises
    WIDE_HIGH = "wide_high"  # int64, added; paired with the column before it
    FIRST = "first"  # int64 of the first row
    FIRST_DOMAIN = "first_domain"  # position in the names, of the first row
    BYTES = "bytes"  # bytes of the first row
    GROUPS = "groups"  # uint64 bit mask of the groups that occur; the table's `counts` has the occurrences


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Columns of a count table, in key order, and how many rows a domain may keep (0: all).

    ``chunk_rows`` are the rows of a chunk in a file, for tables whose rows are long (0: as many as of others);
    ``compressed`` is whether a file holds them under zstd; values of ``incompressible`` columns (hashes of texts,
    sketches) it holds as they are in any case: zstd would read them in vain.
    """

    columns: tuple[tuple[str, ColumnKind], ...]
    keep_per_domain: int = 0
    chunk_rows: int = 0
    compressed: bool = True
    incompressible: frozenset[str] = frozenset()

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the grouping columns."""
        return tuple(
            name for name, kind in self.columns if kind in (ColumnKind.KEY, ColumnKind.DOMAIN, ColumnKind.CELL)
        )

    @property
    def sort_columns(self) -> tuple[str, ...]:
        """Names of the columns that order rows: keys, then ties."""
        return self.keys + tuple(name for name, kind in self.columns if kind is ColumnKind.TIE)

    @property
    def is_additive(self) -> bool:
        """Whether the only key is a cell and all values are sums."""
        kinds = [kind for _, kind in self.columns]
        return kinds[0] is ColumnKind.CELL and set(kinds[1:]) <= {
            ColumnKind.SUM,
            ColumnKind.WIDE_HIGH,
            ColumnKind.GROUPS,
        }

    @property
    def groups(self) -> str | None:
        """Name of the group mask column, if there is one."""
        return next((name for name, kind in self.columns if kind is ColumnKind.GROUPS), None)


@dataclass(frozen=True, slots=True)
class CountTable:
    """Rows of a `TableSpec`.

    Attributes:
        columns: name -> vector, all of one length.
        counts: int64, for a table with a group mask: the occurrences in every set group of every row, in order.
    """

    spec: TableSpec
    columns: dict[str, Column]
    counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.columns[self.spec.columns[0][0]])

    def slice(self, start: int, stop: int) -> CountTable:
        """Rows ``start`` to ``stop``; columns are views."""
        counts = self.counts
        if start == 0 and stop >= len(self):
            return self
        if counts is not None:
            mask = self.columns[self.spec.groups or ""]
            before = set_bits(mask[:start]) if start else 0
            within = set_bits(mask[start:stop])
            counts = counts[before : before + within]
        return CountTable(self.spec, {n: c[start:stop] for n, c in self.columns.items()}, counts)


def empty(spec: TableSpec) -> CountTable:
    """A table without rows, the neutral element of merging."""
    columns: dict[str, Column] = {}
    for name, kind in spec.columns:
        if kind is ColumnKind.BYTES:
            columns[name] = pa.array([], pa.large_binary())
        else:
            columns[name] = np.empty(0, dtype_of(kind))
    return CountTable(spec, columns, np.empty(0, np.int64) if spec.groups else None)


def dtype_of(kind: ColumnKind) -> np.dtype:
    """The numpy type of a column that is not bytes."""
    return np.dtype(
        np.uint64 if kind in (ColumnKind.KEY, ColumnKind.CELL, ColumnKind.TIE, ColumnKind.GROUPS) else np.int64
    )


def concatenate(tables: Sequence[CountTable]) -> CountTable:
    """The rows of all tables, one after the other, not merged."""
    spec = tables[0].spec
    if len(tables) == 1:
        return tables[0]
    columns: dict[str, Column] = {}
    for name, kind in spec.columns:
        parts = [table.columns[name] for table in tables]
        columns[name] = pa.concat_arrays(parts) if kind is ColumnKind.BYTES else np.concatenate(parts)
    counts = np.concatenate([t.counts for t in tables if t.counts is not None]) if spec.groups else None
    return CountTable(spec, columns, counts)


def cells(domain: np.ndarray, number: np.ndarray) -> np.ndarray:
    """uint64 [N] cells of domain positions and numbers below 2^32."""
    return (domain.astype(np.uint64) << np.uint64(32)) | number.astype(np.uint64)


def split_cells(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(domain positions, numbers), int64 [N] each, of cells."""
    return (cell >> np.uint64(32)).astype(np.int64), (cell & np.uint64(0xFFFFFFFF)).astype(np.int64)


def wide(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) halves of non-negative int64 values, as stored in wide columns."""
    return values & (2**LOW_BITS - 1), values >> LOW_BITS


def wide_to_decimal(low: np.ndarray, high: np.ndarray) -> pa.Array:
    """decimal128(38, 0) of non-negative wide values."""
    words = np.empty((len(low), 2), np.uint64)
    words[:, 0] = (high.astype(np.uint64) << np.uint64(LOW_BITS)) | low.astype(np.uint64)
    words[:, 1] = (high >> LOW_BITS).astype(np.uint64)
    buffer = pa.py_buffer(words.tobytes())
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(low), [None, buffer])


def remap_domains(table: CountTable, positions: np.ndarray) -> CountTable:
    """The table with every domain position p replaced by ``positions[p]``; increasing positions keep the order."""
    columns = dict(table.columns)
    for name, kind in table.spec.columns:
        if kind in (ColumnKind.DOMAIN, ColumnKind.FIRST_DOMAIN):
            columns[name] = positions[columns[name]]
        elif kind is ColumnKind.CELL:
            cell = columns[name]
            domain = positions[(cell >> np.uint64(32)).astype(np.int64)].astype(np.uint64)
            columns[name] = (domain << np.uint64(32)) | (cell & np.uint64(0xFFFFFFFF))
    return CountTable(table.spec, columns, table.counts)
