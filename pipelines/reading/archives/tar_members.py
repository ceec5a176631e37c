"""Reads a tar archive strictly, as a stream: its members in order, and an error wherever it was cut or damaged.

Python's `tarfile` takes an archive that ends early, or goes on with anything but a header, for a complete one. Here an
archive must end with two blocks of zeros and hold nothing but zeros after them; every header must have its checksum.
Headers are those of POSIX ustar and pax (IEEE Std 1003.1, "pax Interchange Format"), of GNU tar ("Basic Tar Format"),
and of the tar of Unix version 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard

BLOCK = 512
_ZEROS = bytes(BLOCK)
_CHUNK = 2**20
_MAX_HEADER = 2**20  # bytes of a long name or of pax records: a damaged size must not become an allocation of gigabytes
_REGULAR, _FOLDER = (b"0", b"\0", b"7"), b"5"
_LONG_NAME, _LONG_LINK, _PAX, _GLOBAL_PAX = b"L", b"K", (b"x", b"X"), b"g"
_WITHOUT_CONTENT, _GNU_SPARSE = (b"1", b"2", b"3", b"4", b"5", b"6"), b"S"


class MemberKind(Enum):
    """What a member is, as far as reading it is concerned."""

    FILE = auto()
    FOLDER = auto()
    OTHER = auto()  # a link, a sparse file, a device, a pipe, or a type that only some programs know


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive; ``name`` may hold surrogate escapes, ``size`` is the bytes of its content as stated."""

    name: str
    kind: MemberKind
    size: int


class Content:
    """The content of the current member; valid until the next one is asked for."""

    def __init__(self, take: Callable[[int], bytes], size: int) -> None:
        self._take = take
        self.remaining = size

    def read(self) -> bytes:
        """All of it that was not read yet."""
        data = self._take(self.remaining)
        self.remaining = 0
        return data

    def digest(self, head: int) -> tuple[str, bytes]:
        """SHA-256, in hex, and the first bytes of a content that is too long to be kept."""
        digest, first = hashlib.sha256(), b""
        while self.remaining:
            chunk = self._take(min(self.remaining, _CHUNK))
            self.remaining -= len(chunk)
            digest.update(chunk)
            first += chunk[: head - len(first)]
        return digest.hexdigest(), first

    def skip(self) -> None:
        """Read past what is left of it."""
        while self.remaining:
            self.remaining -= len(self._take(min(self.remaining, _CHUNK)))


def read_members(shard: Shard, read: Callable[[int], bytes]) -> Iterator[tuple[Member, Content]]:
    """The members of an archive with their contents.

    Args:
        shard: for messages.
        read: returns the next bytes, fewer than asked for only at the end.

    Raises:
        ShardError: the archive is truncated, damaged, or followed by other bytes.
    """
    return _Archive(shard, read).members()


