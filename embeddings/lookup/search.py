"""Nearest windows of an index: to a text, a document, or a direction of the model's residual stream; or to an image.

Results are ranked exactly, by the cosine with stored vectors (`nearest`). For a direction, the nearest windows are not
those with its highest activations, because a window has one or two vectors and not one for each token: `overlap`
measures on the index itself how much the two lists have in common.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.embeddings.index.nearest import Codes, nearest
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.vectors import document_means
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Point

Vectors = Literal["mean", "peak"]

OVERLAP = 20
"""Windows of a top list whose overlap is measured."""

SAMPLE = 32
"""Residual dimensions on which the overlap is measured, evenly spaced."""

_PEAK: Vectors = "peak"


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of the true top lists of residual dimensions is among the nearest windows.

    Attributes:
        dimensions: how many were compared, each with its list of highest activations.
        k: length of the lists.
        share: mean share of a list's windows that are among the k nearest; lowest, highest: over dimensions.
    """

    dimensions: int
    k: int
    share: float
    lowest: float
    highest: float


class WindowSearch:
    """Search in the windows of an index."""

    def __init__(self, index: Index) -> None:
        """Open an index for search.

        Raises:
            UsageError: it was made without vectors.
        """
        if index.facts.vectors is None:
            raise UsageError("the index was made without vectors of windows (embedding.vectors)")
        self._index = index
        self.width: int = index.facts.vectors["width"]
        self.block: int | None = index.facts.vectors["block"]

    def nearest(
        self,
        query: np.ndarray,
        k: int,
        *,
        kind: Vectors = "mean",
        domain: str | None = None,
        per_document: int | None = None,
        without: Sequence[bytes] = (),
    ) -> list[Example]:
        """The windows nearest to a vector, by cosine; the examples' values are cosines, 1 at most.

        Windows of the same text count once; images, those of the same vector. Of kind "mean" an example's position is
        its token of largest norm. Images have one vector each, and both kinds are that.

        Args:
            query: [d], not zero.
            k: the number of windows at most.
            kind: which of a window's vectors is compared.
            domain: search only windows of documents of this domain.
            per_document: the number of windows of one document at most.
            without: keys of documents whose windows are excluded.

        Raises:
            UsageError: the query has another width, is zero or not finite; or there is no such domain.
        """
        exact = np.asarray(query, np.float64)
        if exact.shape != (self.width,):
            raise UsageError(f"the direction has {exact.size:,} numbers, but the model's vectors have {self.width:,}")
        if not np.isfinite(exact).all() or not exact.any():
            raise UsageError("the query is zero or not finite: it has no direction")
        allowed = self._allowed(domain, without)
        most = self.windows if allowed is None else int(allowed.sum())
        # Windows of equal text or of one document may be dropped, so that more than k have to be ranked; how many more
        # is not known.
        wanted = k
        while True:
            rows, scores = self.ranked(exact, min(wanted, most) or 1, kind, allowed)
            examples = self._examples(rows, scores, k, per_document)
            if len(examples) == k or wanted >= most:
                return examples
            wanted *= 4

    def ranked(
        self, query: np.ndarray, k: int, kind: Vectors = "mean", allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the nearest windows among those that have vectors, int64 [n], and their cosines, best first."""
        rows_and_scores = nearest(self.vectors(kind), self._codes(kind), query, k, allowed)
        return rows_and_scores.rows, rows_and_scores.scores

    def names(self, rows: np.ndarray | int) -> np.ndarray:
        """Names of windows, uint64."""
        names: np.ndarray = self._index.array("vector.window")[rows]
        return names

    def document_of(self, row: int) -> bytes:
        """Key of a window's document."""
        key: bytes = self._documents[row].as_py()
        return key

    def location_of(self, row: int) -> str:
        """The id of a window's document, else its shard and row."""
        location = self._index.locations(self.document_of(row))[0]
        return location.id if location.id is not None else f"{location.shard}:{location.row}"

    def domains(self, rows: np.ndarray) -> list[str]:
        """The domain of windows' documents; of a document that is in several, the first by name of its shard."""
        table = self._index.documents
        document_rows = pc.index_in(self._documents.take(pa.array(rows)), value_set=table["document"].combine_chunks())
        domains: list[str] = table["domain"].cast(pa.string()).take(document_rows).to_pylist()
        return domains

    def vectors(self, kind: Vectors) -> np.ndarray:
        """Vectors of windows, float32 [V, d], mapped."""
        return self._index.array(f"vector.{self._stored(kind)}")

    def like(self, document_id: str) -> tuple[np.ndarray, list[bytes]]:
        """The mean of a document's windows, float32 [d], and the keys of the documents of that id.

        A document without an id is named as it is shown: ``SHARD row N``.

        Raises:
            UsageError: no stored window is of such a document, or several documents without an id have this name.
        """
        table = self._index.documents
        keys = table.filter(pc.equal(table["id"], document_id))["document"].unique()
        if not len(keys):
            keys = self._without_id(document_id)
        rows = np.flatnonzero(pc.is_in(self._documents, value_set=keys).to_numpy(zero_copy_only=False))
        if not len(rows):
            raise UsageError(f"nothing with a vector is of a document of the id {document_id!r}")
        _, means = document_means(np.asarray(self.vectors("mean")[rows]), np.zeros(len(rows), np.int64))
        return means[0], keys.to_pylist()

    def overlap(self) -> Overlap | None:
        """Overlap of the nearest windows with true top lists, over indexed residual dimensions of the vectors' block.

        None if no residual dimension of that block is indexed, or no window of their lists has vectors.
        """
        if self.block is None:
            return None
        point = Point(Kind.RESID, self.block)
        if point not in self._index.widths:
            return None
        units = [unit for unit in self._index.units() if unit.point == point]
        sampled = units[:: max(1, len(units) // SAMPLE)][:SAMPLE]
        vectors, codes, names = self.vectors(_PEAK), self._codes(_PEAK), self._index.array("vector.window")
        shares = []
        for unit in sampled:
            top = self._index.array("top.window")[self._index.row_of(unit)][:OVERLAP]
            true = np.intersect1d(top, names)  # of windows that have vectors
            if not len(true):
                continue
            direction = np.zeros(self.width)
            direction[unit.index] = 1.0
            rows = nearest(vectors, codes, direction, len(true)).rows
            shares.append(len(np.intersect1d(names[rows], true)) / len(true))
        if not shares:
            return None
        return Overlap(len(shares), OVERLAP, float(np.mean(shares)), min(shares), max(shares))

    @property
    def windows(self) -> int:
        """Windows that have vectors."""
        return len(self._index.array("vector.window"))

    def document_vectors(self) -> tuple[pa.Array, np.ndarray]:
        """Keys of the documents that have vectors, binary(16) [D], and the means of their windows, float32 [D, d]."""
        encoded = self._documents.dictionary_encode()
        of, means = document_means(self.vectors("mean"), encoded.indices.to_numpy())
        return encoded.dictionary.take(pa.array(of)), means

    @cached_property
    def _rows(self) -> np.ndarray:
        """Position of every window that has vectors among the stored windows."""
        return np.searchsorted(self._index.window_names, self._index.array("vector.window"))

    @cached_property
    def _documents(self) -> pa.Array:
        """Key of the document of every window that has vectors."""
        return self._index.windows["document"].combine_chunks().take(pa.array(self._rows))

    def _allowed(self, domain: str | None, without: Sequence[bytes]) -> np.ndarray | None:
        allowed: np.ndarray | None = None
        if domain is not None:
            if domain not in self._index.domains:
                raise UsageError(f"the index has no domain {domain!r}; it has {', '.join(self._index.domains)}")
            table = self._index.documents
            keys = table.filter(pc.equal(table["domain"].cast(pa.string()), domain))["document"].combine_chunks()
            allowed = pc.is_in(self._documents, value_set=keys).to_numpy(zero_copy_only=False)
        if without:
            excluded = pc.is_in(self._documents, value_set=pa.array(without, pa.binary(16)))
            allowed = ~excluded.to_numpy(zero_copy_only=False) & (True if allowed is None else allowed)
        return allowed

    def _examples(self, rows: np.ndarray, scores: np.ndarray, k: int, per_document: int | None) -> list[Example]:
        examples: list[Example] = []
        texts: set[str | bytes] = set()
        vectors = self.vectors("mean") if self._index.facts.of_images else None
        per_key: dict[bytes, int] = {}
        names, positions = self._index.array("vector.window"), self._index.array("vector.position")
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            example, document = self._index.example_at(score, int(names[row]), int(positions[row]), len(examples))
            content = example.text if vectors is None else vectors[row].tobytes()
            if content in texts:
                continue
            texts.add(content)
            per_key[document] = per_key.get(document, 0) + 1
            if per_document is None or per_key[document] <= per_document:
                examples.append(example)
                if len(examples) == k:
                    break
        return examples

    def _codes(self, kind: Vectors) -> Codes | None:
        kind = self._stored(kind)
        if f"arrays/vector.{kind}.codes.npy" not in self._index.facts.files:  # few vectors have none
            return None
        return Codes(*(self._index.array(f"vector.{kind}.{part}") for part in ("codes", "scale", "error")))

    def _stored(self, kind: Vectors) -> Vectors:
        return "mean" if self._index.facts.of_images else kind

    def _without_id(self, name: str) -> pa.Array:
        """Keys of the document without an id that is shown by this name."""
        table = self._index.documents
        match = re.fullmatch(r"(.+) row ([0-9]{1,18})", name, re.DOTALL)
        if match is None:
            return table["document"].slice(0, 0).unique()
        of_shard = pc.and_(pc.equal(table["shard"].cast(pa.string()), match[1]), pc.equal(table["row"], int(match[2])))
        keys = table.filter(pc.and_(of_shard, pc.is_null(table["id"])))["document"].unique()
        if len(keys) > 1:
            raise UsageError(f"{len(keys)} documents without an id are called {name!r}, one in each part of the shard")
        return keys
