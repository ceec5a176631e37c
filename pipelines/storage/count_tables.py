"""Count tables: sorted keys with mergeable values, the one shape that every measure counts into.

A table's rows are grouped by its keys; merging concatenates, sorts and reduces. Sums are associative and commutative,
"the first row in key and tie order" is too, so every measure is exact and independent of sharding, of workers and of
the order of merging by construction; the laws are tested once, here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.counters import gather, sparse
from corpus_audit.pipelines.kernels.counters.bits import set_bits
from corpus_audit.pipelines.kernels.counters.dense import DenseMerge

Column: TypeAlias = Any
"""A numpy vector, or an Arrow large_binary array for `Kind.BYTES`."""

LOW_BITS = 32
"""A wide value is ``high * 2^LOW_BITS + low``: exact sums far past int64."""


class Kind(StrEnum):
    """What a column holds and how the rows of one key become one row."""

    KEY = "key"  # uint64; rows are grouped by all keys, sorted by them in the order of the schema
    DOMAIN = "domain"  # a key too: int64 position in the partial's sorted names
    CELL = "cell"  # a key too: uint64, the domain's position << 32 | a number below 2^32, such as a token
    TIE = "tie"  # uint64; sorts after the keys and decides which row comes first; the first is kept
    SUM = "sum"  # int64, added; overflow raises
    WIDE_HIGH = "wide_high"  # int64, added; paired with the column before it
    FIRST = "first"  # int64 of the first row
    FIRST_DOMAIN = "first_domain"  # position in the names, of the first row
    BYTES = "bytes"  # bytes of the first row
    GROUPS = "groups"  # uint64 mask of set groups; the counts are in the table's `counts`


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Columns of a count table, in key order, and how many rows a domain may keep (0: all)."""

    columns: tuple[tuple[str, Kind], ...]
    keep_per_domain: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the grouping columns."""
        return tuple(name for name, kind in self.columns if kind in (Kind.KEY, Kind.DOMAIN, Kind.CELL))

    @property
    def sort_columns(self) -> tuple[str, ...]:
        """Names of the columns that order rows: keys, then ties."""
        return self.keys + tuple(name for name, kind in self.columns if kind is Kind.TIE)

    @property
    def is_additive(self) -> bool:
        """Whether rows have one cell as their key and nothing but sums."""
        kinds = [kind for _, kind in self.columns]
        return kinds[0] is Kind.CELL and set(kinds[1:]) <= {Kind.SUM, Kind.WIDE_HIGH, Kind.GROUPS}

    @property
    def groups(self) -> str | None:
        """Name of the group mask column, if there is one."""
        return next((name for name, kind in self.columns if kind is Kind.GROUPS), None)


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
    """A table without rows, the identity of merging."""
    columns: dict[str, Column] = {}
    for name, kind in spec.columns:
        if kind is Kind.BYTES:
            columns[name] = pa.array([], pa.large_binary())
        else:
            columns[name] = np.empty(0, dtype_of(kind))
    return CountTable(spec, columns, np.empty(0, np.int64) if spec.groups else None)


def dtype_of(kind: Kind) -> np.dtype:
    """The numpy type of a column that is not bytes."""
    return np.dtype(np.uint64 if kind in (Kind.KEY, Kind.CELL, Kind.TIE, Kind.GROUPS) else np.int64)


def concatenate(tables: Sequence[CountTable]) -> CountTable:
    """The rows of all tables, one after the other, not merged."""
    spec = tables[0].spec
    if len(tables) == 1:
        return tables[0]
    columns: dict[str, Column] = {}
    for name, kind in spec.columns:
        parts = [table.columns[name] for table in tables]
        columns[name] = pa.concat_arrays(parts) if kind is Kind.BYTES else np.concatenate(parts)
    counts = np.concatenate([t.counts for t in tables if t.counts is not None]) if spec.groups else None
    return CountTable(spec, columns, counts)


def sort_order(columns: Sequence[np.ndarray]) -> np.ndarray:
    """The stable order of rows by several columns of non-negative integers, int64 [N].

    Sorts by one number made of the first columns' leading bits, then repairs runs of equal numbers only.
    """
    first, whole = _leading_bits(columns)
    order = np.argsort(first, kind="stable")
    if whole or len(first) < 2:
        return order
    values = first[order]
    equal = values[1:] == values[:-1]
    if not equal.any():
        return order
    tied = np.empty(len(first), bool)
    tied[0] = equal[0]
    tied[1:-1] = equal[1:] | equal[:-1]
    tied[-1] = equal[-1]
    places = np.flatnonzero(tied)
    rows = order[places]
    order[places] = rows[np.lexsort([c[rows] for c in reversed(columns)])]
    return order


def _leading_bits(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, bool]:
    """uint64 [N], ordered as the first column is and, as far as there is room, the second; whether that is all."""
    first = columns[0].view(np.uint64)
    if len(columns) == 1 or not len(first):
        return first, len(columns) == 1
    second = columns[1].view(np.uint64)
    room = 64 - int(first.max()).bit_length()
    if room == 0:
        return first, False
    excess = max(0, int(second.max()).bit_length() - room)
    width = min(room, int(second.max()).bit_length())
    packed: np.ndarray = (first << np.uint64(width)) | (second >> np.uint64(excess))
    return packed, len(columns) == 2 and excess == 0


def merge(tables: Sequence[CountTable]) -> CountTable:
    """One table with one row a key, sorted.

    Raises:
        OverflowError: when a sum comes within a factor of two of int64's end.
    """
    spec = tables[0].spec
    if spec.is_additive and (dense := _merge_dense(tables)) is not None:
        return dense
    if spec.keep_per_domain and len(tables) > 1:
        tables = _without_higher(tables)
    table = concatenate(tables)
    if len(table) == 0:
        return table
    order = sort_order([table.columns[name] for name in spec.sort_columns])
    keys = [gather.take(table.columns[name], order) for name in spec.keys]
    starts_mask = np.empty(len(order), bool)
    starts_mask[0] = True
    changed = keys[0][1:] != keys[0][:-1]
    for key in keys[1:]:
        changed |= key[1:] != key[:-1]
    starts_mask[1:] = changed
    starts = np.flatnonzero(starts_mask)
    firsts = order[starts]
    columns: dict[str, Column] = {}
    counts = None
    for name, kind in spec.columns:
        column = table.columns[name]
        if kind is Kind.BYTES:
            columns[name] = column.take(pa.array(firsts))
        elif kind in (Kind.SUM, Kind.WIDE_HIGH):
            columns[name] = _sums(column, order, starts)
        elif kind is Kind.GROUPS:
            assert table.counts is not None
            columns[name], counts = sparse.merge_groups(column, table.counts, order, starts)
        else:
            columns[name] = gather.take(column, firsts)
    _carry(spec, columns)
    merged = CountTable(spec, columns, counts)
    return _keep_lowest(merged) if spec.keep_per_domain else merged


def _merge_dense(tables: Sequence[CountTable]) -> CountTable | None:
    """Merge tables of cells without sorting; None where that does not pay or a sum might not fit into 64 bits."""
    spec = tables[0].spec
    tables = [table for table in tables if len(table)]
    if len(tables) < 2:
        return None
    cells_of = [table.columns[spec.keys[0]] for table in tables]
    if any((cells[1:] <= cells[:-1]).any() for cells in cells_of) or not DenseMerge.pays(cells_of):
        return None
    for name, kind in spec.columns:
        sums = kind in (Kind.SUM, Kind.WIDE_HIGH)
        if sums and not DenseMerge.fits([table.columns[name] for table in tables]):
            return None
    merge_ = DenseMerge(cells_of)
    columns: dict[str, Column] = {}
    counts = None
    for name, kind in spec.columns:
        if kind in (Kind.SUM, Kind.WIDE_HIGH):
            columns[name] = merge_.sums([table.columns[name] for table in tables])
        elif kind is Kind.GROUPS:
            held = [table.counts for table in tables if table.counts is not None]
            columns[name], counts = merge_.groups([table.columns[name] for table in tables], held)
        else:
            columns[name] = merge_.cells
    _carry(spec, columns)
    return CountTable(spec, columns, counts)


def _sums(values: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if len(starts) == len(values):
        return gather.take(values, order)
    largest = max(int(values.max()), -int(values.min()))
    longest = int(np.diff(starts, append=len(values)).max())
    if largest * longest >= 2**63:
        exact = np.add.reduceat(values[order].astype(np.float64), starts)
        if np.abs(exact).max() >= 2.0**62:
            raise OverflowError("a count comes near the end of 64 bits")
    return gather.sum_runs(values, order, starts)


def _carry(spec: TableSpec, columns: dict[str, Column]) -> None:
    """Move what the low halves of wide values hold above `LOW_BITS` into their high halves."""
    previous = ""
    for name, kind in spec.columns:
        if kind is Kind.WIDE_HIGH:
            low = columns[previous]
            columns[name] = columns[name] + (low >> LOW_BITS)
            columns[previous] = low & (2**LOW_BITS - 1)
        previous = name


def _without_higher(tables: Sequence[CountTable]) -> list[CountTable]:
    """The tables without rows that `_keep_lowest` would drop, before their bytes are copied; not all such rows go."""
    spec = tables[0].spec
    domain_name, hash_name = spec.sort_columns[:2]
    domain = np.concatenate([table.columns[domain_name] for table in tables])
    first = np.concatenate([table.columns[hash_name] for table in tables])
    order = np.lexsort((first, domain))
    domain, first = domain[order], first[order]
    new = np.ones(len(order), bool)
    new[1:] = (first[1:] != first[:-1]) | (domain[1:] != domain[:-1])
    distinct = np.cumsum(new)
    rank = distinct - distinct[np.searchsorted(domain, domain, side="left")]
    kept = np.empty(len(order), bool)
    kept[order] = rank < spec.keep_per_domain
    ends = np.cumsum([len(table) for table in tables])
    return [_filtered(table, rows) for table, rows in zip(tables, np.split(kept, ends[:-1]), strict=True)]


def _filtered(table: CountTable, kept: np.ndarray) -> CountTable:
    if kept.all():
        return table
    rows = np.flatnonzero(kept)
    return CountTable(
        table.spec,
        {n: c.take(pa.array(rows)) if isinstance(c, pa.Array) else c[rows] for n, c in table.columns.items()},
    )


def _keep_lowest(table: CountTable) -> CountTable:
    """The first `keep_per_domain` rows of every domain; rows are sorted by domain first."""
    domain = table.columns[table.spec.columns[0][0]]
    starts = np.searchsorted(domain, domain, side="left")
    kept = np.arange(len(domain)) - starts < table.spec.keep_per_domain
    return _filtered(table, kept)


def cells(domain: np.ndarray, number: np.ndarray) -> np.ndarray:
    """uint64 [N] cells of domain positions and numbers below 2^32."""
    return (domain.astype(np.uint64) << np.uint64(32)) | number.astype(np.uint64)


def split_cells(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(domain positions, numbers), int64 [N] each, of cells."""
    return (cell >> np.uint64(32)).astype(np.int64), (cell & np.uint64(0xFFFFFFFF)).astype(np.int64)


