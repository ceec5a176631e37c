"""Reads the message headers of an Arrow IPC file or stream, without decoding a body.

Follows the Arrow columnar format, "Serialization and Interprocess Communication" and Message.fbs. pyarrow says neither
where batches lie nor what a compressed one decodes to, and takes a stream that was truncated between messages for a
complete one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard

FILE_MAGIC = b"ARROW1"
_CONTINUATION = 0xFFFFFFFF  # before every message since Arrow 0.15
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_MAX_METADATA = 64 * 2**20  # a damaged length must not become an allocation of gigabytes


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """A record batch: its number of rows, and the bytes of all its columns after decompression."""

    rows: int
    decoded: int


@dataclass(frozen=True, slots=True)
class MessageLayout:
    """Record batches in order, decoded bytes of all dictionaries, and whether any batch can be read by itself."""

    batches: tuple[BatchHeader, ...]
    dictionaries: int
    divisible: bool


def walk_messages(shard: Shard) -> MessageLayout:
    """Walk the messages of an Arrow IPC shard, in file or in stream format.

    Raises:
        ShardError: the file is truncated (a stream needs its end marker, a file its footer) or is not Arrow IPC.
    """
    try:
        with filesystems.open_binary(shard.path) as file:
            return _walk(shard, file)
    except (struct.error, IndexError, OverflowError) as error:
        raise ShardError(
            shard, f"has an Arrow message that cannot be parsed ({error}): truncated or corrupt"
        ) from error


def _walk(shard: Shard, file: BinaryIO) -> MessageLayout:
    is_file = file.read(6) == FILE_MAGIC
    if is_file:
        file.seek(max(shard.size - 6, 8))
        if file.read(6) != FILE_MAGIC:
            raise ShardError(shard, "does not end like an Arrow file: truncated or damaged")
    position = 8 if is_file else 0
    batches: list[BatchHeader] = []
    dictionaries = 0
    while True:
        file.seek(position)
        prefix = _exactly(shard, file, 8)
        continuation, length = struct.unpack("<Ii", prefix)
        if continuation != _CONTINUATION:
            if not batches and _begins_before_015(shard, file, position):
                raise ShardError(
                    shard,
                    "is Arrow IPC written by a version before 0.15 (no continuation markers); rewrite it with a newer "
                    "version: pyarrow.ipc reads it and writes the current format",
                )
            raise ShardError(shard, f"has no Arrow message at byte {position:,}: not Arrow IPC, or damaged")
        if length == 0:
            break
        if not 0 < length <= _MAX_METADATA:
            raise ShardError(shard, f"has an Arrow message header of {length:,} bytes at {position:,}: corrupt")
        # Fields of a Message: 0 version, 1 type of the header, 2 header, 3 length of the body.
        message = _Table.root(_exactly(shard, file, length))
        kind = message.scalar(1, "<B")
        body_start, body_length = position + 8 + length, message.scalar(3, "<q")
        position = body_start + body_length
        if body_length < 0 or position > shard.size:
            raise ShardError(shard, f"ends inside an Arrow message (at byte {shard.size:,}): truncated")
        header = message.table(2)
        if kind == _RECORD_BATCH and header is not None:
            batches.append(BatchHeader(header.scalar(0, "<q"), _decoded(file, body_start, header)))
        elif kind == _DICTIONARY_BATCH and header is not None:
            data = header.table(1)
            dictionaries += 0 if data is None else _decoded(file, body_start, data)
    if not is_file and position + 8 != shard.size:
        raise ShardError(shard, f"has bytes after the end of its Arrow stream (at {position + 8:,}): damaged")
    return MessageLayout(tuple(batches), dictionaries, is_file)


def _begins_before_015(shard: Shard, file: BinaryIO, position: int) -> bool:
    """Whether a schema message starts at ``position`` with only its length before it, as before Arrow 0.15."""
    file.seek(position)
    (length,) = struct.unpack("<i", _exactly(shard, file, 4))
    if not 0 < length <= min(_MAX_METADATA, shard.size):
        return False
    try:
        message = _Table.root(_exactly(shard, file, length))
        return message.scalar(1, "<B") == _SCHEMA and message.table(2) is not None
    except (struct.error, IndexError, OverflowError):
        return False


def _exactly(shard: Shard, file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ShardError(shard, f"ends without Arrow's end marker (at byte {shard.size:,}): truncated")
    return data


def _decoded(file: BinaryIO, body: int, batch: _Table) -> int:
    """Bytes of a record batch's buffers, decompressed: each compressed buffer begins with its decoded length."""
    # Fields of a RecordBatch: 0 rows, 1 nodes, 2 buffers, 3 compression.
    compressed = batch.table(3) is not None
    total = 0
    for offset, length in batch.structs(2, "<qq"):
        decoded = length
        if compressed and length >= 8:
            file.seek(body + offset)
            (decoded,) = struct.unpack("<q", file.read(8))
            decoded = length - 8 if decoded < 0 else decoded  # -1: this buffer is stored as it is
        total += decoded
    return total


@dataclass(frozen=True, slots=True)
class _Table:
    """A flatbuffers table: just enough of the format to read scalars, tables and vectors of structs."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def _field(self, index: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        (size,) = struct.unpack_from("<H", self.data, vtable)
        if 4 + 2 * index >= size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, vtable + 4 + 2 * index)
        return self.at + offset if offset else None

    def _target(self, index: int) -> int | None:
        field = self._field(index)
        return None if field is None else field + struct.unpack_from("<I", self.data, field)[0]

    def scalar(self, index: int, layout: str) -> int:
        field = self._field(index)
        return 0 if field is None else int(struct.unpack_from(layout, self.data, field)[0])

    def table(self, index: int) -> _Table | None:
        target = self._target(index)
        return None if target is None else _Table(self.data, target)

    def structs(self, index: int, layout: str) -> list[tuple[int, ...]]:
        target = self._target(index)
        if target is None:
            return []
        (count,) = struct.unpack_from("<I", self.data, target)
        size = struct.calcsize(layout)
        if target + 4 + count * size > len(self.data):
            raise struct.error("a vector is longer than its message")
        return [struct.unpack_from(layout, self.data, target + 4 + i * size) for i in range(count)]
