"""Finds the frames of a .zst file from their headers, without decoding them (RFC 8878, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard

_MAGIC = 0xFD2FB528  # the first four bytes of a frame, little-endian
_SKIPPABLE = 0x184D2A50  # the low 4 bits are free
_DICTIONARY_BYTES = (0, 1, 2, 4)
_BUFFER = 4096  # only the headers of blocks are read, and they lie up to 128 KiB apart
_MAX_WINDOW = 2**27
"""Decoders refuse larger windows by default (ZSTD_WINDOWLOG_LIMIT_DEFAULT), and so does Arrow's."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: compressed bytes ``[start, stop)``, and its decoded bytes if the header states them."""

    start: int
    stop: int
    decoded: int | None


def walk_frames(shard: Shard) -> list[Frame]:
    """The frames of a .zst shard, in order; skippable ones count with 0 decoded bytes.

    Raises:
        ShardError: the file does not consist of complete frames: it was truncated, or bytes were added after the last
            one.
    """
    frames = []
    with filesystems.open_binary(shard.path) as file:
        source = _Source(shard, file)
        position = 0
        while position < shard.size:
            frame = _frame(source, position)
            frames.append(frame)
            position = frame.stop
    return frames


class _Source:
    """Little-endian integers at any position of a file, through one buffer."""

    def __init__(self, shard: Shard, file: BinaryIO) -> None:
        self.shard = shard
        self._file = file
        self._buffer = b""
        self._start = 0

    def integer(self, position: int, count: int) -> int:
        """The unsigned integer of ``count`` bytes at ``position``."""
        if position + count > self.shard.size:
            raise self.truncated()
        offset = position - self._start
        if not 0 <= offset <= len(self._buffer) - count:
            self._file.seek(position)
            self._buffer, self._start, offset = self._file.read(_BUFFER), position, 0
        return int.from_bytes(self._buffer[offset : offset + count], "little")

    def truncated(self) -> ShardError:
        """The error for a file that ends inside a frame."""
        return ShardError(self.shard, f"ends inside a zstd frame (at byte {self.shard.size:,}): truncated")


def _check_window(source: _Source, start: int, descriptor: int) -> None:
    """Check that a frame's window (RFC 8878, section 3.1.1.1.2) is one that decoders accept by default."""
    base = 1 << 10 + (descriptor >> 3)
    window = base + (base >> 3) * (descriptor & 7)
    if window > _MAX_WINDOW:
        raise _window_error(source, window)


def _window_error(source: _Source, window: int) -> ShardError:
    return ShardError(
        source.shard,
        f"needs {window / 2**20:,.0f} MiB of memory to decode its zstd frames, as written by zstd --long or --ultra; "
        f"the limit is {_MAX_WINDOW >> 20} MiB: compress it without --long=28 or more",
    )


def _frame(source: _Source, start: int) -> Frame:
    magic = source.integer(start, 4)
    if magic & ~0xF == _SKIPPABLE:
        stop = start + 8 + source.integer(start + 4, 4)
        if stop > source.shard.size:
            raise source.truncated()
        return Frame(start, stop, 0)
    if magic != _MAGIC:
        description = (
            "does not begin with a zstd frame" if start == 0 else f"has bytes that are not a zstd frame at {start:,}"
        )
        raise ShardError(source.shard, f"{description}: not a .zst file, or damaged")
    descriptor = source.integer(start + 4, 1)
    single_segment = descriptor >> 5 & 1
    if descriptor & 0b1000:
        raise ShardError(source.shard, f"has a zstd frame header with a reserved bit at {start:,}: corrupt")
    if single_segment == 0:
        _check_window(source, start, source.integer(start + 5, 1))
    dictionary_bytes = _DICTIONARY_BYTES[descriptor & 3]
    if dictionary_bytes and (dictionary := source.integer(start + 6 - single_segment, dictionary_bytes)):
        raise ShardError(
            source.shard,
            f"was compressed with a zstd dictionary (number {dictionary:,}), which is not in the file; decompress it "
            "with zstd -D and compress it again without a dictionary",
        )
    size_flag = descriptor >> 6
    size_bytes = single_segment if size_flag == 0 else 1 << size_flag
    position = start + 5 + (1 - single_segment) + dictionary_bytes
    decoded = None
    if size_bytes:
        # Section 3.1.1.1.4: two bytes state the size less 256, as sizes below need only one.
        decoded = source.integer(position, size_bytes) + (256 if size_bytes == 2 else 0)
        if single_segment and decoded > _MAX_WINDOW:
            raise _window_error(source, decoded)
    position += size_bytes
    last = False
    while not last:
        header = source.integer(position, 3)
        last = bool(header & 1)
        kind = header >> 1 & 3
        if kind == 3:
            raise ShardError(source.shard, f"has a reserved zstd block type at byte {position:,}: corrupt")
        position += 3 + (1 if kind == 1 else header >> 3)  # kind 1 repeats the one byte that it stores
    position += 4 if descriptor & 4 else 0
    if position > source.shard.size:
        raise source.truncated()
    return Frame(start, position, decoded)
