"""Reads JSON lines, plain, .gz or .zst: strictly and line by line, so that a bad line affects no other line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from corpus_audit.pipelines.reading.documents.assembly import BATCH_BYTES, Assembler, Fields
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.filters import value_kind
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.expansion import ExpansionGuard
from corpus_audit.pipelines.reading.formats.lines import LongLine, read_lines
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, Split
from corpus_audit.schemas.spec.audit import FilterClause

_CHUNK = 2**20
_EXACT_BELOW = 2.0**63  # from here on orjson may have rounded an integer to a float
_SAFE_DIGITS = 19  # an integer with fewer digits fits into 64 bits
_BOM = b"\xef\xbb\xbf"
_CODECS = {ShardFormat.JSONL_GZ: "gzip", ShardFormat.JSONL_ZST: "zstd"}
_ALLOWED: dict[str, frozenset[type]] = {
    "text": frozenset({str}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
}


def read_jsonl(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of the lines that start in ``[split.start, split.stop)`` (compressed: see `lines.read_lines`).

    Rows are the lines that are not blank. A byte-order mark at the file's start and CRLF are tolerated.

    Raises:
        ShardError, OSError: the compressed data is truncated, corrupt or a decompression bomb.
    """
    parser = _Parser(shard, settings, tally)
    pending: list[bytes | LongLine] = []
    size = 0
    with filesystems.open_arrow(shard.path) as file:
        guard = ExpansionGuard(shard, settings.limits)
        first = split.start == 0
        for lines in read_lines(
            *_parts(file, shard, split, guard), skip_first=not first, limit=settings.limits.document_bytes
        ):
            for line in lines:
                if type(line) is bytes:
                    if first:
                        line = line.removeprefix(_BOM)
                    if not line or line.isspace():
                        first = False
                        continue
                    size += len(line)
                first = False
                pending.append(line)
                if size >= BATCH_BYTES:
                    yield from parser.parse(pending)
                    pending, size = [], 0
    yield from parser.parse(pending)


def _parts(
    file: pa.NativeFile, shard: Shard, split: Split, guard: ExpansionGuard
) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """The decoded bytes of a split, and those that follow it.

    In plain files the bounds move one byte to the left: a line that starts at ``split.start`` follows a newline at the
    byte before it.
    """
    codec = _CODECS.get(shard.format)
    start, stop = split.start, split.stop
    if codec is None:
        start, stop = max(start - 1, 0), stop if stop == shard.size else stop - 1
    return _chunks(file, start, stop, codec, guard), _chunks(file, stop, shard.size, codec, guard)


def _chunks(file: pa.NativeFile, start: int, stop: int, codec: str | None, guard: ExpansionGuard) -> Iterator[bytes]:
    if start >= stop:
        return
    stream = file.get_stream(start, stop - start)
    if codec is None:
        while chunk := stream.read(_CHUNK):
            yield chunk
        return
    decoder = pa.CompressedInputStream(stream, codec)
    while chunk := decoder.read(_CHUNK):
        guard.add(len(chunk))
        yield chunk


class _Parser:
    """Parses the lines of one split."""

    def __init__(self, shard: Shard, settings: ReadSettings, tally: SplitTally) -> None:
        self._fields = Fields.of(shard, settings)
        self._clauses = settings.filter
        self._plain_labels = settings.plain_labels
        self._tally = tally
        self._assembler = Assembler(self._fields, settings, tally)
        self._getters = {path: _getter(path) for path in self._fields.columns}

    def parse(self, lines: Sequence[bytes | LongLine]) -> Iterator[DocumentBatch]:
        """The documents among the lines, as one batch or none."""
        rows: list[int] = []
        objects: list[dict[str, Any]] = []
        sources: list[bytes] = []
        reject = self._assembler.reject
        for row, line in enumerate(lines, start=self._tally.rows):
            if isinstance(line, LongLine):
                self._assembler.reject_digest(row, DeadLetterReason.TOO_LARGE, line.sha256, line.size, line.head)
                continue
            # orjson first, as it is the faster parser; what it rejects is read by the standard library, which says why.
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:
                value, reason = _read_again(line)
                if reason is not None:
                    reject(row, reason, line.removesuffix(b"\r"))
                    continue
            if type(value) is not dict:
                reject(row, DeadLetterReason.NOT_AN_OBJECT, line.removesuffix(b"\r"))
            elif self._clauses and self._mistyped_for_filter(value):
                reject(row, DeadLetterReason.WRONG_TYPE, line.removesuffix(b"\r"))
            else:
                rows.append(row)
                objects.append(value)
                sources.append(line)
        self._tally.rows += len(lines)
        self._tally.row_bytes += sum(map(_row_bytes, lines))
        if objects:
            batch = self._assemble(np.array(rows, dtype=np.int64), objects, sources)
            if batch is not None:
                yield batch

    def _assemble(self, rows: np.ndarray, objects: list[dict[str, Any]], sources: list[bytes]) -> DocumentBatch | None:
        mistyped = np.zeros(len(rows), dtype=bool)
        if self._plain_labels:
            for path in self._fields.labels:
                mistyped |= np.array([type(self._getters[path](value)) in (dict, list) for value in objects])
        get = self._getters
        columns = {
            path: _labels([get[path](value) for value in objects], sources, get[path]) for path in self._fields.labels
        }
        texts = [get[self._fields.text](value) for value in objects]
        columns[self._fields.text] = _texts(texts, mistyped)
        clauses = [_clause_column(clause, [get[clause.column](value) for value in objects]) for clause in self._clauses]
        return self._assembler.assemble(
            rows, columns, clauses, lambda index: sources[index].removesuffix(b"\r"), mistyped
        )

    def _mistyped_for_filter(self, value: dict[str, Any]) -> bool:
        for clause in self._clauses:
            allowed = _ALLOWED.get(value_kind(clause))
            field_value = self._getters[clause.column](value)
            if allowed is not None and field_value is not None and type(field_value) not in allowed:
                return True
        return False


