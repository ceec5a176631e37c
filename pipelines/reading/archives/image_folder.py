"""Reads the images directly in a folder, with the columns that a metadata file beside them gives."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from corpus_audit.pipelines.reading.archives.samples import Sample, SampleReader
from corpus_audit.pipelines.reading.archives.tar_members import Content
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.json_rows import parse_object
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.folder_archive import (
    METADATA_NAMES,
    FolderMember,
    folder_members,
    is_image_name,
)
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard, Split

FILE_NAME = "file_name"
"""Column of a metadata file that names the image of a row, and column of every image's name."""

_MAX_METADATA = 2**30


def images_of(members: list[FolderMember]) -> list[FolderMember]:
    """The images among the files of a folder."""
    return [member for member in members if is_image_name(member.name)]


def read_folder(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of the images whose headers begin in ``[split.start, split.stop)`` of the folder's archive.

    A row of the metadata whose image is not in the folder is a dead letter of the first split.

    Raises:
        ShardError: the metadata cannot be parsed, or names an image twice.
        OSError: a file cannot be read.
    """
    reader = SampleReader(shard, settings, tally)
    members = folder_members(shard.path)
    columns, sources = _metadata(shard, members)
    for member in images_of(members):
        if split.start <= member.offset < split.stop:
            sample = Sample(member.name, {**columns.get(member.name, {}), FILE_NAME: member.name})
            sample.source = sources.get(member.name, b"")
            with filesystems.open_binary(shard.path + member.name) as file:
                content = Content(_reading(shard, member, file), member.stat.size)
                reader.add_image(sample, member.name, member.stat.size, content)
            yield from reader.finish(sample)
    yield from reader.flush()
    if split.start == 0:
        for name in sorted(columns.keys() - {member.name for member in members}):
            sample = Sample(name, dict(columns[name]), sources[name])
            sample.refused = reader.letter(DeadLetterReason.MISSING_IMAGE, sources[name])
            yield from reader.finish(sample)


def metadata_rows(shard: Shard, members: list[FolderMember]) -> dict[str, dict[str, Any]]:
    """The columns that the metadata of a folder gives, by name of the image.

    Raises:
        ShardError: see `read_folder`.
    """
    return _metadata(shard, members)[0]


def _reading(shard: Shard, member: FolderMember, file: Any) -> Any:
    def take(count: int) -> bytes:
        pieces = []
        while count and (piece := file.read(count)):
            pieces.append(piece)
            count -= len(piece)
        if count:
            raise ShardError(shard, f"changed while it was read: {member.name} is shorter than when it was listed")
        return b"".join(pieces)

    return take


def _metadata(shard: Shard, members: list[FolderMember]) -> tuple[dict[str, dict[str, Any]], dict[str, bytes]]:
    """By name of the image: the columns of its row, and the row as JSON (empty for CSV, all of whose values are text).

    Raises:
        ShardError: see `read_folder`.
    """
    names = [member for member in members if member.name in METADATA_NAMES]
    if not names:
        return {}, {}
    if len(names) > 1:
        raise ShardError(shard, f"has both {' and '.join(METADATA_NAMES)}: keep one of them")
    member = names[0]
    if member.stat.size > _MAX_METADATA:
        raise ShardError(shard, f"its {member.name} has {member.stat.size:,} bytes; at most {_MAX_METADATA:,} are read")
    with filesystems.open_binary(shard.path + member.name) as file:
        data = _reading(shard, member, file)(member.stat.size)
    rows = _csv_rows(shard, data) if member.name.endswith(".csv") else _json_rows(shard, data)
    columns: dict[str, dict[str, Any]] = {}
    sources: dict[str, bytes] = {}
    for number, (row, source) in enumerate(rows, start=1):
        name = row.get(FILE_NAME)
        if not isinstance(name, str) or not name:
            raise ShardError(shard, f"row {number:,} of its {member.name} has no {FILE_NAME}")
        if name in columns:
            raise ShardError(shard, f"its {member.name} names {name!r} twice")
        columns[name], sources[name] = row, source
    return columns, sources


def _json_rows(shard: Shard, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    for number, line in enumerate(data.splitlines(), start=1):
        if line and not line.isspace():
            value, reason = parse_object(line)
            if reason is not None:
                raise ShardError(shard, f"line {number:,} of its metadata.jsonl is no JSON object ({reason.value})")
            yield value, line


def _csv_rows(shard: Shard, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ShardError(shard, f"its metadata.csv cannot be parsed: {error}") from error
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ShardError(shard, f"row {number:,} of its metadata.csv has another number of values than the header")
        yield {name: value or None for name, value in row.items()}, b""
