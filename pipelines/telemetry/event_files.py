"""Reads TensorBoard event files: scalars as ``simple_value`` or ``tensor``, every checksum verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.kernels.telemetry import event_records as records
from corpus_audit.pipelines.kernels.telemetry import protobuf_fields as fields
from corpus_audit.pipelines.telemetry.log_file import LogFile
from corpus_audit.pipelines.telemetry.points import (
    MOST_DEAD_LETTERS,
    MOST_TAGS,
    Account,
    DeadLetter,
    FileTelemetry,
    Points,
    Refusal,
    RunPoints,
)

BLOCK = 2**24
"""Bytes read at once."""

LARGEST_RECORD = 2**26
"""Bytes of a record; a longer one, such as a graph, is refused unread."""

_REASONS = (Refusal.CHECKSUM, Refusal.LENGTH_CHECKSUM, Refusal.MALFORMED, Refusal.TOO_MANY_TAGS)
_ROOM = 2**18


class _Tags:
    """The table of tags that the kernel looks values up in."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.closed = False
        self._known: list[tuple[int, bytes]] = []
        self.slots = np.zeros(64, np.int32)
        self.hashes = np.zeros(32, np.int64)
        self.bytes = np.zeros(1024, np.uint8)
        self.ends = np.zeros(33, np.int64)

    def add(self, tag: bytes, hashed: int) -> None:
        """Add a tag that is not there."""
        n = len(self._known)
        if n + 1 > len(self.hashes) // 2:
            self.hashes = np.resize(self.hashes, 2 * len(self.hashes))
            self.ends = np.resize(self.ends, 2 * len(self.hashes) + 1)
            self.slots = np.zeros(4 * len(self.hashes), np.int32)
            for position, (other, _) in enumerate(self._known):
                self._put(position, other)
        begin = int(self.ends[n])
        if begin + len(tag) > len(self.bytes):
            self.bytes = np.resize(self.bytes, 2 * (begin + len(tag)))
        self.bytes[begin : begin + len(tag)] = np.frombuffer(tag, np.uint8)
        self.ends[n + 1] = begin + len(tag)
        self.hashes[n] = hashed
        self._put(n, hashed)
        self._known.append((hashed, tag))
        self.names.append(tag.decode("utf-8", "backslashreplace"))
        self.closed = len(self._known) >= MOST_TAGS

    def _put(self, position: int, hashed: int) -> None:
        mask = len(self.slots) - 1
        slot = hashed & mask
        while self.slots[slot]:
            slot = (slot + 1) & mask
        self.slots[slot] = position + 1


