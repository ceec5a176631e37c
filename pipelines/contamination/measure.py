"""The measure of contamination: mergeable evidence of benchmark items, enough to evaluate every rule after the merge.

Which n-grams are boilerplate is only known once the whole corpus is counted, so no rule is evaluated here:

* ``grams``: documents that contain each benchmark n-gram, by domain. Exact; sufficient for GPT-3, PaLM and Llama 3.
* ``places``: for each token of a text, the longest match of Llama 2 that begins there. Exact: a longer match covers
  all that a shorter one from the same token covers, and whether it counts depends on the token's own n-gram.
* ``matches``: for each text, the `KEPT_DOCUMENTS` documents whose 8-grams cover most of its words, with their runs of
  8-grams (so that the limit can be applied) and offsets. Tulu 3's best document is exact without the limit; with it,
  only a document that ranks behind `KEPT_DOCUMENTS` others may be lost, and the item is then ``boilerplate``, never
  ``clean``.
* ``idf``, ``token_matches``: for each text, the one document of the highest IDF score, of the longest token match.
* ``documents``: documents that share an 8-gram with a benchmark, by domain. ``copies``: documents whose text is that of
  a decoy's source; they contain its n-grams by construction and are subtracted.

Decoys are counted by a measure of their own, with an index of their own: they change with the snapshot, while counts of
the benchmarks are reused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.contamination.index_file import BenchmarkIndex
from corpus_audit.pipelines.contamination.scan import BenchmarkScanner, source_decoys
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from corpus_audit.schemas.spec.audit import AuditSpec

KEPT_DOCUMENTS = 16
"""Matching documents stored a text."""

_RANK_BASE = 2**32
"""A rank is this less the value: the largest value has the lowest rank, and tables keep the lowest rows."""

_DOCUMENT = (
    ("high", ColumnKind.TIE),
    ("low", ColumnKind.TIE),
    ("copy", ColumnKind.TIE),
    ("domain", ColumnKind.FIRST_DOMAIN),
    ("id", ColumnKind.BYTES),
)

GRAMS = TableSpec((("gram", ColumnKind.KEY), ("domain", ColumnKind.DOMAIN), ("documents", ColumnKind.SUM)))
POSITIONS = TableSpec((("place", ColumnKind.KEY), ("rank", ColumnKind.TIE)))  # names of stored partials stay
MATCHES = TableSpec(
    (
        ("text", ColumnKind.KEY),
        ("rank", ColumnKind.KEY),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("copy", ColumnKind.TIE),
        ("documents", ColumnKind.SUM),
        ("domain", ColumnKind.FIRST_DOMAIN),
        ("longest", ColumnKind.FIRST),
        ("offset", ColumnKind.FIRST),
        ("length", ColumnKind.FIRST),
        ("id", ColumnKind.BYTES),
        ("spans", ColumnKind.BYTES),
    ),
    keep_per_domain=KEPT_DOCUMENTS,  # rows of one value of the first key, here the text
)
IDF = TableSpec((("text", ColumnKind.KEY), ("rank", ColumnKind.TIE), *_DOCUMENT))
TOKEN_MATCHES = TableSpec((("text", ColumnKind.KEY), ("rank", ColumnKind.TIE), *_DOCUMENT))
DOCUMENTS = TableSpec((("benchmark", ColumnKind.KEY), ("domain", ColumnKind.DOMAIN), ("documents", ColumnKind.SUM)))
COPIES = TableSpec((("decoy", ColumnKind.KEY), ("documents", ColumnKind.SUM)))


class DocumentColumns(Protocol):
    """The columns of a block that `count_evidence` reads."""

    @property
    def names(self) -> tuple[str, ...]:
        """Primary-facet values."""

    @property
    def domains(self) -> np.ndarray:
        """int64 [D], positions in ``names``."""

    @property
    def high(self) -> np.ndarray:
        """uint64 [D], first half of the content hash."""

    @property
    def low(self) -> np.ndarray:
        """uint64 [D], its second half."""

    @property
    def document_ids(self) -> pa.LargeBinaryArray:
        """Ids [D], empty where there is none."""


class Contamination(Measure):
    """Matches of documents with the texts of one index; pickles as the index's path."""

    name = "contamination"
    version = 2

    def __init__(self, path: Path) -> None:
        self.scanner = BenchmarkScanner(path)

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The index, the domain and the document's id."""
        domain = domain_settings(spec.document)["domain"]
        return {"index": self.scanner.digest, "domain": domain, "id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """The tables that the module describes."""
        return {
            "grams": GRAMS,
            "places": POSITIONS,
            "matches": MATCHES,
            "idf": IDF,
            "token_matches": TOKEN_MATCHES,
            "documents": DOCUMENTS,
            "copies": COPIES,
        }

    def count(self, block: Block) -> Partial:
        """Turn the hits of a block, which was scanned while its text was in memory, into tables.

        Raises:
            ValueError: the block was built without a scanner.
        """
        if block.hits is None:
            raise ValueError("the block was built without a scanner: its text was not looked at")
        return count_evidence(self.scanner.index, block.hits, block)


class Decoys(Contamination):
    """The same measure for a run's decoys, counted only in the splits that are searched for them.

    Decoys and splits differ between snapshots, so partials are not reused between them.
    """

    name = "decoys"
    version = 1

    def __init__(self, path: Path, splits: str) -> None:
        """``path`` is the decoys' index, ``splits`` a digest of the selected splits."""
        super().__init__(path)
        self._splits = splits

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The settings of `Contamination`, its version, and the selected splits."""
        return super().settings(spec) | {"splits": self._splits, "scan": Contamination.version}


def count_evidence(index: BenchmarkIndex, hits: Hits, block: DocumentColumns) -> Partial:
    """The partial of the hits in a block of documents."""
    tables = {
        "grams": _grams(hits, block),
        "places": CountTable(POSITIONS, {"place": hits.positions.astype(np.uint64), "rank": _rank(hits.lengths)}),
        "matches": _matches(hits, block),
        "idf": _best_documents(IDF, hits.pairs[hits.pairs[:, 6] > 0][:, [0, 1, 6]], block),
        "token_matches": _best_documents(TOKEN_MATCHES, hits.token_pairs, block),
        "documents": _documents(index, hits, block),
        "copies": _copies(index, block),
    }
    return Partial(block.names, {name: merging.merge([table]) for name, table in tables.items()})


def value_of_rank(rank: np.ndarray) -> np.ndarray:
    """int64 [N], the values of ranks; see `_RANK_BASE`."""
    return _RANK_BASE - rank.astype(np.int64)


def _rank(value: np.ndarray) -> np.ndarray:
    return (_RANK_BASE - value).astype(np.uint64)


def _grams(hits: Hits, block: DocumentColumns) -> CountTable:
    """Documents by n-gram and domain, summed here: sorting a number a hit takes a tenth of the time of merging rows."""
    domains = max(len(block.names), 1)
    cells = np.sort(hits.grams * domains + block.domains[hits.gram_rows])
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    columns = {
        "gram": (cells[starts] // domains).astype(np.uint64),
        "domain": cells[starts] % domains,
        "documents": np.diff(starts, append=len(cells)),
    }
    return CountTable(GRAMS, columns)


def _matches(hits: Hits, block: DocumentColumns) -> CountTable:
    row, text, covered, longest, offset, length = hits.pairs[:, :6].T
    spans = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(row),
        [None, pa.py_buffer(hits.span_starts * 4), pa.py_buffer(hits.spans.astype("<i4").tobytes())],
    )
    columns = {
        "text": text.astype(np.uint64),
        "rank": _rank(covered),
        "high": block.high[row],
        "low": block.low[row],
        "copy": _copy_hashes(block, row),
        "documents": np.ones(len(row), np.int64),
        "domain": block.domains[row],
        "longest": longest.copy(),
        "offset": offset.copy(),
        "length": length.copy(),
        "id": block.document_ids.take(pa.array(row)),
        "spans": spans,
    }
    return CountTable(MATCHES, columns)


def _best_documents(spec: TableSpec, pairs: np.ndarray, block: DocumentColumns) -> CountTable:
    """The document of the largest value of each text; ``pairs`` are int64 [P, 3] of (row, text, value)."""
    row, text, value = pairs.T
    columns = {
        "text": text.astype(np.uint64),
        "rank": _rank(value),
        "high": block.high[row],
        "low": block.low[row],
        "copy": _copy_hashes(block, row),
        "domain": block.domains[row],
        "id": block.document_ids.take(pa.array(row)),
    }
    return CountTable(spec, columns)


def _documents(index: BenchmarkIndex, hits: Hits, block: DocumentColumns) -> CountTable:
    """Documents by benchmark and domain; a text of several benchmarks counts for each, a document once a benchmark."""
    # A pair (document, text) becomes one a benchmark that has the text: ``first`` are the offsets of each text's
    # benchmarks. The key (document, benchmark) is unique, however many texts of the benchmark the document matches.
    order = np.argsort(index.item_texts, kind="stable")
    texts, benchmarks = index.item_texts[order], index.item_benchmarks[order]
    first = np.searchsorted(texts, np.arange(index.size + 1))
    row, text = hits.pairs[:, 0], hits.pairs[:, 1]
    repeats = np.diff(first)[text]
    ends = np.cumsum(repeats)
    item = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first[text] - (ends - repeats), repeats)
    pairs = np.unique(np.repeat(row, repeats) << 32 | benchmarks[item])
    columns = {
        "benchmark": (pairs & (2**32 - 1)).astype(np.uint64),
        "domain": block.domains[pairs >> 32],
        "documents": np.ones(len(pairs), np.int64),
    }
    return CountTable(DOCUMENTS, columns)


def _copies(index: BenchmarkIndex, block: DocumentColumns) -> CountTable:
    decoy = source_decoys(index, block.high, block.low)
    decoy = decoy[decoy >= 0]
    return CountTable(COPIES, {"decoy": decoy.astype(np.uint64), "documents": np.ones(len(decoy), np.int64)})


def _copy_hashes(block: DocumentColumns, rows: np.ndarray) -> np.ndarray:
    """uint64 hashes of the documents' domains and ids, which select one of several copies whatever their order."""
    distinct, inverse = np.unique(rows, return_inverse=True)
    names = pa.array([name.encode() for name in block.names], pa.large_binary()).take(pa.array(block.domains[distinct]))
    separator = pa.scalar(b"\0", pa.large_binary())
    keys = pc.binary_join_element_wise(names, block.document_ids.take(pa.array(distinct)), separator)
    high, _ = hash_documents(*reversed(text_buffers(keys)))
    return high[inverse]
