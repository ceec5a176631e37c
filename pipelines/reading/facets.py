"""Facet values as dictionaries, and the Arrow types that hold text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.hosts import origins, url_hosts
from corpus_audit.schemas.tables import NO_VALUE


def encode_facet(values: pa.Array, hosts: bool = False) -> pa.DictionaryArray:
    """A facet's column as a dictionary of distinct strings, int32 indices, null and empty as `NO_VALUE`.

    Args:
        values: [N], text, or anything that `is_scalar` accepts: it becomes its text.
        hosts: take the values for URLs and keep their hosts.
    """
    if pa.types.is_dictionary(values.type) and len(values.dictionary) > len(values):
        values = values.dictionary_decode()
    if not pa.types.is_dictionary(values.type):
        values = pc.dictionary_encode(origins(to_text(values)) if hosts else values)
    distinct = to_text(values.dictionary)
    if hosts:
        distinct = url_hosts(distinct)
    distinct = pc.fill_null(distinct, NO_VALUE)
    distinct = pc.if_else(pc.equal(distinct, ""), NO_VALUE, distinct)
    indices = values.indices
    if indices.null_count:
        distinct = pa.concat_arrays([distinct, pa.array([NO_VALUE], distinct.type)])
        indices = pc.fill_null(indices.cast(pa.int32()), len(distinct) - 1)
    merged = pc.dictionary_encode(distinct)
    if len(merged.dictionary) != len(distinct):
        indices, distinct = merged.indices.take(indices), merged.dictionary
    return pa.DictionaryArray.from_arrays(indices.cast(pa.int32()), distinct.cast(pa.string()))


def constant_facet(value: str, rows: int) -> pa.DictionaryArray:
    """The same value for every row."""
    indices = pa.repeat(pa.scalar(0, pa.int32()), rows)
    return pa.DictionaryArray.from_arrays(indices, pa.array([value or NO_VALUE]))


def is_text(type_: pa.DataType) -> bool:
    """Whether values of an Arrow type are taken for text: strings and binaries in any layout."""
    types = pa.types
    return bool(
        types.is_string(type_)
        or types.is_large_string(type_)
        or types.is_string_view(type_)
        or types.is_binary(type_)
        or types.is_large_binary(type_)
        or types.is_binary_view(type_)
        or types.is_fixed_size_binary(type_)
    )


def is_scalar(type_: pa.DataType) -> bool:
    """Whether values of an Arrow type have a text of their own: text, numbers, booleans, dates, or nothing but null."""
    if pa.types.is_dictionary(type_):
        return is_scalar(type_.value_type)
    types = pa.types
    return bool(is_text(type_) or types.is_primitive(type_) or types.is_decimal(type_) or types.is_null(type_))


def to_text(values: pa.Array) -> pa.Array:
    """Values as large_string, nulls kept; bytes are taken as they are, UTF-8 or not.

    Raises:
        pa.ArrowException: the type has no text (see `is_scalar`).
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    type_ = values.type
    if pa.types.is_large_string(type_):
        return values
    if pa.types.is_string(type_):
        return values.cast(pa.large_string())
    if is_text(type_):
        raw = values.cast(pa.large_binary())
        return pa.Array.from_buffers(pa.large_string(), len(raw), raw.buffers(), raw.null_count, raw.offset)
    return values.cast(pa.large_string())
