"""Streams of bytes that are decompressed if they are gzip, bzip2, xz or zstd data, and bounded whatever they claim."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

_MAGIC = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

ENDINGS = (".gz", ".bz2", ".xz", ".zst")
"""Endings of the names of compressed files."""

_DICTIONARY = 256 << 20
"""Bytes of memory that decoding xz may take; `xz -9` takes 65 MiB. Arrow's zstd refuses windows over 128 MiB."""

_CHUNK = 1 << 16
_LARGEST_READ = 1 << 20
_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, pa.ArrowException)


class UndecodableError(Exception):
    """The compressed data are damaged, end early, or expand too far; the message says which."""


class ExpansionError(UndecodableError):
    """The data decompress to more than their size allows, like a decompression bomb."""


def codec_of(head: bytes) -> str:
    """``gzip``, ``bzip2``, ``xz`` or ``zstd`` by the first six bytes of a file; empty if it is not compressed."""
    return next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), "")


def without_ending(name: str) -> str:
    """The name of a file without the ending of a compressed one."""
    return next((name[: -len(end)] for end in ENDINGS if name.lower().endswith(end)), name)


class _Decoder(Protocol):
    """What `bz2.BZ2Decompressor` and `lzma.LZMADecompressor` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Members:
    """Data of one or more bzip2 or xz streams, one after the other."""

    def __init__(self, file: BinaryIO, codec: str) -> None:
        self._file, self._codec = file, codec
        self._decoder = self._new()

    def _new(self) -> _Decoder:
        if self._codec == "bzip2":
            return cast(_Decoder, bz2.BZ2Decompressor())
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY)

    def read(self, size: int) -> bytes:
        """Between 1 and ``size`` bytes, none at the end."""
        while True:
            if self._decoder.eof:  # another stream may follow; zeroes between those of xz are padding
                rest = self._decoder.unused_data.lstrip(b"\0")
                while not rest and (chunk := self._file.read(_CHUNK)):
                    rest = chunk.lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = self._new()
            elif self._decoder.needs_input:
                rest = self._file.read(_CHUNK)
                if not rest:
                    raise EOFError("it ends within a stream")
            else:
                rest = b""
            if data := self._decoder.decompress(rest, size):
                return data


class DecompressedFile:
    """The bytes of a file, decompressed by its first bytes, whatever its name.

    Attributes:
        codec: as `codec_of` says.
    """

    def __init__(self, path: Path, expansion: int, free: int) -> None:
        """Open a file.

        Args:
            path: the file.
            expansion: decompressed bytes a compressed byte that are allowed.
            free: decompressed bytes that are always allowed.
        """
        self._raw = path.open("rb")
        try:
            self.codec = codec_of(self._raw.read(6))
            self._raw.seek(0)
            self._size = path.stat().st_size
            self._bound = max(free, self._size * expansion)
            self._expansion = expansion
        except BaseException:
            self._raw.close()
            raise
        self._decoded = 0
        self._read: Callable[[int], bytes]
        match self.codec:
            case "gzip":
                self._read = gzip.GzipFile(fileobj=self._raw).read1
            case "zstd":
                self._read = pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), "zstd").read
            case "bzip2" | "xz":
                self._read = _Members(self._raw, self.codec).read
            case _:
                self._read = self._raw.read

    def read(self, size: int) -> bytes:
        """Between 1 and ``size`` bytes, none at the end.

        Raises:
            UndecodableError: what follows cannot be decompressed, or is more than allowed. What comes before it was
                returned, but for up to 64 KiB of zstd data.
            OSError: a file that is not compressed cannot be read.
        """
        if not self.codec:
            return bytes(self._read(size))
        size = min(size, self._bound - self._decoded + 1, _CHUNK if self.codec == "zstd" else _LARGEST_READ)
        try:
            data = bytes(self._read(size))
        except _ERRORS as error:
            raise UndecodableError(f"the {self.codec} data are damaged or truncated ({error})") from error
        left = self._bound - self._decoded
        self._decoded += min(len(data), left)
        if data and not left:
            raise ExpansionError(
                f"it decompresses to more than {self._expansion} times its size, like a decompression bomb"
            )
        return data[:left]

    def skip(self, size: int) -> None:
        """Go on after ``size`` bytes, or at the end.

        Raises:
            UndecodableError: as for `read`.
        """
        if not self.codec:
            self._raw.seek(min(self._raw.tell() + size, self._size))
            return
        while size and (piece := self.read(min(size, _CHUNK))):
            size -= len(piece)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def __enter__(self) -> DecompressedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
