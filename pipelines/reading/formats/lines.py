"""Splits a byte stream that is read in parts into lines, so that every line belongs to exactly one part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEAD = 200  # all that is ever shown of a line that is too long to be read


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line over the limit, of which only the digest, the length and the first bytes are kept."""

    sha256: str
    size: int
    head: bytes


def read_lines(
    part: Iterable[bytes], following: Iterable[bytes], skip_first: bool, limit: int
) -> Iterator[list[bytes | LongLine]]:
    """The lines that belong to a part of a stream, in lists as they become complete, without their ends.

    A line belongs to the part that holds the newline before it; the stream's first line belongs to its first part.
    So a part need not know the byte before it: it drops everything up to its first newline, and reads past its end
    until its last line is complete.

    Args:
        part: the part's bytes, in chunks.
        following: what comes after it in the stream, in chunks; read as far as the last line needs.
        skip_first: whether this is not the stream's first part.
        limit: bytes of a line; of a longer line, no more than this is ever in memory.
    """
    gatherer = _Gatherer(limit)
    skipping = skip_first
    for chunk in part:
        if skipping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk, skipping = chunk[end + 1 :], False
        yield gatherer.feed(chunk)
    if skipping:
        return
    for chunk in following:
        end = chunk.find(b"\n")
        yield gatherer.feed(chunk if end < 0 else chunk[: end + 1])
        if end >= 0:
            return
    yield gatherer.finish()


class _Gatherer:
    """Joins chunks into lines; keeps one unfinished line, or the running digest of a line that is too long."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._long: _Digest | None = None

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        lines: list[bytes | LongLine] = []
        if self._long is not None:
            end = chunk.find(b"\n")
            self._long.update(chunk if end < 0 else chunk[:end])
            if end < 0:
                return lines
            lines.append(self._long.finish())
            self._long, chunk = None, chunk[end + 1 :]
        # An unfinished line is copied again with every chunk; the limit on its length bounds how often.
        data = self._rest + chunk if self._rest else chunk
        pieces = data.split(b"\n")
        self._rest = pieces.pop()
        lines += pieces if len(data) <= self._limit else map(self._bounded, pieces)
        if len(self._rest) > self._limit + 1:  # one more than the limit may still be a carriage return
            self._long, self._rest = _Digest(self._rest), b""
        return lines

    def finish(self) -> list[bytes | LongLine]:
        """The last line, if the stream does not end with a newline."""
        if self._long is not None:
            return [self._long.finish()]
        return [self._bounded(self._rest)] if self._rest else []

    def _bounded(self, line: bytes) -> bytes | LongLine:
        if len(line) - line.endswith(b"\r") <= self._limit:
            return line
        return _Digest(line).finish()


class _Digest:
    """Running digest, size and first bytes of a line that is too long to keep."""

    def __init__(self, data: bytes) -> None:
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._pending_cr = b""  # a final carriage return: part of the line's end unless more bytes follow
        self.update(data)

    def update(self, data: bytes) -> None:
        if not data:
            return
        if self._pending_cr:
            data = self._pending_cr + data
        self._pending_cr = b"\r" if data.endswith(b"\r") else b""
        content = data.removesuffix(b"\r")
        self._sha256.update(content)
        self._size += len(content)
        self._head += content[: _HEAD - len(self._head)]

    def finish(self) -> LongLine:
        return LongLine(self._sha256.hexdigest(), self._size, self._head)