def _row_bytes(line: bytes | LongLine) -> int:
    return line.size if isinstance(line, LongLine) else len(line) - line.endswith(b"\r")


def _getter(path: str) -> Callable[[dict[str, Any]], Any]:
    """A function that looks up a key as written or, if it has dots and is absent, along nested objects."""
    parts = path.split(".")
    if len(parts) == 1:
        return lambda value: value.get(path)

    def walk(value: Any) -> Any:
        if path in value:
            return value[path]
        for part in parts:
            if type(value) is not dict:
                return None
            value = value.get(part)
        return value

    return walk


def _texts(values: list[Any], mistyped: np.ndarray) -> pa.Array:
    for index, value in enumerate(values):
        if type(value) is not str and value is not None:
            mistyped[index] = True
            values[index] = None
    return pa.array(values, pa.large_string())


def _labels(values: list[Any], sources: list[bytes], get: Callable[[dict[str, Any]], Any]) -> pa.Array:
    """Values as text, as Arrow writes numbers and booleans; objects and lists as JSON.

    Args:
        values: the labels as orjson parsed them.
        sources: the lines that they come from.
        get: looks up the label in a parsed line.
    """
    for index, value in enumerate(values):
        kind = type(value)
        if kind is str or value is None:
            continue
        if kind is bool:
            values[index] = "true" if value else "false"
        elif kind is int:
            values[index] = str(value)
        elif kind is float and -_EXACT_BELOW < value < _EXACT_BELOW:
            values[index] = _float_text(value)
        elif kind is float:
            # orjson rounds integers beyond 64 bits, which may make two ids equal: parse the line again for the digits.
            number = get(json.loads(sources[index], parse_int=str, parse_float=_finite))
            values[index] = number if type(number) is str else _float_text(number)
        else:
            values[index] = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return pa.array(values, pa.large_string())


def _float_text(value: float) -> str:
    return str(pa.scalar(value).cast(pa.string()).as_py())


def _finite(digits: str) -> float | str:
    value = float(digits)
    return digits if math.isinf(value) else value


def _clause_column(clause: FilterClause, values: list[Any]) -> pa.Array:
    kind = value_kind(clause)
    if kind == "any":
        return pa.array([None if value is None else True for value in values], pa.bool_())
    if kind == "text":
        return pa.array(values, pa.large_string())
    if kind == "boolean":
        return pa.array(values, pa.bool_())
    # A column has one type: with a single float, or an integer that int64 does not hold, all are compared as floats.
    if any(type(value) is float or (value is not None and value.bit_length() > 63) for value in values):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array(values, pa.int64())


def _read_again(line: bytes) -> tuple[Any, DeadLetterReason | None]:
    """Parse a line that orjson rejected: its value if it is valid JSON after all, otherwise the reason why it is not.

    orjson rejects numbers beyond the range of floats, which JSON allows. The standard library also accepts lone
    surrogates, NaN and infinities, and deeper nesting, which are rejected here.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None, DeadLetterReason.INVALID_UTF8
    constants: list[str] = []
    beyond: list[str] = []

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            beyond.append(digits)
        return value

    def integer(digits: str) -> float:
        return int(digits) if len(digits) < _SAFE_DIGITS else number(digits)

    try:
        value = json.loads(text, parse_constant=constants.append, parse_float=number, parse_int=integer)
    except (ValueError, RecursionError):
        return None, DeadLetterReason.NOT_JSON
    if constants:
        return None, DeadLetterReason.NAN_IN_JSON
    if r"\u" in text and _has_lone_surrogate(value):
        return None, DeadLetterReason.LONE_SURROGATE
    return (value, None) if beyond else (None, DeadLetterReason.NOT_JSON)


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return True
    return False
