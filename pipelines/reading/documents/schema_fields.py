"""Finds the field of a columnar schema that a dotted path names."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard

_MAX_SHOWN_COLUMNS = 40


def resolve_field(shard: Shard, schema: pa.Schema, path: str) -> tuple[str, ...]:
    """The components of a dotted path: a column's name as it stands, or a column and nested struct fields.

    Raises:
        ShardError: there is no such field, or two columns have that name; the message lists the columns.
    """
    if schema.names.count(path) > 1:
        raise ShardError(shard, f"has more than one column named {path!r}")
    if path in schema.names:
        return (path,)
    parts = tuple(path.split("."))
    type_: pa.DataType = pa.struct(list(schema))
    for part in parts:
        if not pa.types.is_struct(type_) or type_.get_field_index(part) < 0:
            existing = [name for field in schema for name in _leaves(field)]
            listed = ", ".join(existing[:_MAX_SHOWN_COLUMNS]) + (", …" if len(existing) > _MAX_SHOWN_COLUMNS else "")
            raise ShardError(shard, f"has no column {path!r}; it has: {listed or 'none'}")
        type_ = type_.field(part).type
    return parts


def _leaves(field: pa.Field) -> list[str]:
    if pa.types.is_struct(field.type):
        return [f"{field.name}.{name}" for child in field.type for name in _leaves(child)]
    return [field.name]
