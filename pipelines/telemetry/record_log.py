"""Records of a log in LevelDB's format, which W&B's ``.wandb`` files have: chunks with checksums in blocks of 32 KiB.

A chunk is a CRC-32 of its type and data (of zlib, not masked, unlike LevelDB's CRC-32C), the length (2 bytes), the type
(whole record, first, middle or last part) and the data. What is left of a block after it, if less than the seven bytes
of a chunk's header, is zeroes (github.com/google/leveldb/blob/main/doc/log_format.md, wandb/sdk/internal/datastore.py).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from corpus_audit.pipelines.telemetry.log_file import LogFile
from corpus_audit.pipelines.telemetry.points import Account, Refusal

BLOCK = 2**15
"""Bytes of a block."""

FILE_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
"""The first bytes of a file: name, a fixed number, version."""

LARGEST_RECORD = 2**26
"""Bytes of a record; a longer one is refused."""

_CHUNK = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CRC_OF_TYPE = [zlib.crc32(bytes([kind])) for kind in range(5)]


def records_of(path: Path, account: Account) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, data) of the intact records of a file; what is damaged is counted in ``account`` and skipped.

    After a chunk whose checksum is wrong the chunk that its length leads to is read if that is intact, and else the
    next block. A file that ends within a record has a dead letter ``truncated``.
    """
    with LogFile(path) as file:
        file.note(account)
        joiner = _Joiner(account)
        base, skipped = 0, 0
        while block := file.read(BLOCK):
            at = len(FILE_HEADER) if base == 0 else 0
            while len(block) - at >= _CHUNK.size:
                checksum, length, kind = _CHUNK.unpack_from(block, at)
                end = at + _CHUNK.size + length
                if end > len(block) and len(block) < BLOCK:
                    break  # the last block ends within a chunk
                if not _is_intact(block, at, checksum, end, kind):
                    joiner.damaged(base + at)
                    after = len(block) if end > len(block) else end
                    if not _leads_on(block, after):
                        skipped += len(block) - at
                        after = len(block)
                    at = after
                    continue
                record = joiner.add(base + at, kind, block[at + _CHUNK.size : end])
                if record is not None:
                    yield record
                at = end
            if len(block) < BLOCK and file.fault is None and any(block[at:]):
                joiner.truncated(base + at, len(block) - at)
            base += len(block)
        if file.fault is not None:
            account.refuse(base, *file.fault)
        else:
            joiner.finish()
        if skipped:
            account.notes.append(f"{skipped} bytes after a damaged chunk were skipped")


def _is_intact(block: bytes, at: int, checksum: int, end: int, kind: int) -> bool:
    if not _WHOLE <= kind <= _LAST or end > len(block):
        return False
    return zlib.crc32(memoryview(block)[at + _CHUNK.size : end], _CRC_OF_TYPE[kind]) == checksum


def _leads_on(block: bytes, at: int) -> bool:
    """Whether an intact chunk, or the end of the block, is at a position."""
    if len(block) - at < _CHUNK.size:
        return not any(block[at:])
    checksum, length, kind = _CHUNK.unpack_from(block, at)
    return _is_intact(block, at, checksum, at + _CHUNK.size + length, kind)


class _Joiner:
    """Joins chunks to records; every record that is lost is counted once."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._parts: list[bytes] | None = None
        self._start = 0
        self._size = 0
        self._lost = False  # parts that follow are those of a record that is counted already

    def add(self, offset: int, kind: int, data: bytes) -> tuple[int, bytes] | None:
        """Add an intact chunk; returns the record that it completes."""
        if kind in (_WHOLE, _FIRST):
            self._incomplete()
            self._lost = False
            if kind == _WHOLE:
                return offset, data
            self._parts, self._start, self._size = [data], offset, len(data)
            return None
        if self._parts is None:
            if not self._lost:
                self._account.refuse(offset, Refusal.MALFORMED, "a part of a record without its beginning")
                self._lost = True
        else:
            self._size += len(data)
            if self._size > LARGEST_RECORD:
                self._account.refuse(self._start, Refusal.TOO_LARGE, f"a record of more than {LARGEST_RECORD} bytes")
                self._parts, self._lost = None, True
            else:
                self._parts.append(data)
        if kind == _LAST:
            self._lost = False
            if self._parts is not None:
                record, self._parts = b"".join(self._parts), None
                return self._start, record
        return None

    def damaged(self, offset: int) -> None:
        """Count a damaged chunk, with the record that it is a part of."""
        if not self._lost:
            self._account.refuse(offset if self._parts is None else self._start, Refusal.CHECKSUM)
        self._parts, self._lost = None, True

    def truncated(self, offset: int, size: int) -> None:
        """Count a chunk that the end of the file cuts, of which ``size`` bytes are there."""
        detail = f"the last {size} bytes are not a whole chunk"
        self._account.refuse(offset if self._parts is None else self._start, Refusal.TRUNCATED, detail)
        self._parts, self._lost = None, True

    def finish(self) -> None:
        """Count a record that the end of the file cuts between two chunks."""
        if self._parts is not None:
            self._account.refuse(self._start, Refusal.TRUNCATED, "a record without its end")
            self._parts = None

    def _incomplete(self) -> None:
        if self._parts is not None:
            self._account.refuse(self._start, Refusal.MALFORMED, "a record without its end")
            self._parts = None
