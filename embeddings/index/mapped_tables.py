"""Reads the memory-mapped tables of an index: windows by name, and documents by key.

Columns are read through their buffers: Arrow's own conversions would import pandas, which takes longer than a lookup.
Nothing is copied or read ahead, so that opening costs the same for a million rows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from corpus_audit.schemas.errors import StoreError

REMEMBERED = 1 << 14
"""Documents whose locations are kept in memory."""


@dataclass(frozen=True, slots=True)
class DocumentLocation:
    """Where a document is in a corpus (snapshot, shard, split and row), with its domain and id."""

    snapshot: str
    shard: str
    split: int
    row: int
    domain: str
    id: str | None


def document_name(id_: str | None, shard: str | None, row: int | None) -> str:
    """How a document is named to people: by its own id, else by its shard and row."""
    return id_ if id_ is not None else f"{shard} row {row}"


class StoredWindow(NamedTuple):
    """A stored window.

    Attributes:
        name: the window; document: key of its document; number: which window of it.
        text: of its tokens; text_start: code points of the document before it.
        starts, ends: int32 [T], where tokens start and end in the text; tokens: int32 [T], ids.
        counted: bool [T], whether a token may be an example.
    """

    name: int
    document: bytes
    number: int
    text: str
    text_start: int
    starts: np.ndarray
    ends: np.ndarray
    tokens: np.ndarray
    counted: np.ndarray


class WindowTable:
    """The windows of an index, by name and by row."""

    def __init__(self, path: Path) -> None:
        self._batches = [_WindowBatch(batch) for batch in _mapped(path)]
        self._first = [int(batch.names[0]) for batch in self._batches]
        self._starts = [0, *accumulate(len(batch.names) for batch in self._batches)]

    def __len__(self) -> int:
        return self._starts[-1]

    def at(self, row: int) -> StoredWindow | None:
        """The window of a row, or None."""
        if not 0 <= row < len(self):
            return None
        batch_index = bisect_right(self._starts, row) - 1
        return self._batches[batch_index].window(row - self._starts[batch_index])

    def find(self, name: int) -> StoredWindow | None:
        """The window of this name, or None."""
        batch_index = bisect_right(self._first, name) - 1
        return self._batches[batch_index].find(name) if batch_index >= 0 else None


class DocumentTable:
    """The locations of an index's documents, by key."""

    def __init__(self, path: Path) -> None:
        self._batches = [_DocumentBatch(batch) for batch in _mapped(path)]
        self._first = [batch.key(0) for batch in self._batches]
        self._last = [batch.key(-1) for batch in self._batches]
        # Windows of few documents stand in the lists of many units.
        self._remembered = lru_cache(REMEMBERED)(self._find)

    def locations(self, document: bytes) -> tuple[DocumentLocation, ...]:
        """Locations of a document, in the order of the table."""
        return self._remembered(document)

    def _find(self, document: bytes) -> tuple[DocumentLocation, ...]:
        rows: list[DocumentLocation] = []
        # A document's rows may begin in the middle of a batch and go on into the next ones.
        for batch_index in range(max(0, bisect_left(self._first, document) - 1), len(self._batches)):
            if self._first[batch_index] > document:
                break
            if document <= self._last[batch_index]:
                rows.extend(self._batches[batch_index].locations(document))
        return tuple(rows)


class _WindowBatch:
    __slots__ = (
        "counted", "document", "ends", "first_bit", "names", "number", "offsets", "starts", "text", "text_start",
        "tokens",
    )  # fmt: skip

    def __init__(self, batch: pa.RecordBatch) -> None:
        starts, ends = batch.column("starts"), batch.column("ends")
        self.names = _numbers(batch.column("window"), np.uint64)
        self.offsets = _numbers(starts.offsets, np.int32)
        self.starts, self.ends = (_numbers(each.values, str(each.values.type)) for each in (starts, ends))
        self.document, self.number = batch.column("document"), _numbers(batch.column("number"), np.int32)
        self.text, self.text_start = batch.column("text"), _numbers(batch.column("text_start"), np.int64)
        tokens = batch.column("tokens").values
        self.tokens = _numbers(tokens, str(tokens.type))
        counted = batch.column("counted").values
        self.counted, self.first_bit = np.frombuffer(counted.buffers()[1] or b"", np.uint8), counted.offset

    def find(self, name: int) -> StoredWindow | None:
        key = np.uint64(name)
        i = int(self.names.searchsorted(key))
        if i == len(self.names) or self.names[i] != key:
            return None
        return self.window(i)

    def window(self, i: int) -> StoredWindow:
        begin, end = int(self.offsets[i]), int(self.offsets[i + 1])
        return StoredWindow(
            int(self.names[i]),
            self.document[i].as_py(),
            int(self.number[i]),
            self.text[i].as_py(),
            int(self.text_start[i]),
            self.starts[begin:end].astype(np.int32),
            self.ends[begin:end].astype(np.int32),
            self.tokens[begin:end].astype(np.int32),
            _bits(self.counted, self.first_bit + begin, self.first_bit + end),
        )


class _DocumentBatch:
    __slots__ = ("_bytes", "_columns", "_dictionaries", "_id", "_keys", "_row", "_split", "_words")

    def __init__(self, batch: pa.RecordBatch) -> None:
        # numpy strips trailing zero bytes of S16 values and compares as if they were there: the order is the keys'.
        self._keys = _numbers(batch.column("document"), np.dtype("S16"))
        self._bytes = self._keys.view(np.uint8).data
        self._row, self._split = _numbers(batch.column("row"), np.int64), _numbers(batch.column("split"), np.int32)
        self._id = batch.column("id")
        columns = [batch.column(name) for name in ("snapshot", "shard", "domain")]
        self._columns = [_numbers(column.indices, np.int32) for column in columns]
        self._dictionaries = [column.dictionary for column in columns]
        # Few distinct words stand in many rows, and making a Python string of one takes a microsecond.
        self._words: list[dict[int, str]] = [{} for _ in columns]

    def key(self, row: int) -> bytes:
        row %= len(self._keys)
        return bytes(self._bytes[16 * row : 16 * row + 16])

    def locations(self, document: bytes) -> list[DocumentLocation]:
        rows: list[DocumentLocation] = []
        row = int(self._keys.searchsorted(document))
        while self._bytes[16 * row : 16 * row + 16] == document:  # beyond the last row there are no bytes
            snapshot, shard, domain = self._word(0, row), self._word(1, row), self._word(2, row)
            rows.append(
                DocumentLocation(
                    snapshot, shard, int(self._split[row]), int(self._row[row]), domain, self._id[row].as_py()
                )
            )
            row += 1
        return rows

    def _word(self, column: int, row: int) -> str:
        code = int(self._columns[column][row])
        word = self._words[column].get(code)
        if word is None:
            word = self._words[column][code] = self._dictionaries[column][code].as_py()
        return word


def _numbers(array: pa.Array, kind: Any) -> np.ndarray:
    """The values of an array of fixed width without nulls, not copied."""
    size = np.dtype(kind).itemsize
    if not len(array):
        return np.empty(0, kind)
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * size)


def _bits(packed: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Bits from ``begin`` to before ``end`` of bytes, the lowest of a byte first, as booleans."""
    skipped = begin % 8
    values = np.unpackbits(packed[begin // 8 : -(-end // 8)], bitorder="little")
    return values[skipped : skipped + end - begin].view(np.bool_)


def _mapped(path: Path) -> list[pa.RecordBatch]:
    """The batches of an IPC file, mapped, without empty ones."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {error}") from None
    return [batch for batch in table.to_batches() if batch.num_rows]
