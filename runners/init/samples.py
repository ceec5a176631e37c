"""Sample a snapshot: some rows of some shards, flattened into columns with dotted names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.reading.documents.facets import is_text, to_text
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat

SHARDS = 8
"""Shards that are sampled, evenly spaced in the order of their names."""

ROWS = 100
"""Rows that are sampled in each part of a shard; at most three parts (first, middle, last)."""

VALUE_CHARACTERS = 2_000
"""Characters of a text that a sample keeps."""

_HEAD_BYTES = 8 * 2**20  # of a JSON lines file: `ROWS` rows, unless they are very long
_DEPTH = 8  # of nested objects that are looked into

Row = list[tuple[str, Any]]
"""Names and values of one row."""

TEXT, INTEGER, MESSAGES = "text", "integer", "messages"
"""Kinds of values that choices are made by; others are named by their types."""

_PARTS = ({"role", "content"}, {"from", "value"})  # of a message, as chat data sets name them


@dataclass(frozen=True, slots=True)
class Other:
    """A value that is neither text nor an integer, of which only the kind is kept.

    Attributes:
        kind: such as ``number``, ``list`` or `MESSAGES`.
    """

    kind: str


@dataclass(slots=True)
class Column:
    """Values of one column, nulls left out; texts are cut at `VALUE_CHARACTERS`."""

    name: str
    values: list[Any] = field(default_factory=list)
    shards: set[str] = field(default_factory=set)

    @property
    def is_text(self) -> bool:
        """Whether there are values and all are texts."""
        return bool(self.values) and all(isinstance(value, str) for value in self.values)

    @property
    def texts(self) -> list[str]:
        """The values that are texts."""
        return [value for value in self.values if isinstance(value, str)]

    @property
    def kinds(self) -> Counter[str]:
        """How many values there are of each kind."""
        return Counter(map(kind_of, self.values))

    @property
    def kinds_text(self) -> str:
        """The kinds in words, the most frequent first: ``text``, or ``119 text, 1 integer``."""
        kinds = self.kinds.most_common()
        return kinds[0][0] if len(kinds) == 1 else ", ".join(f"{count} {kind}" for kind, count in kinds) or "null"

    def share_of(self, kind: str) -> float:
        """Share of the values that are of a kind, 0 to 1."""
        return self.kinds[kind] / len(self.values) if self.values else 0.0

    @property
    def mean_length(self) -> float:
        """Mean length of the texts, in characters; 0 where there is none."""
        return sum(map(len, self.texts)) / max(1, len(self.texts))

    @property
    def spaced(self) -> float:
        """Share of the texts that have white space, or letters of a script that may do without, 0 to 1."""
        texts = self.texts
        return sum(not text.isascii() or bool(re.search(r"\s", text)) for text in texts) / max(1, len(texts))

    @property
    def depth(self) -> int:
        """How deep it is nested; 0 is the top level."""
        return self.name.count(".")


def kind_of(value: Any) -> str:
    """What a value is: `TEXT`, `INTEGER`, `MESSAGES`, or the name of another type."""
    if isinstance(value, Other):
        return value.kind
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bytes):
        return "binary"
    if isinstance(value, int) and not isinstance(value, bool):
        return INTEGER
    if isinstance(value, list):
        first = next((item for item in value if item is not None), None)
        if isinstance(first, dict) and any(parts <= first.keys() for parts in _PARTS):
            return MESSAGES
        return "list" if first is None else f"list of {kind_of(first)}"
    names = {bool: "boolean", float: "number", dict: "object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _arrow_kind(type_: pa.DataType) -> str:
    """The same of an Arrow type."""
    types = pa.types
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        inner = type_.value_type
        if types.is_struct(inner) and any(parts <= {field.name for field in inner} for parts in _PARTS):
            return MESSAGES
        return f"list of {_arrow_kind(inner)}"
    if is_text(type_):
        return TEXT
    for is_kind, name in (
        (types.is_integer, INTEGER),
        (types.is_floating, "number"),
        (types.is_boolean, "boolean"),
        (types.is_struct, "object"),
    ):
        if is_kind(type_):
            return name
    return str(type_)


@dataclass(slots=True)
class SnapshotSample:
    """Rows of a snapshot, by column.

    Attributes:
        columns: by dotted name, in the order they were met.
        rows: rows that were sampled.
        shards: names of the shards that the rows are from.
        unreadable: (name, reason) of sampled shards that gave no row.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    rows: int = 0
    shards: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def sample_snapshot(
    shards: list[Shard], rows_of: Callable[[Shard], Iterator[Row] | None] = lambda shard: None
) -> SnapshotSample:
    """Sample up to `SHARDS` shards; one that cannot be read is listed as unreadable, and no error is raised.

    Args:
        shards: the shards.
        rows_of: the rows of a shard of another format than those of texts; None for these.
    """
    count = min(SHARDS, len(shards))
    selected = [shards[index * len(shards) // count] for index in range(count)]
    sample = SnapshotSample()
    for shard in selected:
        try:
            rows = list(rows_of(shard) or _rows(shard))
        except (OSError, pa.ArrowException, EOFError, ShardError) as error:
            sample.unreadable.append((shard.name, " ".join(str(error).split())[:200]))
            continue
        if not rows:
            sample.unreadable.append((shard.name, "it has no rows"))
            continue
        sample.shards.append(shard.name)
        sample.rows += len(rows)
        for row in rows:
            for name, value in row:
                column = sample.columns.setdefault(name, Column(name))
                column.shards.add(shard.name)
                if value is not None:
                    column.values.append(_shortened(value))
    return sample


def _shortened(value: Any) -> Any:
    """What a sample keeps of a value: the beginning of a text, an integer, the kind of any other value."""
    if isinstance(value, str):
        return _cut(value)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return value if is_integer or isinstance(value, Other | bytes) else Other(kind_of(value))


def _cut(text: str) -> str:
    """The beginning of a text; lone surrogates, which JSON can spell, become question marks."""
    return text[:VALUE_CHARACTERS].encode(errors="replace").decode()


def _rows(shard: Shard) -> Iterator[Row]:
    if shard.format is ShardFormat.PARQUET:
        import pyarrow.parquet as pq

        with pq.ParquetFile(filesystems.open_arrow(shard.path)) as file:
            for group in _spread(file.num_row_groups):
                for batch in file.iter_batches(batch_size=ROWS, row_groups=[group]):
                    yield from _batch_rows(batch)
                    break
    elif shard.format is ShardFormat.ARROW:
        yield from _arrow_rows(shard.path)
    else:
        yield from _json_rows(shard)


def _spread(count: int) -> list[int]:
    return sorted({0, count // 2, count - 1}) if count else []


def _arrow_rows(path: str) -> Iterator[Row]:
    with filesystems.open_arrow(path) as file:
        if file.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(file)
            for index in _spread(reader.num_record_batches):
                yield from _batch_rows(reader.get_batch(index).slice(0, ROWS))
        else:
            file.seek(0)
            for batch in pa.ipc.open_stream(file):
                yield from _batch_rows(batch.slice(0, ROWS))
                return


def _batch_rows(batch: pa.RecordBatch) -> list[Row]:
    columns = [
        leaf for name, array in zip(batch.schema.names, batch.columns, strict=True) for leaf in _leaves(name, array, 0)
    ]
    return [[(name, values[row]) for name, values in columns] for row in range(batch.num_rows)]


def _leaves(name: str, array: pa.Array, depth: int) -> Iterator[tuple[str, list[Any]]]:
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if pa.types.is_struct(kind) and depth < _DEPTH:
        for child, values in zip(kind, array.flatten(), strict=True):
            yield from _leaves(f"{name}.{child.name}", values, depth + 1)
        return
    if is_text(kind):
        yield name, _texts(to_text(array).cast(pa.large_binary()).to_pylist())
    elif pa.types.is_integer(kind):
        yield name, array.to_pylist()
    else:
        other = Other(_arrow_kind(kind))
        yield name, [other if valid else None for valid in array.is_valid().to_pylist()]


def _texts(values: list[bytes | None]) -> list[str | bytes | None]:
    """Texts where all are UTF-8 or nearly so: one bad value must not hide a text column, nor noise look like one."""
    texts = [None if value is None else value.decode(errors="replace") for value in values]
    bad = sum("\ufffd" in text for text in texts if text is not None)
    return list(texts) if bad * 10 <= len(texts) else list(values)


def _json_rows(shard: Shard) -> Iterator[Row]:
    compression = {ShardFormat.JSONL_GZ: "gzip", ShardFormat.JSONL_ZST: "zstd"}.get(shard.format)
    with filesystems.open_arrow(shard.path) as file:
        stream = pa.CompressedInputStream(file, compression) if compression else file
        head = stream.read(_HEAD_BYTES)
    lines = head.split(b"\n")
    if len(head) == _HEAD_BYTES:
        lines.pop()
    for line in lines[:ROWS]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield flat_row(value)


def flat_row(value: dict[str, Any]) -> Row:
    """An object as a row: its fields by dotted names."""
    return list(_flat("", value, 0))


def _flat(prefix: str, mapping: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, dict) and depth < _DEPTH:
            yield from _flat(f"{prefix}{key}.", value, depth + 1)
        else:
            yield f"{prefix}{key}", value
