"""A segment of a trace index: some documents as symbols, with their suffix array.

A symbol is a word with the white space behind it. Symbols are numbered in the order of their words, then of their white
space, so that the suffixes that begin with a span, whatever follows its last word, are adjacent in the suffix array.
Symbol 0 stands behind every document. The text itself is not stored: its symbols are the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.kernels.tracing.suffix_array import suffix_array
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, DocumentBatch
from corpus_audit.pipelines.storage.array_files import map_arrays, write_arrays
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from corpus_audit.pipelines.tracing.words import words_of

MAGIC = b"corpus-audit trace segment 1\n"
SEGMENT_BYTES = 32 * 2**20
"""Text of a segment, in bytes, unless a single document has more; memory while it is built is a small multiple."""


@dataclass(frozen=True)
class Segment:
    """Documents with their suffix array, mapped from a file. T symbols, S suffixes, V distinct symbols, D documents.

    Attributes:
        symbols: int32 [T].
        suffixes: int32 [S], positions in ``symbols`` at which a word begins, in the order of what follows.
        text: uint8, the distinct symbols, one after the other.
        starts: int64 [V + 1], where each begins in ``text``.
        lengths: int32 [V], bytes of each without the white space.
        counted: uint8 [V], 1 for those that count as words.
        documents: int64 [D + 1], the first symbol of each document.
        rows: int64 [D], the row of each within its split.
        document_words: int64 [D], words of each that count.
        domain_codes: int32 [D], the domain of each as an index of ``domains``.
        domains: names of the domains.
        id_text, id_starts: uint8 and int64 [D + 1], ids of the documents.
        has_id: uint8 [D], 0 for a document without an id.
    """

    symbols: np.ndarray
    suffixes: np.ndarray
    text: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    counted: np.ndarray
    documents: np.ndarray
    rows: np.ndarray
    document_words: np.ndarray
    domain_codes: np.ndarray
    domains: tuple[str, ...]
    id_text: np.ndarray
    id_starts: np.ndarray
    has_id: np.ndarray

    @cached_property
    def size(self) -> int:
        """D, the number of documents."""
        return len(self.rows)

    def document_of(self, positions: np.ndarray) -> np.ndarray:
        """The documents of positions in ``symbols``, int64."""
        return np.searchsorted(self.documents, positions, side="right") - 1

    def id_of(self, document: int) -> str | None:
        """A document's id."""
        if not self.has_id[document]:
            return None
        return bytes(self.id_text[self.id_starts[document] : self.id_starts[document + 1]]).decode()

    def text_of(self, start: int, stop: int) -> str:
        """The text of some symbols of one document."""
        symbols = self.symbols[start:stop]
        begins = self.starts[symbols]
        sizes = self.starts[symbols + 1] - begins
        ends = np.cumsum(sizes)
        at = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(begins - (ends - sizes), sizes)
        return bytes(self.text[at]).decode()


def write_segment(path: Path, batches: Sequence[DocumentBatch]) -> str:
    """Write the segment of some documents, at least one; returns the SHA-256 at the end of the file."""
    buffers = [text_buffers(batch.text) for batch in batches]
    symbols, documents, vocabulary = _symbols(buffers)
    sorted_suffixes = suffix_array(symbols, len(vocabulary.lengths) - 1)
    suffixes = sorted_suffixes[(vocabulary.lengths > 0)[symbols][sorted_suffixes]]
    del sorted_suffixes
    domains = pa.chunked_array([batch.facets[PRIMARY].cast(pa.large_string()) for batch in batches])
    encoded = domains.combine_chunks().dictionary_encode()
    ids = pa.chunked_array(
        [
            pa.nulls(len(batch), pa.large_string()) if batch.ids is None else batch.ids.cast(pa.large_string())
            for batch in batches
        ]
    ).combine_chunks()
    id_starts, id_text = text_buffers(pc.fill_null(ids, ""))
    arrays = {
        "symbols": symbols,
        "suffixes": suffixes,
        "text": vocabulary.text,
        "starts": vocabulary.starts,
        "lengths": vocabulary.lengths,
        "counted": vocabulary.counted,
        "documents": documents,
        "rows": np.concatenate([batch.rows for batch in batches]).astype(np.int64),
        "document_words": np.add.reduceat(vocabulary.counted[symbols], documents[:-1], dtype=np.int64),
        "domain_codes": np.asarray(encoded.indices).astype(np.int32),
        "id_text": id_text,
        "id_starts": id_starts,
        "has_id": np.asarray(pc.is_valid(ids)).astype(np.uint8),
    }
    return write_arrays(path, MAGIC, arrays, {"domains": encoded.dictionary.to_pylist()})


