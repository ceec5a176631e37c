"""Access to evaluation files of unknown origin: bounded in bytes, whatever they claim, and never executed."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from corpus_audit.pipelines.reading.files.decompression import DecompressedFile, UndecodableError

_ZSTD = 93
_LOCAL_HEADER = 30


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds on what is read; beyond them a row or a file is reported and not read.

    Attributes:
        line: bytes of one line of JSON lines.
        document: bytes of one JSON document, after decompression.
        member: bytes of one member of an archive, after decompression.
        expansion: decompressed bytes a compressed byte, over a whole file.
        free: decompressed bytes that are always allowed.
    """

    line: int = 64 << 20
    document: int = 256 << 20
    member: int = 256 << 20
    expansion: int = 1_000
    free: int = 64 << 20


class UnreadableFileError(Exception):
    """A file, or the rest of it, cannot be read; the message says why."""


class BoundedStream(io.RawIOBase):
    """Bytes of a file, decompressed if they are gzip, bzip2, xz or zstd data; an error where a bomb is suspected."""

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        super().__init__()
        self._file = DecompressedFile(path, limits.expansion, limits.free)

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; returns the number of bytes, 0 at the end.

        Raises:
            UnreadableFileError: the compressed data are damaged, truncated, or expand too far.
        """
        try:
            data = self._file.read(len(buffer))
        except UndecodableError as error:
            raise UnreadableFileError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def open_bounded(path: Path, limits: ReadLimits) -> io.BufferedReader:
    """The bytes of a file, decompressed by its first bytes, whatever its name."""
    return io.BufferedReader(BoundedStream(path, limits), 1 << 20)


def read_document(path: Path, limits: ReadLimits) -> Any:
    """The JSON document that a file is.

    Raises:
        UnreadableFileError: it is too large, damaged or not JSON.
    """
    with open_bounded(path, limits) as stream:
        data = stream.read(limits.document + 1)
    if len(data) > limits.document:
        raise UnreadableFileError(f"a JSON document of more than {limits.document >> 20} MiB")
    try:
        return parse_json(data)
    except ValueError as error:
        raise UnreadableFileError(f"not JSON ({error})") from error


def lines_of(path: Path, limits: ReadLimits) -> Iterator[tuple[int, bytes | None]]:
    """Rows of a JSON lines file: number from 1 and bytes, or None for a line over the limit. Blank lines are no rows.

    Raises:
        UnreadableFileError: at the byte where the compressed data end or expand too far.
    """
    with open_bounded(path, limits) as stream:
        row = 0
        while line := stream.readline(limits.line + 1):
            row += 1
            if len(line) > limits.line:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(1 << 20)
                yield row, None
                continue
            if not line.isspace():
                yield row, line


def parse_json(data: bytes) -> Any:
    """The value of a JSON text; NaN and Infinity, which Python's json module writes, are floats.

    Raises:
        ValueError: not JSON, or nested too deeply.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in data and b"Infinity" not in data:
            raise ValueError(str(error)) from None
    try:
        value = json.loads(data)
        orjson.dumps(value)  # refuses what orjson would not have read: lone surrogates, integers past 64 bits
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return value


class Archive:
    """A zip archive whose members are read one at a time, bounded, and checked; zstd members as well.

    Method 93 (zstd) is what Inspect writes by default since 0.3.206; Python's zipfile reads it from version 3.14 only.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error) as error:
            raise UnreadableFileError(f"the zip archive is damaged or truncated ({error})") from error
        self._file = path.open("rb")
        self._limits = limits
        self._left = max(limits.free, path.stat().st_size * limits.expansion)
        self._members = {member.filename: member for member in self._zip.infolist()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, in the order of the archive's directory; of equal names only one is read."""
        return tuple(self._members)

    @property
    def repeated(self) -> int:
        """Members that have the name of another one."""
        return len(self._zip.infolist()) - len(self._members)

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            UnreadableFileError: it is missing, too large, encrypted or damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise UnreadableFileError(f"the archive has no {name}")
        if member.flag_bits & 0x1:
            raise UnreadableFileError("the member is encrypted")
        bound = min(self._limits.member, self._left)
        try:
            data = self._zstd(member, bound) if member.compress_type == _ZSTD else self._deflate(member, bound)
        except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error) as error:
            raise UnreadableFileError(f"the member is damaged ({error})") from error
        except (zipfile.BadZipFile, pa.ArrowException, struct.error) as error:
            raise UnreadableFileError(f"the member is damaged ({error})") from error
        if len(data) > bound:
            raise UnreadableFileError("the member decompresses to more than is allowed")
        self._left -= len(data)
        return data

    def _deflate(self, member: zipfile.ZipInfo, bound: int) -> bytes:
        with self._zip.open(member) as stream:
            return stream.read(bound + 1)

    def _zstd(self, member: zipfile.ZipInfo, bound: int) -> bytes:
        self._file.seek(member.header_offset)
        header = self._file.read(_LOCAL_HEADER)
        if header[:4] != b"PK\x03\x04":
            raise ValueError("no local header where the directory says")
        name, extra = struct.unpack("<HH", header[26:30])
        self._file.seek(name + extra, io.SEEK_CUR)
        packed = self._file.read(member.compress_size)
        stream = pa.CompressedInputStream(pa.BufferReader(packed), "zstd")
        pieces, size = [], 0
        while size <= bound and (piece := stream.read(min(1 << 20, bound + 1 - size))):
            pieces.append(piece)
            size += len(piece)
        data = b"".join(pieces)
        if size <= bound and zlib.crc32(data) != member.CRC:
            raise ValueError("its checksum differs")
        return data
