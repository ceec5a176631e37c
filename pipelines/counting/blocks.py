"""Collects batches of documents into blocks: tokenised, scanned and hashed while their text is in the cache."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.images.content_hash import content_hashes
from corpus_audit.pipelines.images.properties import ImageProperties
from corpus_audit.pipelines.kernels.text.characters import scan_text
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.kernels.text.sketches import sketches
from corpus_audit.pipelines.measures.base import Block, FacetColumn
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.measures.samples import EXCERPT_CHARACTERS
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, DocumentBatch
from corpus_audit.pipelines.tokens.tokenization import TokenBatch, Tokenization, text_buffers
from corpus_audit.pipelines.tokens.verification import Verifier

if TYPE_CHECKING:
    from corpus_audit.pipelines.contamination.scan import BenchmarkScanner

BLOCK_BYTES = 104 * 2**20
"""Text of a block, in bytes: as a rule all of a split, which then needs no merging."""

BLOCK_DOCUMENTS = 100_000
"""Documents of a block: what is kept for each, such as its sketch, counts where texts are a few bytes long."""

IMAGE_BYTES = 512
"""Of what is kept for each image, beside its thumbnail: they count as bytes of text in the size of a block."""

MANY_DOMAINS, MANY_DOMAINS_BYTES = 64, 6 * 2**20
"""With many domains a block's token cells approach its tokens; its size is then bounded more tightly."""

_SPARE_IDS = 2**25
"""Room for the ids of a typical block; the operating system allocates pages as they are written."""

_NO_IDS = np.empty(0, np.uint32)
_NO_TEXT = pa.array([], pa.large_string())
_buffers: dict[int, np.ndarray] = {}


def release_buffers() -> None:
    """Give back the memory that threads keep between blocks; call when no split is being counted."""
    _buffers.clear()


class BlockBuilder:
    """Collects the batches of one split into blocks; results do not depend on where blocks end."""

    def __init__(
        self,
        split: int,
        split_key: int,
        tokenization: Tokenization,
        verifier: Verifier,
        excerpts: bool,
        scanner: BenchmarkScanner | None = None,
    ) -> None:
        self._split, self._split_key = split, split_key
        self._tokenization, self._verifier, self._excerpts = tokenization, verifier, excerpts
        self._scanner = scanner
        self.nul_documents = 0
        self._start()

    def _start(self) -> None:
        self._batches: list[DocumentBatch] = []
        self._columns: list[tuple[np.ndarray, ...]] = []
        self._excerpt_parts: list[pa.Array] = []
        self._hits: list[Hits] = []
        self._images: list[ImageProperties] = []
        self._text_bytes = 0
        self._documents = 0
        self._tokens = 0
        self._domains = 0

    def add(self, batch: DocumentBatch) -> int:
        """Add a batch; returns its bytes of text and images."""
        offsets, data = text_buffers(batch.text)
        encoded = self._tokenization.encode(batch.text)
        high, low = content_hashes(data, offsets, batch.properties)
        size = len(batch)
        characters, words, has_nul = scan_text(data, offsets)
        self.nul_documents += int(has_nul.sum())
        self._verifier.add(batch.text, high, batch.rows, encoded)
        self._keep_ids(encoded)
        # Here, while the ids are in the cache and 32 bits wide, it takes half the time that it would on the block.
        firsts, sketched = sketches(encoded.ids, encoded.offsets)
        tokens = np.diff(encoded.offsets)
        self._columns.append((batch.rows, np.diff(offsets), characters, words, tokens, high, low, firsts, sketched))
        if self._excerpts:
            excerpt = pc.utf8_slice_codeunits(batch.text, 0, EXCERPT_CHARACTERS)
            self._excerpt_parts.append(excerpt.cast(pa.large_binary()))
        if self._scanner is not None:
            self._hits.append(self._scanner.scan(batch.text, encoded, high, low, self._tokenization))
        size_of_images = 0
        if batch.properties is not None:
            self._images.append(batch.properties)
            size_of_images = int(batch.properties.bytes.sum())
            self._text_bytes += batch.properties.thumbnails.nbytes + size * IMAGE_BYTES
        # Neither text nor images are kept: blocks hold counts.
        self._batches.append(DocumentBatch(batch.rows, _NO_TEXT, batch.ids, batch.facets, batch.cluster))
        self._text_bytes += len(data)
        self._documents += size
        self._domains = max(self._domains, len(batch.facets[PRIMARY].dictionary))
        return len(data) + size_of_images

    def _keep_ids(self, encoded: TokenBatch) -> None:
        """Copy the ids behind those of earlier batches, in a buffer that the thread keeps between blocks."""
        needed = self._tokens + len(encoded.ids)
        buffer = _buffers.get(threading.get_ident(), _NO_IDS)
        narrow = np.uint16 if self._tokenization.file.vocabulary <= 2**16 else np.uint32
        if len(buffer) < needed or buffer.dtype != narrow:
            larger = np.empty(needed + _SPARE_IDS, narrow)
            larger[: self._tokens] = buffer[: self._tokens]
            _buffers[threading.get_ident()] = buffer = larger
        buffer[self._tokens : needed] = encoded.ids
        self._tokens = needed

    @property
    def full(self) -> bool:
        """Whether the block is large enough to be counted."""
        limit = MANY_DOMAINS_BYTES if self._domains > MANY_DOMAINS else BLOCK_BYTES
        return self._text_bytes >= limit or self._documents >= BLOCK_DOCUMENTS

    def take(self) -> Block | None:
        """The block of all batches added since the last block; None without any.

        Its token ids are valid until the next `add` in this thread.
        """
        if not self._documents:
            return None
        rows, sizes, characters, words, tokens, high, low, firsts, sketched = (
            np.concatenate(parts) for parts in zip(*self._columns, strict=True)
        )
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(tokens, out=offsets[1:])
        facets = {name: _facet([batch.facets[name] for batch in self._batches]) for name in self._batches[0].facets}
        names, domains = _sorted_domain(facets[PRIMARY])
        clusters = _clusters(self._batches, high, low)
        block = Block(
            split=self._split,
            split_key=self._split_key,
            rows=rows,
            bytes=sizes,
            characters=characters,
            words=words,
            tokens=tokens,
            high=high,
            low=low,
            first_minhash=firsts,
            sketches=sketched,
            names=names,
            domains=domains,
            facets=facets,
            clusters=clusters and clusters[0],
            alone=clusters and clusters[1],
            ids=_buffers.get(threading.get_ident(), _NO_IDS)[: self._tokens],
            offsets=offsets,
            document_ids=_document_ids(self._batches),
            excerpts=pa.concat_arrays(self._excerpt_parts) if self._excerpts else None,
            vocabulary=self._tokenization.file.vocabulary,
            hits=Hits.joined(self._hits, [len(batch.rows) for batch in self._batches]) if self._hits else None,
            images=ImageProperties.joined(self._images) if self._images else None,
        )
        self._start()
        return block