def map_segment(path: Path, sha256: str) -> Segment:
    """Map a segment's file into memory.

    Raises:
        StoreError: the file is missing, cut, of another version, or not the one with this digest.
    """
    arrays, header = map_arrays(path, MAGIC, sha256)
    return Segment(**arrays, domains=tuple(header["domains"]))


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    text: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    counted: np.ndarray


def _symbols(buffers: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, _Vocabulary]:
    """Symbols of documents int32 [T], the first symbol of each int64 [D + 1], and the distinct symbols."""
    cut = [words_of(text, offsets) for offsets, text in buffers]
    text = np.concatenate([text for _, text in buffers])
    sizes = [len(part) for _, part in buffers]
    bases = np.concatenate([[0], np.cumsum(sizes)])
    offsets = np.concatenate([words.starts + base for words, base in zip(cut, bases[:-1], strict=True)] + [bases[-1:]])
    lengths = np.concatenate([words.lengths for words in cut])
    counted = np.concatenate([words.counted for words in cut])
    totals = np.concatenate([[0], np.cumsum([len(words.starts) for words in cut])])
    stops = np.concatenate([words.stops + total for words, total in zip(cut, totals[:-1], strict=True)])
    del cut
    count = len(lengths)
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), count, [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(text)]
    )
    encoded = array.dictionary_encode()  # symbols of equal bytes have equal words: white space is known by its bytes
    codes = np.asarray(encoded.indices)
    first = np.empty(len(encoded.dictionary), np.int64)
    first[codes[::-1]] = np.arange(count - 1, -1, -1, dtype=np.int32)
    starts, data = text_buffers(encoded.dictionary.cast(pa.large_binary()))
    word_lengths, counted = lengths[first], counted[first]
    del array, text, offsets, lengths, first  # half of the memory that is needed here
    order = _order(data, starts, word_lengths)
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(1, len(order) + 1)
    symbols = np.zeros(count + len(stops), np.int32)
    documents = np.zeros(len(stops) + 1, np.int64)
    documents[1:] = stops + np.arange(1, len(stops) + 1)  # behind each document is its separator
    filled = np.ones(len(symbols), bool)
    filled[documents[1:] - 1] = False
    symbols[filled] = ranks[codes]
    ordered = encoded.dictionary.take(pa.array(order))
    new_starts, new_text = text_buffers(ordered)
    vocabulary = _Vocabulary(
        new_text,
        np.concatenate([[0], new_starts]),
        np.concatenate([[0], word_lengths[order]]).astype(np.int32),
        np.concatenate([[0], counted[order]]).astype(np.uint8),
    )
    return symbols, documents, vocabulary


def _order(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The order of distinct symbols: by the bytes of their words, then of their white space."""
    sizes = np.diff(starts)
    inside = np.arange(len(data)) - np.repeat(starts[:-1], sizes) < np.repeat(lengths, sizes)
    table = pa.table({"word": _binary(data[inside], lengths), "space": _binary(data[~inside], sizes - lengths)})
    keys = [("word", "ascending"), ("space", "ascending")]
    return np.asarray(pc.sort_indices(table, sort_keys=keys)).astype(np.int64)


def _binary(data: np.ndarray, sizes: np.ndarray) -> pa.LargeBinaryArray:
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(sizes), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    )