def read_event_file(path: Path) -> FileTelemetry:
    """The scalars of an event file; what is damaged is skipped and counted.

    A record whose data differ from their checksum is refused. If its length does, the next intact length is looked for.
    A file that ends within a record, as that of a run that is still writing does, has a dead letter ``truncated``.
    """
    tables, tags = records.crc_tables(), _Tags()
    scan: Any = records.scan_events  # its types are those of its arguments
    state = np.zeros(records.STATE, np.int64)
    dead_reason, dead_offset = np.zeros(MOST_DEAD_LETTERS, np.uint8), np.zeros(MOST_DEAD_LETTERS, np.int64)
    columns = [np.empty(_ROOM, kind) for kind in (np.int64, np.uint64, np.uint8, np.uint64, np.int32, np.int64)]
    chunks: list[Points] = []
    account = Account()
    data = np.zeros(2 * BLOCK, np.uint8)
    end, base = 0, 0

    def emit() -> None:
        n = int(state[records.POINTS])
        if n:
            step, bits, form, wall, tag, offset = (column[:n].copy() for column in columns)
            chunks.append(Points(tag, step, _values(bits, form), wall.view(np.float64), offset))
        state[records.POINTS] = 0

    with LogFile(path) as file:
        file.note(account)
        while True:
            if end < len(data):
                piece = file.read(min(BLOCK, len(data) - end))
                read = len(piece)
                data[end : end + read] = np.frombuffer(piece, np.uint8)
            else:
                read = 0
            end += read
            while True:
                outcome = scan(
                    data, end, LARGEST_RECORD, tables, tags.slots, tags.hashes, tags.bytes, tags.ends, tags.closed,
                    *columns, base, dead_reason, dead_offset, state,
                )  # fmt: skip
                if outcome == records.NEW_TAG:
                    start, length = int(state[records.TAG_START]), int(state[records.TAG_LENGTH])
                    tags.add(data[start : start + length].tobytes(), int(state[records.TAG_HASH]))
                elif outcome == records.FULL:
                    if state[records.POINTS] == 0:  # a single record has more values than there is room for
                        columns = [np.empty(2 * len(column), column.dtype) for column in columns]
                    emit()
                else:
                    break
            position = int(state[records.POSITION])
            if outcome == records.TOO_LARGE:
                length = int(state[records.LENGTH])
                account.refuse(base + position, Refusal.TOO_LARGE, f"a record of {length} bytes")
                after = position + 16 + length
                if after <= end:
                    data[: end - after] = data[after:end].copy()
                    end -= after
                else:
                    file.skip(after - end)
                    end = 0
                base = min(base + after, 2**62)
            elif position:  # what is left of the block is the begin of a record
                data[: end - position] = data[position:end].copy()
                end -= position
                base += position
            elif end == len(data):
                data = np.resize(data, 2 * len(data))
            state[records.POSITION] = 0
            if read == 0 and (outcome != records.TOO_LARGE):
                break
    emit()
    if file.fault is not None:
        account.refuse(base, *file.fault)
    elif end and not state[records.SEARCHING]:
        account.refuse(base, Refusal.TRUNCATED, f"the last {end} bytes are not a whole record")
    return _result(path, tags, chunks, state, dead_reason, dead_offset, account)


def _values(bits: np.ndarray, form: np.ndarray) -> np.ndarray:
    """float64 [N] of the bits of numbers."""
    low = bits.astype(np.uint32)
    value = low.view(np.float32).astype(np.float64)
    for kind in np.unique(form):
        rows = form == kind
        if kind == fields.FLOAT64:
            value[rows] = bits[rows].view(np.float64)
        elif kind == fields.INT64:
            value[rows] = bits[rows].view(np.int64)
        elif kind == fields.FLOAT16:
            value[rows] = low[rows].astype(np.uint16).view(np.float16)
        elif kind == fields.BFLOAT16:
            value[rows] = (low[rows] << np.uint32(16)).view(np.float32)
    return value


def _result(
    path: Path,
    tags: _Tags,
    chunks: list[Points],
    state: np.ndarray,
    dead_reason: np.ndarray,
    dead_offset: np.ndarray,
    account: Account,
) -> FileTelemetry:
    account.entries += int(state[records.RECORDS])
    account.used += int(state[records.USED])
    account.other += int(state[records.OTHER])
    account.refused += int(state[records.REFUSED])
    listed = min(int(state[records.DEAD]), MOST_DEAD_LETTERS)
    reasons = [_REASONS[int(code)] for code in dead_reason[:listed]]
    account.dead_letters += [DeadLetter(int(at), reason) for at, reason in zip(dead_offset, reasons, strict=False)]
    for code, name in enumerate(_REASONS):
        if count := int(state[records.REASONS + code]):
            account.reasons[name] += count
    if state[records.SKIPPED]:
        account.notes.append(f"{int(state[records.SKIPPED])} bytes after a damaged length were skipped")
    fields = [[getattr(chunk, name) for chunk in chunks] for name in Points.__slots__]
    kinds = (np.int32, np.int64, np.float64, np.float64, np.int64)
    columns = [np.concatenate(parts) if parts else np.empty(0, kind) for parts, kind in zip(fields, kinds, strict=True)]
    points = Points(*columns)
    account.values += len(points)
    account.values_used += len(points)
    return FileTelemetry(path, "tensorboard", "byte", (RunPoints("", tuple(tags.names), points),), account)
