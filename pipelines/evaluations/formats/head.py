"""What a file of evaluation results is, from its first bytes: its container, and the first record or the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.evaluations.records.bounded_files import (
    ReadLimits,
    UnreadableFileError,
    lines_of,
    open_bounded,
    parse_json,
    read_document,
)
from corpus_audit.pipelines.evaluations.records.items import ItemCollector
from corpus_audit.pipelines.reading.files.decompression import without_ending

_FIRST = 1 << 16


@dataclass(frozen=True)
class Head:
    """The beginning of a file, by which a reader recognises its format.

    Attributes:
        path: the file.
        name: its path from the evaluation, with slashes.
        kind: zip, parquet, document (JSON), lines (JSON lines), csv, or unknown.
        first: the whole JSON document, or the first record of JSON lines; None otherwise.
        columns: names of the columns of Parquet and CSV.
    """

    path: Path
    name: str
    kind: str
    first: Any = None
    columns: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> str:
        """Path of its folder from the evaluation."""
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """Name of the file without folder, compression and extension."""
        name = without_ending(self.name.rpartition("/")[2])
        return name.rpartition(".")[0] or name

    def keys(self) -> frozenset[str]:
        """Keys of the first record, if it is an object."""
        return frozenset(self.first) if isinstance(self.first, dict) else frozenset()


def head_of(path: Path, name: str, limits: ReadLimits) -> Head:
    """Look at the beginning of a file; a JSON document is read whole.

    Raises:
        UnreadableFileError: it is damaged, or larger than the limits allow.
    """
    with path.open("rb") as raw:
        magic = raw.read(4)
    if magic == b"PK\x03\x04" or magic == b"PK\x05\x06":
        return Head(path, name, "zip")
    if magic == b"PAR1":
        try:
            return Head(path, name, "parquet", columns=tuple(pq.read_schema(path).names))
        except (OSError, pa.ArrowException) as error:
            raise UnreadableFileError(f"the Parquet file is damaged or truncated ({error})") from error
    with open_bounded(path, limits) as stream:
        line = stream.readline(limits.line + 1)
        while line.isspace():
            line = stream.readline(limits.line + 1)
        more = bool(stream.peek(1))
    line = line.removeprefix(b"\xef\xbb\xbf")
    start = line.lstrip()[:1]
    if start in (b"{", b"[") or (start and _is_lines(name)):
        return _json_head(path, name, limits, line, more)
    if _is_table(name):
        return Head(path, name, "csv", columns=csv_columns(line))
    return Head(path, name, "unknown")


def _json_head(path: Path, name: str, limits: ReadLimits, line: bytes, more: bool) -> Head:
    if len(line) > limits.line and more:
        return Head(path, name, "document", read_document(path, limits))
    try:
        first = parse_json(line)
    except ValueError:
        if _is_lines(name):
            return Head(path, name, "lines", _first_record(path, limits))
        return Head(path, name, "document", read_document(path, limits))
    if isinstance(first, dict) and (more or _is_lines(name)):
        return Head(path, name, "lines", first)
    return Head(path, name, "document", first)


def _first_record(path: Path, limits: ReadLimits) -> Any:
    """The first line among the first few that is an object; None if none is."""
    with open_bounded(path, limits) as stream:
        for _ in range(100):
            line = stream.readline(limits.line + 1)
            try:
                record = parse_json(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                return record
    return None


def _bare(name: str) -> str:
    return without_ending(name).lower()


def _is_lines(name: str) -> bool:
    return _bare(name).endswith((".jsonl", ".ndjson"))


def _is_table(name: str) -> bool:
    return _bare(name).endswith((".csv", ".tsv"))


def csv_columns(line: bytes) -> tuple[str, ...]:
    """Names in the first line of a CSV file; none if it is not text."""
    try:
        text = line[:_FIRST].decode()
    except UnicodeDecodeError:
        return ()
    return tuple(next(csv.reader(io.StringIO(text)), []))


def json_lines(head: Head, sink: ItemCollector) -> Iterator[tuple[int, Any]]:
    """Row and value of every line; every row is counted, and one that is no JSON is a dead letter."""
    for row, line in lines_of(head.path, sink.limits):
        sink.row()
        if line is None:
            sink.dead(row, "line too long")
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            sink.dead(row, "not JSON", error)
            continue
        yield row, record
