"""Texts of drawn documents, as hashed words and MinHash signatures, gathered from a corpus in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.text.ngrams import PERMUTATIONS, signatures
from corpus_audit.pipelines.kernels.text.normalised_words import SPACE, hash_texts
from corpus_audit.pipelines.sampling.log.reader import id_keys
from corpus_audit.pipelines.sampling.log.row_files import column_types, record_batches, row_files, usage_errors
from corpus_audit.pipelines.statistics.intervals.clustered import Integers
from corpus_audit.schemas.errors import UsageError

MOST_BYTES = 1 << 28
"""Bytes of text of all documents together; with what is computed of them about four times as many in memory."""

_WHAT = "texts of drawn documents"
_ROWS = 1 << 12

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class DrawnTexts:
    """Texts of D documents with W words, runs of characters without white space.

    Attributes:
        keys: hashes of their ids, ascending, [D].
        starts: int64 [D + 1], offsets in ``words``.
        words: hashes, uint64 [W].
        signatures: of shingles of five words, uint32 [D, 128].
        named: the texts of some documents, by key.
    """

    keys: Keys
    starts: Integers
    words: Keys
    signatures: npt.NDArray[np.uint32]
    named: dict[int, str]

    def rows_of(self, keys: Keys) -> Integers:
        """Positions of the documents that have a text, of distinct keys."""
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        return np.asarray(at[self.keys[at] == keys] if len(self.keys) else np.empty(0, np.int64))

    def words_of(self, rows: Integers) -> tuple[Keys, Integers]:
        """(words, offsets) of some documents, one after the other."""
        pieces = [self.words[self.starts[row] : self.starts[row + 1]] for row in rows.tolist()]
        offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
        return (np.concatenate(pieces) if pieces else np.empty(0, np.uint64)), offsets


def read_texts(
    base: Path, paths: Sequence[str], columns: tuple[str, str], keys: Keys, named: Keys, most: int = MOST_BYTES
) -> DrawnTexts:
    """Gather the texts of some documents, the first of each id.

    Args:
        base: folder that paths are relative to.
        paths: Parquet files or JSON lines, folders of them, or globs.
        columns: those of the id and of the text.
        keys: hashes of the ids, distinct.
        named: those whose text is kept.
        most: bytes of text at most.

    Raises:
        UsageError: a file cannot be read or lacks a column, or the texts have more than ``most`` bytes.
    """
    wanted = np.sort(keys)
    seen = np.zeros(len(wanted), bool)
    parts: list[tuple[Keys, Integers, Keys, npt.NDArray[np.uint32]]] = []
    texts: dict[int, str] = {}
    keep = set(named.tolist())
    size = 0
    for file in [file for path in paths for file in row_files(base, path, _WHAT)]:
        types = column_types(file, _WHAT)
        for name in columns:
            if name not in types:
                raise UsageError(f"{_WHAT} {file}: no column {name!r} (it has {', '.join(types) or 'none'})")
        for batch in record_batches(file, list(columns), types, _WHAT, _ROWS):
            with usage_errors(file, _WHAT):
                ids, documents = _valid(batch)
            own = id_keys(ids)
            at = np.minimum(np.searchsorted(wanted, own), max(len(wanted) - 1, 0))
            match = np.flatnonzero(wanted[at] == own) if len(wanted) else np.empty(0, np.int64)
            _, first = np.unique(own[match], return_index=True)
            rows = match[np.sort(first)]
            rows = rows[~seen[at[rows]]]
            if not len(rows):
                continue
            seen[at[rows]] = True
            selected = documents.take(pa.array(rows))
            size += int(pc.sum(pc.binary_length(selected)).as_py() or 0)
            if size > most:
                raise UsageError(
                    f"{_WHAT}: those of these steps have more than {most >> 20} MiB; ask about fewer steps"
                )
            parts.append((own[rows], *_hashed(selected)))
            for key, row in zip(own[rows].tolist(), range(len(rows)), strict=True):
                if key in keep:
                    texts[key] = selected[row].as_py()
    return _joined(parts, texts)


def _valid(batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """(ids, texts) of the rows that have both, as text that is valid UTF-8."""
    present = pc.and_(pc.is_valid(batch.column(0)), pc.is_valid(batch.column(1)))
    ids, texts = (column.filter(present) for column in batch.columns)
    texts = texts.cast(pa.large_string())
    texts.validate(full=True)
    return ids.cast(pa.string()), texts


def _hashed(texts: pa.Array) -> tuple[Integers, Keys, npt.NDArray[np.uint32]]:
    """(words of every text, their hashes, signatures)."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    words, starts = hash_texts(content[: bounds[-1]], np.ascontiguousarray(bounds), *_tables())
    short = words.astype(np.uint32)  # the lower half is as good a hash
    return np.diff(starts), words, signatures(short, starts, np.arange(len(texts), dtype=np.int64))


def _joined(parts: list[tuple[Keys, Integers, Keys, npt.NDArray[np.uint32]]], texts: dict[int, str]) -> DrawnTexts:
    if not parts:
        nothing = np.empty(0, np.uint64)
        return DrawnTexts(nothing, np.zeros(1, np.int64), nothing, np.empty((0, PERMUTATIONS), np.uint32), texts)
    keys, lengths, words, signed = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(keys)
    begins = np.cumsum(lengths) - lengths
    starts = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    moved = np.arange(len(words)) - np.repeat(starts[:-1] - begins[order], lengths[order])
    return DrawnTexts(keys[order], starts, words[moved], signed[order], texts)


@cache
def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Every code point as itself, white space as such: words are those that ``str.split`` gives."""
    wide = np.arange(1 << 16, dtype=np.uint16)
    wide[:2] = 2  # 0 and 1 say drop and space
    wide[[code for code in range(1 << 16) if chr(code).isspace()]] = SPACE
    return wide[:128].astype(np.uint8), wide
