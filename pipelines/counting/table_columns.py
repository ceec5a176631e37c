"""Columns of published tables, made from those of count tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.text.hashing import digests
from corpus_audit.pipelines.storage.count_tables import CountTable


def names_at(names: Sequence[str], positions: np.ndarray) -> pa.Array:
    """The names at ``positions``, as an Arrow array of strings."""
    return pa.array(list(names), pa.string()).take(pa.array(positions))


def hash_column(table: CountTable) -> pa.Array:
    """binary(16) of the content hashes of a table."""
    raw = digests(table.columns["high"], table.columns["low"])
    return pa.Array.from_buffers(pa.binary(16), len(table), [None, pa.py_buffer(raw.tobytes())])


def dictionary_column(names: Sequence[str], positions: np.ndarray) -> pa.DictionaryArray:
    """Names by their positions, encoded as a dictionary, so that a column of many rows has each name once."""
    return pa.DictionaryArray.from_arrays(pa.array(positions.astype(np.int32)), pa.array(list(names), pa.string()))


def optional_text(column: pa.Array) -> pa.Array:
    """Text, null where it is empty."""
    return pc.if_else(pc.equal(pc.binary_length(column), 0), pa.scalar(None, pa.string()), column.cast(pa.string()))


def list_column(column: pa.Array, packed: str, value_type: pa.DataType) -> pa.Array:
    """Lists from large binary values, each of which holds numbers of the numpy type ``packed`` one after another."""
    width = np.dtype(packed).itemsize
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    values = np.frombuffer(data, packed) if data else np.empty(0, packed)
    return pa.ListArray.from_arrays(pa.array((offsets // width).astype(np.int32)), pa.array(values, value_type))
