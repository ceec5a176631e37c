"""Merges count tables: in memory, and as streams of chunks in bounded memory.

A corpus of any size is counted with a bounded amount of memory, because tables of equal shape merge exactly::

    blocks of a split    [ ] [ ] [ ] [ ] [ ] [ ]    counted one by one in memory
                          |   |   |   |   |   |
                          +---+---+   +---+---+     `merge`; past some million rows `measures.base.Accumulator` writes
                              |           |         its tables to a sorted file and continues with none in memory
    sorted files            [   ]       [   ]
                              +-----+-----+         `merge_streams`: of each file a chunk at a time is in memory;
                                    |               more than some tens of files are merged as a tree
    partial profile              [     ]            of a split, of a shard, and in the end of the corpus

1. Rows of all parts one after the other, and an order of them by keys and ties (`sort_order`); or, for cells that lie
   close together, no order but a dense array of sums (`kernels.counters.dense`), which takes a pass a column.
2. Runs of equal keys become one row: sums are added and checked for overflow, wide sums carry, masks of groups are
   united with their counts, and everything else is that of the first row in the order of keys and ties.
3. Where a domain keeps its lowest rows only, those beyond are dropped, as early as that is safe.

Sums are associative and commutative, and so is "the first row in key and tie order"; therefore every measure is exact
and the same for any sharding, number of workers and order of merging. The laws are tested once, for this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.counters import gather, sparse
from corpus_audit.pipelines.kernels.counters.dense import DenseMerge
from corpus_audit.pipelines.storage.count_tables import LOW_BITS, Column, ColumnKind, CountTable, TableSpec, concatenate

_MANY_KEYS = 500_000
"""Keys of lowest rank that `highest_kept` collects before it sorts them."""


def sort_order(columns: Sequence[np.ndarray]) -> np.ndarray:
    """The stable order of rows by several columns of non-negative integers, int64 [N].

    Sorts by one number made of the first columns' leading bits, then repairs runs of equal numbers only.
    """
    first, complete = _leading_bits(columns)
    order = np.argsort(first, kind="stable")
    if complete or len(first) < 2:
        return order
    # Few rows have equal leading bits; only those are sorted by all columns.
    values = first[order]
    equal = values[1:] == values[:-1]
    if not equal.any():
        return order
    tied = np.empty(len(first), bool)
    tied[0] = equal[0]
    tied[1:-1] = equal[1:] | equal[:-1]
    tied[-1] = equal[-1]
    positions = np.flatnonzero(tied)
    rows = order[positions]
    order[positions] = rows[np.lexsort([c[rows] for c in reversed(columns)])]
    return order


def _leading_bits(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, bool]:
    """uint64 [N] with the order of the first column and, as far as 64 bits allow, the second; whether that is exact."""
    first = columns[0].view(np.uint64)
    if len(columns) == 1 or not len(first):
        return first, len(columns) == 1
    second = columns[1].view(np.uint64)
    free_bits = 64 - int(first.max()).bit_length()
    if free_bits == 0:
        return first, False
    excess = max(0, int(second.max()).bit_length() - free_bits)
    width = min(free_bits, int(second.max()).bit_length())
    packed: np.ndarray = (first << np.uint64(width)) | (second >> np.uint64(excess))
    return packed, len(columns) == 2 and excess == 0


def merge(tables: Sequence[CountTable]) -> CountTable:
    """One table with one row a key, sorted; the steps are those of the module's docstring.

    Raises:
        OverflowError: a sum comes within a factor of two of the largest int64.
    """
    # Step 1. Tables that keep a domain's lowest rows hold long byte strings: rows that are sure to be dropped go before
    # they are copied (step 3).
    spec = tables[0].spec
    if spec.is_additive and (dense := _merge_dense(tables)) is not None:
        return dense
    if spec.keep_per_domain and len(tables) > 1:
        tables = _without_higher(tables)
    table = concatenate(tables)
    if len(table) == 0:
        return table
    order = sort_order([table.columns[name] for name in spec.sort_columns])
    # Step 2: a run starts where any key differs from that of the row before.
    keys = [gather.take(table.columns[name], order) for name in spec.keys]
    starts_mask = np.empty(len(order), bool)
    starts_mask[0] = True
    changed = keys[0][1:] != keys[0][:-1]
    for key in keys[1:]:
        changed |= key[1:] != key[:-1]
    starts_mask[1:] = changed
    starts = np.flatnonzero(starts_mask)
    firsts = order[starts]
    in_order = len(starts) == len(order) and bool((order[1:] > order[:-1]).all())
    columns: dict[str, Column] = {}
    counts = None
    for name, kind in spec.columns:
        column = table.columns[name]
        if kind is ColumnKind.BYTES:  # long strings are not copied where every row stays where it is
            columns[name] = column if in_order else column.take(pa.array(firsts))
        elif kind in (ColumnKind.SUM, ColumnKind.WIDE_HIGH):
            columns[name] = _sums(column, order, starts)
        elif kind is ColumnKind.GROUPS:
            assert table.counts is not None
            columns[name], counts = sparse.merge_groups(column, table.counts, order, starts)
        else:
            columns[name] = gather.take(column, firsts)
    _carry(spec, columns)
    merged = CountTable(spec, columns, counts)
    return _keep_lowest(merged) if spec.keep_per_domain else merged


def _merge_dense(tables: Sequence[CountTable]) -> CountTable | None:
    """Merge tables of cells without sorting; None if that does not pay or a sum might not fit into 64 bits."""
    spec = tables[0].spec
    tables = [table for table in tables if len(table)]
    if len(tables) < 2:
        return None
    cells_of = [table.columns[spec.keys[0]] for table in tables]
    # The counts of groups are read in step with the rows, so each table must list a cell once, and in order.
    if any((cells[1:] <= cells[:-1]).any() for cells in cells_of) or not DenseMerge.is_cheaper(cells_of):
        return None
    for name, kind in spec.columns:
        sums = kind in (ColumnKind.SUM, ColumnKind.WIDE_HIGH)
        if sums and not DenseMerge.fits([table.columns[name] for table in tables]):
            return None
    merge_ = DenseMerge(cells_of)
    columns: dict[str, Column] = {}
    counts = None
    for name, kind in spec.columns:
        if kind in (ColumnKind.SUM, ColumnKind.WIDE_HIGH):
            columns[name] = merge_.sums([table.columns[name] for table in tables])
        elif kind is ColumnKind.GROUPS:
            parts = [table.counts for table in tables if table.counts is not None]
            columns[name], counts = merge_.groups([table.columns[name] for table in tables], parts)
        else:
            columns[name] = merge_.cells
    _carry(spec, columns)
    return CountTable(spec, columns, counts)


def _sums(values: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums, int64 [M], of ``values[order]`` over runs that begin at ``starts``; raises instead of wrapping around.

    No sum can overflow if the largest value times the longest run fits. Only if it does not are the sums computed a
    second time, as floats: exact enough to detect one that is close to the largest int64.
    """
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
    """Carry the bits above `LOW_BITS` of the low halves of wide values into their high halves."""
    previous = ""
    for name, kind in spec.columns:
        if kind is ColumnKind.WIDE_HIGH:
            low = columns[previous]
            columns[name] = columns[name] + (low >> LOW_BITS)
            columns[previous] = low & (2**LOW_BITS - 1)
        previous = name


