"""Reads JSON lines, plain, .gz or .zst: strictly and line by line, so that a bad line affects no other line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.reading.documents.assembly import BATCH_BYTES, Fields
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.json_rows import ObjectRows, parse_object
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.expansion import ExpansionGuard
from corpus_audit.pipelines.reading.formats.lines import LongLine, read_lines
from corpus_audit.schemas.run.dead_letters import DeadLetterReason
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, Split

_CHUNK = 2**20
_BOM = b"\xef\xbb\xbf"
_CODECS = {ShardFormat.JSONL_GZ: "gzip", ShardFormat.JSONL_ZST: "zstd"}


def read_jsonl(shard: Shard, split: Split, settings: ReadSettings, tally: SplitTally) -> Iterator[DocumentBatch]:
    """The documents of the lines that start in ``[split.start, split.stop)`` (compressed: see `lines.read_lines`).

    Rows are the lines that are not blank. A byte-order mark at the file's start and CRLF are tolerated.

    Raises:
        ShardError, OSError: the compressed data is truncated, corrupt or a decompression bomb.
    """
    parser = _Parser(shard, settings, tally)
    pending: list[bytes | LongLine] = []
    size = 0
    with filesystems.open_arrow(shard.path) as file:
        guard = ExpansionGuard(shard, settings.limits)
        first = split.start == 0
        for lines in read_lines(
            *_parts(file, shard, split, guard), skip_first=not first, limit=settings.limits.document_bytes
        ):
            for line in lines:
                if type(line) is bytes:
                    if first:
                        line = line.removeprefix(_BOM)
                    if not line or line.isspace():
                        first = False
                        continue
                    size += len(line)
                first = False
                pending.append(line)
                if size >= BATCH_BYTES:
                    yield from parser.parse(pending)
                    pending, size = [], 0
    yield from parser.parse(pending)


def _parts(
    file: pa.NativeFile, shard: Shard, split: Split, guard: ExpansionGuard
) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """The decoded bytes of a split, and those that follow it.

    In plain files the bounds move one byte to the left: a line that starts at ``split.start`` follows a newline at the
    byte before it.
    """
    codec = _CODECS.get(shard.format)
    start, stop = split.start, split.stop
    if codec is None:
        start, stop = max(start - 1, 0), stop if stop == shard.size else stop - 1
    return _chunks(file, start, stop, codec, guard), _chunks(file, stop, shard.size, codec, guard)


def _chunks(file: pa.NativeFile, start: int, stop: int, codec: str | None, guard: ExpansionGuard) -> Iterator[bytes]:
    if start >= stop:
        return
    stream = file.get_stream(start, stop - start)
    if codec is None:
        while chunk := stream.read(_CHUNK):
            yield chunk
        return
    decoder = pa.CompressedInputStream(stream, codec)
    while chunk := decoder.read(_CHUNK):
        guard.add(len(chunk))
        yield chunk


class _Parser:
    """Parses the lines of one split."""

    def __init__(self, shard: Shard, settings: ReadSettings, tally: SplitTally) -> None:
        self._tally = tally
        self._rows = ObjectRows(Fields.of(shard, settings), settings, tally)

    def parse(self, lines: Sequence[bytes | LongLine]) -> Iterator[DocumentBatch]:
        """The documents among the lines, as one batch or none."""
        rows: list[int] = []
        objects: list[dict[str, Any]] = []
        sources: list[bytes] = []
        reject = self._rows.assembler.reject
        for row, line in enumerate(lines, start=self._tally.rows):
            if isinstance(line, LongLine):
                self._rows.assembler.reject_digest(row, DeadLetterReason.TOO_LARGE, line.sha256, line.size, line.head)
                continue
            value, reason = parse_object(line)
            if reason is None and self._rows.mistyped_for_filter(value):
                reason = DeadLetterReason.WRONG_TYPE
            if reason is not None:
                reject(row, reason, line.removesuffix(b"\r"))
            else:
                rows.append(row)
                objects.append(value)
                sources.append(line)
        self._tally.rows += len(lines)
        self._tally.row_bytes += sum(map(_row_bytes, lines))
        if objects:
            batch = self._rows.assemble(np.array(rows, dtype=np.int64), objects, sources)
            if batch is not None:
                yield batch


def _row_bytes(line: bytes | LongLine) -> int:
    return line.size if isinstance(line, LongLine) else len(line) - line.endswith(b"\r")
