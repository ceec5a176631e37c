"""Labels (ids, facets, clusters) as text and as dictionaries, and the Arrow types that hold text."""

from __future__ import annotations

import re
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.documents.hosts import origins, url_hosts
from corpus_audit.schemas.tables.run_tables import NO_VALUE

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def encode_labels(values: pa.Array, hosts: bool = False) -> pa.DictionaryArray:
    """A column as a dictionary of its values as text (see `label_text`); it may contain null, "" and duplicates.

    Args:
        values: [N], anything that `is_scalar` accepts.
        hosts: whether the values are URLs, of which the hosts are kept.
    """
    if pa.types.is_dictionary(values.type) and len(values.dictionary) > len(values):
        values = label_text(values)
    if not pa.types.is_dictionary(values.type):
        values = _dictionary_of(origins(label_text(values)) if hosts else values)
    distinct = label_text(values.dictionary)
    return pa.DictionaryArray.from_arrays(values.indices, url_hosts(distinct) if hosts else distinct, safe=False)


def facet_of(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    """The facet of labels from `encode_labels`: distinct strings, int32 indices, null and empty as `NO_VALUE`."""
    distinct = pc.fill_null(encoded.dictionary, NO_VALUE)
    distinct = pc.if_else(pc.equal(distinct, ""), NO_VALUE, distinct)
    indices = encoded.indices
    if indices.null_count:
        distinct = pa.concat_arrays([distinct, pa.array([NO_VALUE], distinct.type)])
        indices = pc.fill_null(indices.cast(pa.int32()), len(distinct) - 1)
    merged = pc.dictionary_encode(distinct)
    if len(merged.dictionary) != len(distinct):
        indices, distinct = merged.indices.take(indices), merged.dictionary
    return pa.DictionaryArray.from_arrays(indices.cast(pa.int32()), distinct.cast(pa.string()))


def keys_of(encoded: pa.DictionaryArray) -> pa.LargeStringArray:
    """One cluster key per row of labels from `encode_labels`; null where the label is null or empty."""
    distinct = pc.if_else(pc.equal(encoded.dictionary, ""), pa.scalar(None, pa.large_string()), encoded.dictionary)
    return distinct.take(encoded.indices)


def constant_labels(value: str, rows: int) -> pa.DictionaryArray:
    """One value for every row, in the form that `encode_labels` returns."""
    indices = pa.repeat(pa.scalar(0, pa.int32()), rows)
    return pa.DictionaryArray.from_arrays(indices, pa.array([value], pa.large_string()))


def _dictionary_of(values: pa.Array) -> pa.DictionaryArray:
    try:
        return pc.dictionary_encode(values)
    except pa.ArrowNotImplementedError:  # such as of 16-bit floats
        return pc.dictionary_encode(label_text(values))


def is_text(type_: pa.DataType) -> bool:
    """Whether an Arrow type counts as text: strings and binaries in any layout."""
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
    """Whether values of an Arrow type can be written as text: text, numbers, booleans, dates, or the null type."""
    types = pa.types
    if types.is_dictionary(type_):
        return is_scalar(type_.value_type)
    if isinstance(type_, pa.BaseExtensionType):
        return is_scalar(type_.storage_type)
    return bool(is_text(type_) or types.is_primitive(type_) or types.is_decimal(type_) or types.is_null(type_))


def check_label_type(type_: pa.DataType) -> None:
    """Check that values of a type can be written as text.

    Raises:
        ValueError: they cannot; the message says why.
    """
    if not is_scalar(type_):
        raise ValueError("its values cannot be written as text")
    value_type = type_.value_type if pa.types.is_dictionary(type_) else type_
    try:
        label_text(pa.nulls(1, value_type))
        if pa.types.is_timestamp(value_type):  # a time zone is looked up when there is a time
            label_text(pa.array([0], pa.int64()).cast(value_type))
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def decoded(values: pa.DictionaryArray) -> pa.Array:
    """A dictionary array decoded to its values; string views become large_string, because Arrow cannot decode them."""
    dictionary = values.dictionary
    if pa.types.is_string_view(dictionary.type) or pa.types.is_binary_view(dictionary.type):
        return to_text(dictionary).take(values.indices)
    return values.dictionary_decode()


def to_text(values: pa.Array) -> pa.Array:
    """Text of any layout (see `is_text`) or nulls as large_string; bytes are taken as they are, UTF-8 or not."""
    if pa.types.is_dictionary(values.type):
        values = decoded(values)
    type_ = values.type
    if pa.types.is_large_string(type_):
        return values
    if not is_text(type_) or pa.types.is_string(type_):
        return values.cast(pa.large_string())
    raw = values.cast(pa.large_binary())
    return pa.Array.from_buffers(pa.large_string(), len(raw), raw.buffers(), raw.null_count, raw.offset)


def label_text(values: pa.Array) -> pa.LargeStringArray:
    """Values as large_string of valid UTF-8, nulls kept; no value makes its document a dead letter.

    Bytes that are not UTF-8 are written as hexadecimal digits, UUIDs in their usual form, all other types as Arrow
    casts them to text.

    Args:
        values: [N], of a type that `check_label_type` accepts.

    Raises:
        pa.ArrowException: another type.
    """
    if pa.types.is_dictionary(values.type):
        values = decoded(values)
    if isinstance(values.type, pa.BaseExtensionType):
        is_uuid, values = isinstance(values.type, pa.UuidType), values.storage
        if is_uuid:
            return pa.array([v and str(UUID(bytes=v)) for v in values.to_pylist()], pa.large_string())
    if not is_text(values.type):
        return values.cast(pa.large_string())
    text = to_text(values)
    fixed = pa.types.is_fixed_size_binary(values.type)
    if not fixed:
        try:
            text.validate(full=True)
        except pa.ArrowInvalid:
            pass
        else:
            return text
    return pa.array(
        [_label_from_bytes(value, fixed) for value in text.cast(pa.large_binary()).to_pylist()], pa.large_string()
    )


def _label_from_bytes(value: bytes | None, fixed: bool) -> str | None:
    """A label's bytes as text, or in hexadecimal: also if a digest of fixed size happens to be UTF-8, which control
    characters in it show."""
    if value is None:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
    return value.hex() if fixed and _CONTROL.search(text.rstrip("\0")) else text