def _facet(parts: list[pa.DictionaryArray]) -> FacetColumn:
    """One dictionary of distinct values for all batches."""
    column = pa.chunked_array(parts).cast(pa.dictionary(pa.int32(), pa.large_string())).unify_dictionaries()
    dictionary = column.chunk(0).dictionary
    codes = np.concatenate([np.asarray(chunk.indices) for chunk in column.chunks]).astype(np.int64)
    distinct = pc.unique(dictionary)
    if len(distinct) != len(dictionary):
        codes = np.asarray(pc.index_in(dictionary, distinct)).astype(np.int64)[codes]
        dictionary = distinct
    used = np.unique(codes)
    if len(used) != len(dictionary):
        positions = np.zeros(len(dictionary), np.int64)
        positions[used] = np.arange(len(used))
        codes = positions[codes]
        dictionary = dictionary.take(pa.array(used))
    return FacetColumn(dictionary, codes)


def _sorted_domain(column: FacetColumn) -> tuple[tuple[str, ...], np.ndarray]:
    order = np.asarray(pc.sort_indices(column.values.cast(pa.large_binary()))).astype(np.int64)
    positions = np.empty(len(order), np.int64)
    positions[order] = np.arange(len(order))
    return tuple(column.values.take(pa.array(order)).to_pylist()), positions[column.codes]


def _clusters(
    batches: list[DocumentBatch], high: np.ndarray, low: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray] | None:
    """Hashes of the cluster keys, and which documents have none: theirs is the content hash, ``high`` and ``low``."""
    parts = [batch.cluster for batch in batches if batch.cluster is not None]
    if not parts:
        return None
    keys = pa.concat_arrays(parts)
    alone = np.asarray(pc.is_null(keys).to_numpy(zero_copy_only=False), dtype=bool)
    offsets, data = text_buffers(pc.fill_null(keys, ""))
    key_hashes = hash_documents(data, offsets)
    return (np.where(alone, high, key_hashes[0]), np.where(alone, low, key_hashes[1])), alone


def _document_ids(batches: list[DocumentBatch]) -> pa.LargeBinaryArray:
    parts = []
    for batch in batches:
        if batch.ids is None:
            parts.append(pa.array([b""] * len(batch.rows), pa.large_binary()))
        else:
            parts.append(pc.fill_null(batch.ids, "").cast(pa.large_binary()))
    return pa.concat_arrays(parts)