def _without_higher(tables: Sequence[CountTable]) -> list[CountTable]:
    """Drop most rows that `_keep_lowest` would drop, before their byte strings are copied."""
    spec = tables[0].spec
    domain_name, hash_name = spec.sort_columns[:2]
    domain = np.concatenate([table.columns[domain_name] for table in tables])
    first = np.concatenate([table.columns[hash_name] for table in tables])
    order = np.lexsort((first, domain))
    domain, first = domain[order], first[order]
    # Ranks count distinct hashes, not rows: rows of one hash become one when they are merged, and a rank by rows would
    # drop rows that belong to the lowest after that.
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


def highest_kept(parts: Iterable[tuple[np.ndarray, np.ndarray]], domains: int, kept: int) -> np.ndarray:
    """The highest key that a merged table of lowest keys can hold in each domain, uint64 [domains]; 2^64 - 1 where it
    holds all of them.

    Args:
        parts: (domain, key), int64 [N] and uint64 [N], of the rows of each table.
        domains: how many there are.
        kept: rows kept a domain; rows of one key may become one.
    """
    domain, key = np.empty(0, np.int64), np.empty(0, np.uint64)
    pending = [(domain, key)]
    for part in parts:
        pending.append(part)
        if sum(len(own) for own, _ in pending) > _MANY_KEYS + 2 * len(domain):  # bounded, and few sorts of all
            domain, key, _ = _lowest_keys(pending, kept)
            pending = [(domain, key)]
    domain, key, rank = _lowest_keys(pending, kept)
    limits = np.full(domains, np.uint64(2**64 - 1))
    last = rank == kept - 1
    limits[domain[last]] = key[last]
    return limits


def _lowest_keys(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], kept: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(domain, key, rank in the domain) of the distinct keys of lowest rank, sorted."""
    domain, key = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((key, domain))
    domain, key = domain[order], key[order]
    new = np.ones(len(order), bool)
    new[1:] = (key[1:] != key[:-1]) | (domain[1:] != domain[:-1])
    domain, key = domain[new], key[new]
    rank = np.arange(len(domain)) - np.searchsorted(domain, domain, side="left")
    lowest = rank < kept
    return domain[lowest], key[lowest], rank[lowest]


def merge_streams(streams: Sequence[Iterator[CountTable]], spec: TableSpec) -> Iterator[CountTable]:
    """Merge sorted streams of chunks, with about a chunk of each stream in memory.

    Each stream yields chunks whose rows are sorted and whose keys increase from chunk to chunk::

        stream 0   [1  3  5][7  9 ...        limit = 5, the smallest last key in memory: no stream has rows up to it
        stream 1   [2  5  8][9 ...           that are still to come
        stream 2   [4  6  9][...             merged: 1 3 5, 2 5 and 4; left over: 8 and 6 9

    A chunk that is used up is followed by the next of its stream, of which rows of the same key are merged too.

    Yields:
        Merged chunks in key order; all rows of one value of the first key are in one of them, and so are those of one
        domain where `keep_per_domain` counts rows.
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
