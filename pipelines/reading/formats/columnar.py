"""Turns record batches of a columnar shard into documents; shared by Parquet and Arrow IPC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.reading.documents.assembly import BATCH_BYTES, EXCERPT_BYTES, Assembler, Fields
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.facets import check_label_type, decoded, is_text, label_text, to_text
from corpus_audit.pipelines.reading.documents.image_columns import ImageColumn, ImageValues
from corpus_audit.pipelines.reading.documents.schema_fields import resolve_field
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.expansion import ExpansionGuard
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard


class ColumnarReader:
    """Turns the record batches of one split into documents."""

    def __init__(self, shard: Shard, schema: pa.Schema, settings: ReadSettings, tally: SplitTally) -> None:
        self.fields = Fields.of(shard, settings)
        self.field_paths = {path: resolve_field(shard, schema, path) for path in self.fields.columns}
        self.guard = ExpansionGuard(shard, settings.limits)
        self._shard = shard
        self._limit = settings.limits.document_bytes
        self._images = None
        if settings.document.image is not None:
            self._images = ImageColumn(shard, schema, settings.document.image, settings.images.max_bytes)
        self._tally = tally
        self._assembler = Assembler(self.fields, settings, tally)
        self._check_types(schema)

    @property
    def paths(self) -> list[tuple[str, ...]]:
        """The components of the paths of all columns that are read."""
        return [*self.field_paths.values(), *([] if self._images is None else [self._images.parts])]

    def documents(self, batch: pa.RecordBatch) -> Iterator[DocumentBatch]:
        """The documents of the next record batch, in slices of about `BATCH_BYTES` of text.

        Raises:
            ShardError: the split decodes to more than its bound.
        """
        columns = {path: _flat(_extract(batch, parts)) for path, parts in self.field_paths.items()}
        images = None if self._images is None else self._images.of(_extract(batch, self._images.parts))
        sized = columns if images is None else {**columns, "": images.values}
        for start, stop, size in _slices(sized, len(batch)):
            self.guard.add(size)
            rows = np.arange(self._tally.rows, self._tally.rows + stop - start, dtype=np.int64)
            self._tally.rows += stop - start
            part = {path: column.slice(start, stop - start) for path, column in columns.items()}
            documents = self._slice(part, rows, None if images is None else images.slice(start, stop))
            if documents is not None:
                yield documents

    def _slice(
        self, columns: dict[str, pa.Array], rows: np.ndarray, images: ImageValues | None
    ) -> DocumentBatch | None:
        if self.fields.text is None:
            text = pa.nulls(len(rows), pa.large_string())
        else:
            columns[self.fields.text] = text = to_text(columns[self.fields.text])
        sizes = text_lengths(text) + (0 if images is None else images.lengths)
        self._tally.row_bytes += int(sizes.sum())
        bad = self._unparsed(text) | ({} if images is None else images.too_large)
        if bad:
            binary = text.cast(pa.large_binary())
            for index, reason in sorted(bad.items()):
                data = binary[index].as_py() or b""
                if images is None:
                    self._assembler.reject(int(rows[index]), reason, data)
                else:
                    sha256 = images.sha256(index, data)
                    self._assembler.reject_digest(
                        int(rows[index]), reason, sha256, int(sizes[index]), data[:EXCERPT_BYTES]
                    )
            keep = np.ones(len(rows), dtype=bool)
            keep[list(bad)] = False
            rows, sizes = rows[keep], sizes[keep]
            columns = {path: _decoded(column).filter(pa.array(keep)) for path, column in columns.items()}
            text = text.filter(pa.array(keep)) if self.fields.text is None else columns[self.fields.text]
            images = None if images is None else images.filter(keep)
        if not len(rows):
            return None
        clauses = [_comparable(columns[path]) for path in self.fields.filtered]
        return self._assembler.assemble(
            rows,
            columns,
            clauses,
            lambda index: _bytes_of(text, index),
            images=None if images is None else images.of_rows(sizes),
        )

    def _unparsed(self, text: pa.Array) -> dict[int, DeadLetterReason]:
        bad: dict[int, DeadLetterReason] = {}
        lengths = text_lengths(text)
        if len(lengths) and lengths.max() > self._limit:
            bad = dict.fromkeys(map(int, np.flatnonzero(lengths > self._limit)), DeadLetterReason.TOO_LARGE)
        if not _valid(text):
            for index, value in enumerate(text.cast(pa.large_binary())):
                if value.is_valid and not _is_utf8(value.as_buffer()):
                    bad.setdefault(index, DeadLetterReason.INVALID_UTF8)
        return bad

    def _check_types(self, schema: pa.Schema) -> None:
        for path, parts in self.field_paths.items():
            type_ = schema.field(parts[0]).type
            for part in parts[1:]:
                type_ = type_.field(part).type
            value_type = type_.value_type if pa.types.is_dictionary(type_) else type_
            if path == self.fields.text and not (is_text(value_type) or pa.types.is_null(value_type)):
                raise ShardError(self._shard, f"its text column {path!r} has the type {type_}, not text")
            if path in self.fields.labels:
                try:
                    check_label_type(type_)
                except ValueError as error:
                    raise ShardError(
                        self._shard,
                        f"its column {path!r} has the type {type_}, which cannot be used as a label: {error}",
                    ) from error


def text_lengths(text: pa.Array) -> np.ndarray:
    """Bytes of each value, int64 [N], of a large_string or large_binary array (0 for most nulls)."""
    if text.buffers()[1] is None:  # an array of nulls alone may have no offsets
        return np.zeros(len(text), np.int64)
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
    return np.diff(offsets)


def _extract(batch: pa.RecordBatch, parts: tuple[str, ...]) -> pa.Array:
    column = batch.column(batch.schema.get_field_index(parts[0]))
    for part in parts[1:]:
        column = pc.struct_field(column, part)
    return column


def _flat(column: pa.Array) -> pa.Array:
    """Text as large_string, apart from fixed-size binary; dictionaries and other types unchanged."""
    return to_text(column) if is_text(column.type) and not pa.types.is_fixed_size_binary(column.type) else column


def _decoded(column: pa.Array) -> pa.Array:
    return _flat(decoded(column)) if pa.types.is_dictionary(column.type) else column


def _slices(columns: Mapping[str, pa.Array], rows: int) -> list[tuple[int, int, int]]:
    """Divide a batch into ranges of rows of about `BATCH_BYTES`: ``(start, stop, bytes)`` each.

    Bytes are those after dictionaries are looked up: a tiny batch can stand for gigabytes.
    """
    dictionaries = any(pa.types.is_dictionary(column.type) for column in columns.values())
    total = sum(column.nbytes for column in columns.values())
    if not dictionaries and total <= 2 * BATCH_BYTES:
        return [(0, rows, total)] if rows else []
    sizes = np.full(rows, 8, dtype=np.int64)
    for column in columns.values():
        sizes += _value_bytes(column)
    ends = np.cumsum(sizes)
    if rows and ends[-1] <= 2 * BATCH_BYTES:
        return [(0, rows, int(ends[-1]))]
    slices = []
    start = 0
    while start < rows:
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + BATCH_BYTES, side="right")), start + 1)
        slices.append((start, stop, int(ends[stop - 1]) - before))
        start = stop
    return slices


def _value_bytes(column: pa.Array) -> np.ndarray | int:
    if pa.types.is_dictionary(column.type):
        values = _flat(column.dictionary)
        if not pa.types.is_large_string(values.type):
            return 8
        lengths = np.append(text_lengths(values), 0)
        indices: np.ndarray = np.asarray(pc.fill_null(column.indices.cast(pa.int64()), len(lengths) - 1))
        return lengths.take(indices)
    if pa.types.is_fixed_size_binary(column.type):
        return int(column.type.byte_width)
    is_long = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    return text_lengths(column) if is_long else 8


def _comparable(column: pa.Array) -> pa.Array:
    """A column for a filter clause: text as `label_text` writes it, other types unchanged."""
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not is_text(values.type):
        return column
    is_view = pa.types.is_binary_view(values.type) or pa.types.is_string_view(values.type)
    return label_text(column) if is_view or not _valid(to_text(values)) else column


def _valid(text: pa.Array) -> bool:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_utf8(data: pa.Buffer) -> bool:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _bytes_of(text: pa.Array, index: int) -> bytes:
    return text[index].as_buffer().to_pybytes() if text[index].is_valid else b""
