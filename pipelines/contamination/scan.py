"""Scans batches of documents against a benchmark index, while their text is still in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.benchmarks.normal_form import (
    canonical_texts,
    canonical_tokens,
    original_spans,
)
from corpus_audit.pipelines.contamination.benchmarks.normalisation import tables
from corpus_audit.pipelines.contamination.index_file import BenchmarkIndex, load_index
from corpus_audit.pipelines.kernels.contamination.scan import Buffers, Marks
from corpus_audit.pipelines.kernels.contamination.tokens import scan_tokens
from corpus_audit.pipelines.kernels.contamination.words import scan_words
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.tokens.tokenization import TokenBatch, Tokenization, text_buffers

_indexes: dict[Path, BenchmarkIndex] = {}
_indexes_lock = threading.Lock()


_BUFFER_WORDS = 2**21
"""Words that a thread's reused buffers have room for; a longer document gets buffers of its own."""


@dataclass
class _Workspace:
    """A thread's marks, the next serial number, and buffers for a document."""

    marks: Marks
    serial: int = 1
    buffers: Buffers | None = None

    def buffers_for(self, longest: int) -> Buffers:
        """Buffers of at least ``longest`` elements."""
        if longest > _BUFFER_WORDS:
            return Buffers.of(longest)
        if self.buffers is None:
            self.buffers = Buffers.of(_BUFFER_WORDS)
        return self.buffers


class BenchmarkScanner:
    """Scans documents for one index; pickles as the index's path, and every thread has marks of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._workspaces: dict[int, _Workspace] = {}

    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._workspaces = {}

    @property
    def digest(self) -> str:
        """Digest that identifies the index."""
        return self.path.stem

    @cached_property
    def index(self) -> BenchmarkIndex:
        """The index, mapped once a process.

        Raises:
            StoreError: when it is missing or damaged.
        """
        with _indexes_lock:
            if self.path not in _indexes:
                _indexes[self.path] = load_index(self.path)
            return _indexes[self.path]

    def scan(
        self,
        text: pa.LargeStringArray,
        encoded: TokenBatch,
        high: np.ndarray,
        low: np.ndarray,
        tokenization: Tokenization,
    ) -> Hits:
        """Scan D documents and return their hits.

        Args:
            text: the documents' texts [D].
            encoded: their token ids, uint32.
            high, low: uint64 [D], their content hashes.
            tokenization: the tokenizer that encoded them; texts that are not in Normalization Form C are encoded again.
        """
        index = self.index
        original = text
        text, changed = canonical_texts(text)
        encoded = canonical_tokens(encoded, text, changed, tokenization)
        offsets, data = text_buffers(text)
        own = self._own_texts(high, low)
        workspace = self._workspace(len(text))
        serial, workspace.serial = workspace.serial, workspace.serial + len(text)
        # A document of n bytes has at most (n + 1) / 2 words and, with most tokenizers, n tokens.
        longest = max(int(np.diff(offsets).max(initial=0)), int(np.diff(encoded.offsets).max(initial=0))) + 1
        buffers = workspace.buffers_for(longest)
        words = scan_words(
            data,
            offsets,
            own,
            *tables(),
            index.words,
            index.long_words,
            index.texts,
            workspace.marks,
            serial,
            buffers,
        )
        tokens = scan_tokens(
            encoded.ids, encoded.offsets, own, index.tokens, index.texts, workspace.marks, serial, buffers
        )
        pairs = words.pairs
        _restore_spans(pairs, original, changed)
        starts = index.gram_starts
        return Hits(
            np.concatenate([_rows(stops) for stops in (words.gram_stops, words.long_stops, tokens.gram_stops)]),
            np.concatenate(
                [words.grams + starts.words, words.long_grams + starts.long_words, tokens.grams + starts.tokens]
            ),
            pairs[:, :7].copy(),
            np.concatenate(([0], pairs[:, 7])),
            words.spans,
            tokens.pairs,
            tokens.positions,
            tokens.lengths,
        )

    def _own_texts(self, high: np.ndarray, low: np.ndarray) -> np.ndarray:
        """int64 [D], the text of the decoy that was cut from a document with this content, or -1."""
        decoy = source_decoys(self.index, high, low)
        return np.where(decoy < 0, -1, decoy + self.index.size - self.index.decoys)

    def release(self) -> None:
        """Release the workspaces of all threads; call when no split is being counted."""
        self._workspaces.clear()

    def _workspace(self, documents: int) -> _Workspace:
        """The thread's workspace; a new one when its serial numbers, which are int32, run out."""
        thread = threading.get_ident()
        if thread not in self._workspaces or self._workspaces[thread].serial + documents >= 2**31:
            index = self.index
            words, tokens = len(index.words.keys), len(index.texts.tokens)
            marks = Marks(
                words=np.zeros(words, np.int32),
                word_heads=np.zeros(words, np.int32),
                long_words=np.zeros(len(index.long_words.keys), np.int32),
                tokens=np.zeros(len(index.tokens.keys), np.int32),
                texts=np.zeros(index.size, np.int32),
                token_texts=np.zeros(index.size, np.int32),
                token_rows=np.zeros(index.size, np.int64),
                positions=np.zeros(tokens, np.int32),
                ends=np.zeros(tokens, np.int32),
                best=np.zeros(tokens, np.int32),
            )
            self._workspaces[thread] = _Workspace(marks)
        return self._workspaces[thread]


def source_decoys(index: BenchmarkIndex, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """int64 [D], the decoy that was cut from a document with this content hash, or -1."""
    numbers = np.full(len(high), -1, np.int64)
    source_high, source_low = index.sources
    if len(source_high):
        nearest = np.searchsorted(source_high, high)
        nearest = np.minimum(nearest, len(source_high) - 1)
        same = (source_high[nearest] == high) & (source_low[nearest] == low)
        numbers[same] = nearest[same]
    return numbers


def _restore_spans(pairs: np.ndarray, text: pa.LargeStringArray, changed: np.ndarray) -> None:
    """Replace spans (columns 4 and 5) in texts that were normalised by the spans in the original texts."""
    rows = np.flatnonzero(np.isin(pairs[:, 0], changed))
    for row in np.unique(pairs[rows, 0]):
        of_row = rows[pairs[rows, 0] == row]
        spans = [(int(first), int(length)) for first, length in pairs[of_row, 4:6]]
        pairs[of_row, 4:6] = original_spans(text[int(row)].as_py(), spans)


def _rows(stops: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(stops)), np.diff(stops, prepend=0))
