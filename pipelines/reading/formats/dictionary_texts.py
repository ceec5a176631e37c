"""Texts of Parquet columns as one object each: a dictionary may repeat a long one more often than memory could hold."""

from __future__ import annotations

import pyarrow as pa


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts, as such or in a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def text_columns(schema: pa.Schema) -> list[str]:
    """Names of the columns of texts, to be read with ``read_dictionary``."""
    return [column.name for column in schema if is_text(column.type)]


def listed(column: pa.Array) -> list[object]:
    """The values of a column; equal texts of a dictionary are one object."""
    if not isinstance(column, pa.DictionaryArray):
        return list(column.to_pylist())
    values = column.dictionary.to_pylist()
    return [None if code is None else values[code] for code in column.indices.to_pylist()]
