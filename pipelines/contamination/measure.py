"""The measure of contamination: mergeable evidence of benchmark items, enough to evaluate every rule after the merge.

Which n-grams are boilerplate is known only when the whole corpus is counted, so nothing is judged here:

* ``grams``: documents that hold each benchmark n-gram, by domain. Exact; all that GPT-3, PaLM and Llama 3 need.
* ``places``: for each token of a text, the longest match of Llama 2 that begins there. Exact: a longer match covers
  what a shorter one from the same place covers, and whether the place counts depends on its own n-gram.
* ``matches``: for each text, the `KEPT` documents whose 8-grams cover most of its words, with the runs of 8-grams (so
  that the limit can be applied) and their offsets. Tulu 3's best document is exact without the limit; with it, only a
  document that ranks behind `KEPT` others may be lost, and the item is then ``boilerplate``, never ``clean``.
* ``idf``, ``token_matches``: for each text, the one document of the highest IDF score, of the longest token match.
* ``documents``: documents that share an 8-gram with a benchmark, by domain. ``copies``: documents whose text is that of
  a decoy's source; they hold its n-grams by construction and are subtracted.

Decoys are counted by a measure of their own, with an index of their own: they change with the snapshot, and the counts
of the benchmarks are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.contamination.index import BenchmarkIndex
from corpus_audit.pipelines.contamination.scan import Scanner, decoys_of
from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.measures.hits import Hits
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from corpus_audit.schemas.spec.audit import AuditSpec

KEPT = 16
"""Documents kept a text."""

_LARGEST = 2**32
"""Ranks count down from here: what is largest comes first."""

_DOCUMENT = (
    ("high", ColumnKind.TIE),
    ("low", ColumnKind.TIE),
    ("copy", ColumnKind.TIE),
    ("domain", ColumnKind.FIRST_DOMAIN),
    ("id", ColumnKind.BYTES),
)

GRAMS = TableSpec((("gram", ColumnKind.KEY), ("domain", ColumnKind.DOMAIN), ("documents", ColumnKind.SUM)))
PLACES = TableSpec((("place", ColumnKind.KEY), ("rank", ColumnKind.TIE)))
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
    keep_per_domain=KEPT,  # rows of one value of the first key, here the text
)
IDF = TableSpec((("text", ColumnKind.KEY), ("rank", ColumnKind.TIE), *_DOCUMENT))
TOKEN_MATCHES = TableSpec((("text", ColumnKind.KEY), ("rank", ColumnKind.TIE), *_DOCUMENT))
DOCUMENTS = TableSpec((("benchmark", ColumnKind.KEY), ("domain", ColumnKind.DOMAIN), ("documents", ColumnKind.SUM)))
COPIES = TableSpec((("decoy", ColumnKind.KEY), ("documents", ColumnKind.SUM)))


class Documents(Protocol):
    """The columns of a block that evidence is made of."""

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
        self.scanner = Scanner(path)

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The index, the domain and the document's id."""
        domain = domain_settings(spec.document)["domain"]
        return {"index": self.scanner.digest, "domain": domain, "id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """See the module."""
        return {
            "grams": GRAMS,
            "places": PLACES,
            "matches": MATCHES,
            "idf": IDF,
            "token_matches": TOKEN_MATCHES,
            "documents": DOCUMENTS,
            "copies": COPIES,
        }

    def count(self, block: Block) -> Partial:
        """Turn the hits of a block, which were found while its text was in memory, into tables.

        Raises:
            ValueError: the block was built without a scanner.
        """
        if block.hits is None:
            raise ValueError("the block was built without a scanner: its text was not looked at")
        return evidence(self.scanner.index, block.hits, block)


class Decoys(Contamination):
    """The same for a run's decoys, counted only in the splits that are searched for them.

    Both are other ones in every snapshot, so that nothing counted for one is used for another.
    """

    name = "decoys"
    version = 1

    def __init__(self, path: Path, splits: str) -> None:
        """``path`` is the decoys' index, ``splits`` a digest that tells the chosen splits."""
        super().__init__(path)
        self._splits = splits

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """Those of the scan, and the chosen splits."""
        return super().settings(spec) | {"splits": self._splits, "scan": Contamination.version}


def evidence(index: BenchmarkIndex, hits: Hits, block: Documents) -> Partial:
    """The partial of what was found in some documents."""
    tables = {
        "grams": _grams(hits, block),
        "places": CountTable(PLACES, {"place": hits.places.astype(np.uint64), "rank": _rank(hits.lengths)}),
        "matches": _matches(hits, block),
        "idf": _best(IDF, hits.pairs[hits.pairs[:, 6] > 0][:, [0, 1, 6]], block),
        "token_matches": _best(TOKEN_MATCHES, hits.token_pairs, block),
        "documents": _documents(index, hits, block),
        "copies": _copies(index, block),
    }
    return Partial(block.names, {name: merging.merge([table]) for name, table in tables.items()})


def value_of(rank: np.ndarray) -> np.ndarray:
    """int64 [N], what was ranked."""
    return _LARGEST - rank.astype(np.int64)


def _rank(value: np.ndarray) -> np.ndarray:
    return (_LARGEST - value).astype(np.uint64)


def _grams(hits: Hits, block: Documents) -> CountTable:
    """Documents by n-gram and domain, added up here: sorting one number a hit takes a tenth of what rows take."""
    domains = max(len(block.names), 1)
    both = np.sort(hits.grams * domains + block.domains[hits.gram_rows])
    starts = np.flatnonzero(np.diff(both, prepend=-1))
    columns = {
        "gram": (both[starts] // domains).astype(np.uint64),
        "domain": both[starts] % domains,
        "documents": np.diff(starts, append=len(both)),
    }
    return CountTable(GRAMS, columns)


def _matches(hits: Hits, block: Documents) -> CountTable:
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


def _best(spec: TableSpec, pairs: np.ndarray, block: Documents) -> CountTable:
    """Rows of (row, text, value): the document of the largest value is kept."""
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


def _documents(index: BenchmarkIndex, hits: Hits, block: Documents) -> CountTable:
    """Texts of several benchmarks count for each; a document once a benchmark."""
    order = np.argsort(index.item_texts, kind="stable")
    texts, benchmarks = index.item_texts[order], index.item_benchmarks[order]
    first = np.searchsorted(texts, np.arange(index.size + 1))
    row, text = hits.pairs[:, 0], hits.pairs[:, 1]
    many = np.diff(first)[text]
    ends = np.cumsum(many)
    item = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first[text] - (ends - many), many)
    both = np.unique(np.repeat(row, many) << 32 | benchmarks[item])
    columns = {
        "benchmark": (both & (2**32 - 1)).astype(np.uint64),
        "domain": block.domains[both >> 32],
        "documents": np.ones(len(both), np.int64),
    }
    return CountTable(DOCUMENTS, columns)


def _copies(index: BenchmarkIndex, block: Documents) -> CountTable:
    decoy = decoys_of(index, block.high, block.low)
    decoy = decoy[decoy >= 0]
    return CountTable(COPIES, {"decoy": decoy.astype(np.uint64), "documents": np.ones(len(decoy), np.int64)})


def _copy_hashes(block: Documents, rows: np.ndarray) -> np.ndarray:
    """uint64 hashes of the documents' domains and ids: they choose among copies of a text, whatever their order."""
    chosen, place = np.unique(rows, return_inverse=True)
    names = pa.array([name.encode() for name in block.names], pa.large_binary()).take(pa.array(block.domains[chosen]))
    separator = pa.scalar(b"\0", pa.large_binary())
    keys = pc.binary_join_element_wise(names, block.document_ids.take(pa.array(chosen)), separator)
    high, _ = hash_documents(*reversed(text_buffers(keys)))
    return high[place]
