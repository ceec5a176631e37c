"""How the columns of a chunk of a count table are bytes in a partial: see `partials` for the file around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.counters import varint
from corpus_audit.pipelines.storage import count_tables
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec


class Buffer(NamedTuple):
    """An encoded column in a file: where it begins, its bytes there, its bytes decompressed, the values they encode."""

    offset: int
    stored: int
    size: int
    values: int
    compressed: int = 1


Read = Callable[[Buffer, int, int], np.ndarray]
"""The bytes from a start to a stop of a decompressed buffer, uint8."""


def encode(table: CountTable) -> Iterator[tuple[np.ndarray, int, bool]]:
    """(encoded bytes, values, whether to compress them) of every buffer of a chunk, in the order of the schema.

    A BYTES column has two buffers: lengths, then contents.
    """
    spec = table.spec
    first = spec.sort_columns[0]
    for name, kind in spec.columns:
        column = table.columns[name]
        compressed = spec.compressed and name not in spec.incompressible
        if kind is ColumnKind.BYTES:
            offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
            data = column.buffers()[2]
            bytes_ = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data else np.empty(0, np.uint8)
            yield varint.encode(np.diff(offsets).astype(np.uint64)), len(column), spec.compressed
            yield bytes_, len(bytes_), compressed
        elif name == first:
            values = column.view(np.uint64)
            yield varint.encode(np.diff(values, prepend=np.uint64(0))), len(values), compressed
        elif kind in (ColumnKind.KEY, ColumnKind.TIE, ColumnKind.GROUPS):
            yield np.ascontiguousarray(column, np.uint64).view(np.uint8), len(column), compressed
        else:
            yield varint.encode(np.ascontiguousarray(column).view(np.uint64)), len(column), compressed
    if table.counts is not None:
        yield varint.encode(table.counts.view(np.uint64)), len(table.counts), spec.compressed


def decode(
    spec: TableSpec, buffers: Sequence[Buffer], read: Read, limits: np.ndarray | None = None
) -> CountTable | None:
    """The rows of a chunk.

    Args:
        spec: the table's.
        buffers: of the chunk, in the order of `encode`.
        read: reads them.
        limits: uint64 [domains], the highest key that is wanted of each domain, by the second sort column of a table
            without groups whose first is the domain. The bytes of other rows are not read unless they are compressed.

    Returns:
        None if no row is wanted.
    """
    kept = None
    if limits is not None:
        domain, key = (decode_integers(spec, name, buffers, read) for name in spec.sort_columns[:2])
        kept = key <= limits[domain]
        if not kept.any():
            return None
        kept = None if kept.all() else kept
    columns: dict[str, count_tables.Column] = {}
    for name, (kind, position, _) in _first_buffers(spec).items():
        if kind is ColumnKind.BYTES:
            columns[name] = _decode_bytes(buffers[position], buffers[position + 1], read, kept)
        else:
            values = decode_integers(spec, name, buffers, read)
            columns[name] = values if kept is None else values[kept]
    counts = _varints(buffers[-1], read).view(np.int64) if spec.groups else None
    return CountTable(spec, columns, counts)


def decode_integers(spec: TableSpec, name: str, buffers: Sequence[Buffer], read: Read) -> np.ndarray:
    """One column of a chunk, not of bytes."""
    kind, position, in_differences = _first_buffers(spec)[name]
    if in_differences:
        return np.cumsum(_varints(buffers[position], read)).view(count_tables.dtype_of(kind))
    if kind in (ColumnKind.KEY, ColumnKind.TIE, ColumnKind.GROUPS):
        return read(buffers[position], 0, buffers[position].size).view(np.uint64)
    return _varints(buffers[position], read).view(count_tables.dtype_of(kind))


def _decode_bytes(lengths: Buffer, content: Buffer, read: Read, kept: np.ndarray | None) -> pa.LargeBinaryArray:
    sizes = _varints(lengths, read).astype(np.int64)
    if kept is None:
        data = read(content, 0, content.size)
    else:
        ends = np.concatenate([[0], np.cumsum(sizes)])
        changes = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))  # begin and end of runs, in turn
        data = np.concatenate([read(content, start, stop) for start, stop in ends[changes].reshape(-1, 2).tolist()])
        sizes = sizes[kept]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(sizes), buffers)


def _varints(buffer: Buffer, read: Read) -> np.ndarray:
    return varint.decode(read(buffer, 0, buffer.size), buffer.values)


@lru_cache
def _first_buffers(spec: TableSpec) -> dict[str, tuple[ColumnKind, int, bool]]:
    """Of each column its kind, the position of its first buffer in a chunk, and whether that holds differences."""
    result, position = {}, 0
    for name, kind in spec.columns:
        result[name] = kind, position, name == spec.sort_columns[0]
        position += 2 if kind is ColumnKind.BYTES else 1
    return result