class _Archive:
    def __init__(self, shard: Shard, read: Callable[[int], bytes]) -> None:
        self._shard, self._read = shard, read
        self._position = 0

    def members(self) -> Iterator[tuple[Member, Content]]:
        shared: dict[str, str] = {}  # of global pax headers, which hold for all members after them
        own: dict[str, str] = {}
        long_name: str | None = None
        while (header := self._header()) is not None:
            kind, size = header[156:157], self._number(header, 124, 12)
            if kind in (*_PAX, _GLOBAL_PAX, _LONG_NAME, _LONG_LINK):
                data = self._extension(size)
                if kind == _LONG_NAME:
                    long_name = _text(data)
                elif kind == _GLOBAL_PAX:
                    shared |= self._records(data)
                elif kind in _PAX:
                    own = self._records(data)
                continue
            records = shared | own
            if "size" in records:
                size = self._decimal(records["size"])
            name = records.get("path") or long_name or _name(header)
            sparse = any(key.startswith("GNU.sparse.") for key in records)
            own, long_name = {}, None
            member = Member(name, _kind(kind, name, sparse), size)
            if kind in _WITHOUT_CONTENT:  # whatever size is stated: that of the link's target, or of a folder's entries
                size = 0
            elif kind == _GNU_SPARSE:
                self._skip_sparse_maps(header)
            content = Content(self._take, size)
            yield member, content
            content.skip()
            self._take(-size % BLOCK)
        if own or long_name is not None:
            raise ShardError(self._shard, "ends after the extended header of a member, without the member: truncated")
        self._check_end()

    def _skip_sparse_maps(self, header: bytes) -> None:
        goes_on = header[482]
        while goes_on:
            goes_on = self._take(BLOCK)[504]

    def _header(self) -> bytes | None:
        """The next header; None at the first of two blocks of zeros."""
        start = self._position
        block = self._read(BLOCK)
        if len(block) < BLOCK:
            what = "inside a header" if block else "without the two blocks of zeros that end an archive"
            raise ShardError(self._shard, f"ends {what} (at byte {start + len(block):,} of the archive): truncated")
        self._position += BLOCK
        if block == _ZEROS:
            second = self._read(BLOCK)
            self._position += len(second)
            if len(second) < BLOCK:
                raise ShardError(
                    self._shard, f"ends after one block of zeros (at byte {self._position:,}), not two: truncated"
                )
            if second != _ZEROS:
                raise ShardError(
                    self._shard, f"has a lone block of zeros among its members (at byte {start:,}): damaged"
                )
            return None
        stated = self._number(block, 148, 8)
        unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
        signed = unsigned - 256 * sum(byte > 127 for i, byte in enumerate(block) if not 148 <= i < 156)
        if stated not in (unsigned, signed):  # some old programs summed signed bytes
            raise ShardError(
                self._shard,
                f"has a header with a wrong checksum (at byte {start:,}): damaged, or no tar",
            )
        return block

    def _check_end(self) -> None:
        while chunk := self._read(_CHUNK):
            if chunk.strip(b"\0"):
                raise ShardError(
                    self._shard,
                    f"goes on after the two blocks of zeros that end it (at byte {self._position:,} of the archive): "
                    "several archives in one file are read to the first end by most programs; join them with tar -A",
                )
            self._position += len(chunk)

    def _extension(self, size: int) -> bytes:
        if size > _MAX_HEADER:
            raise ShardError(self._shard, f"has an extended header of {size:,} bytes (at {self._position:,}): damaged")
        data = self._take(size)
        self._take(-size % BLOCK)
        return data

    def _take(self, count: int) -> bytes:
        data = self._read(count) if count else b""
        self._position += len(data)
        if len(data) < count:
            raise ShardError(
                self._shard, f"ends inside a member (at byte {self._position:,} of the archive): truncated"
            )
        return data

    def _number(self, block: bytes, start: int, count: int) -> int:
        """An octal number, or a binary one as GNU tar writes sizes from 8 GiB on."""
        field = block[start : start + count]
        if field[0] & 0x80:
            value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
            if field[0] & 0x40:
                raise self._bad_number()
            return value
        digits = field.replace(b"\0", b" ").strip()
        if digits.strip(b"01234567"):
            raise self._bad_number()
        return int(digits or b"0", 8)

    def _decimal(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal()):
            raise self._bad_number()
        return int(text)

    def _bad_number(self) -> ShardError:
        return ShardError(
            self._shard, f"has a header with a number that is none (before byte {self._position:,}): damaged, or no tar"
        )

    def _records(self, data: bytes) -> dict[str, str]:
        """The records of a pax header: ``<length> <key>=<value>\\n`` each, the length that of the whole record."""
        records: dict[str, str] = {}
        position = 0
        while position < len(data):
            length, _, _ = data[position : position + 20].partition(b" ")
            end = position + int(length) if length.isdigit() else 0
            record = data[position:end]
            key, equals, value = record[len(length) + 1 : -1].partition(b"=")
            if end > len(data) or not equals or record[-1:] != b"\n":
                raise ShardError(
                    self._shard, f"has a pax header that cannot be parsed (before byte {self._position:,}): damaged"
                )
            records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
            position = end
        return records


def _kind(kind: bytes, name: str, sparse: bool) -> MemberKind:
    if kind == _FOLDER or (kind == b"\0" and name.endswith("/")):
        return MemberKind.FOLDER
    return MemberKind.FILE if kind in _REGULAR and not sparse else MemberKind.OTHER


def _name(header: bytes) -> str:
    name = _text(header[:100])
    # In GNU's headers, whose magic ends with a space, the field of the prefix holds times and the map of sparse files.
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