def wide(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) halves of non-negative int64 values, as wide columns hold them."""
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
        if kind in (Kind.DOMAIN, Kind.FIRST_DOMAIN):
            columns[name] = positions[columns[name]]
        elif kind is Kind.CELL:
            cell = columns[name]
            domain = positions[(cell >> np.uint64(32)).astype(np.int64)].astype(np.uint64)
            columns[name] = (domain << np.uint64(32)) | (cell & np.uint64(0xFFFFFFFF))
    return CountTable(table.spec, columns, table.counts)


def merge_streams(streams: Sequence[Iterator[CountTable]], spec: TableSpec) -> Iterator[CountTable]:
    """Merge sorted streams of chunks in memory bounded by one chunk a stream.

    Each stream yields chunks whose rows are sorted and whose keys increase from chunk to chunk. Yields merged chunks in
    key order; all rows of one value of the first key are in one of them, and so of one domain where `keep_per_domain`
    counts rows.
    """
    key = spec.sort_columns[0]
    heads: list[CountTable | None] = [_next_chunk(stream) for stream in streams]
    while True:
        live = [head for head in heads if head is not None]
        if not live:
            return
        # Rows below the smallest last key are complete: no stream has more of them to come.
        limit = min(head.columns[key][-1] for head in live)
        ready: list[CountTable] = []
        for i, head in enumerate(heads):
            while head is not None and head.columns[key][0] <= limit:
                stop = int(np.searchsorted(head.columns[key], limit, side="right"))
                ready.append(head.slice(0, stop))
                head = head.slice(stop, len(head)) if stop < len(head) else _next_chunk(streams[i])
            heads[i] = head
        yield merge(ready)


def _next_chunk(stream: Iterator[CountTable]) -> CountTable | None:
    return next((chunk for chunk in stream if len(chunk)), None)
