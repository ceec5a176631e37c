"""Nearest windows of an index: to a text, a document, or a direction of the model's residual stream.

What is found is ranked exactly, by the cosine with stored vectors (`nearest`). For a direction that is another question
than which tokens it reacts to most, as a window is one or two vectors and not all of its tokens: `overlap` measures on
the index itself how far the two answers are apart.
"""

from __future__ import annotations

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
"""Residual dimensions on which the overlap is measured, chosen evenly."""

_PEAK: Vectors = "peak"


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of the true top lists of residual dimensions the nearest windows hold.

    Attributes:
        dimensions: how many were compared, each in both signs' upper direction.
        k: length of the lists.
        share: mean share of a list's windows that the k nearest hold; lowest, highest: over dimensions.
    """

    dimensions: int
    k: int
    share: float
    lowest: float
    highest: float


class WindowSearch:
    """Search in the windows of an index."""

    def __init__(self, index: Index) -> None:
        """Search an index.

        Raises:
            UsageError: it was made without vectors.
        """
        if index.facts.vectors is None:
            raise UsageError("the index was made without vectors of windows (embedding.vectors)")
        self._index = index
        self.width: int = index.facts.vectors["width"]
        self.block: int = index.facts.vectors["block"]

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

        Windows of the same text count once. Of kind "mean" an example's position is its token of largest norm.

        Args:
            query: [d], not zero.
            k: how many.
            kind: which of a window's vectors is compared.
            domain: only windows of documents of this domain.
            per_document: at most so many of one document.
            without: keys of documents whose windows are left out.

        Raises:
            UsageError: the query has another width, is zero or not finite; or there is no such domain.
        """
        exact = np.asarray(query, np.float64)
        if exact.shape != (self.width,):
            raise UsageError(f"a direction of {self.width} numbers is needed, this one has {exact.size}")
        if not np.isfinite(exact).all() or not exact.any():
            raise UsageError("the query is zero or not finite: it has no direction")
        allowed = self._allowed(domain, without)
        most = self.windows if allowed is None else int(allowed.sum())
        wanted = k
        while True:
            rows, scores = self.ranked(exact, min(wanted, most) or 1, kind, allowed)
            kept = self._kept(rows, scores, k, per_document)
            if len(kept) == k or wanted >= most:
                return kept
            wanted *= 4

    def ranked(
        self, query: np.ndarray, k: int, kind: Vectors = "mean", allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the nearest windows among those that have vectors, int64 [n], and their cosines, best first."""
        found = nearest(self.vectors(kind), self._codes(kind), query, k, allowed)
        return found.rows, found.scores

    def names(self, rows: np.ndarray | int) -> np.ndarray:
        """Names of windows, uint64."""
        found: np.ndarray = self._index.array("vector.window")[rows]
        return found

    def document_of(self, row: int) -> bytes:
        """Key of a window's document."""
        found: bytes = self._documents[row].as_py()
        return found

    def place_of(self, row: int) -> str:
        """The id of a window's document, else its shard and row."""
        place = self._index.places(self.document_of(row))[0]
        return place.id if place.id is not None else f"{place.shard}:{place.row}"

    def domains(self, rows: np.ndarray) -> list[str]:
        """The domain of windows' documents; of a document that is in several, the first by name of its shard."""
        table = self._index.documents
        at = pc.index_in(self._documents.take(pa.array(rows)), value_set=table["document"].combine_chunks())
        found: list[str] = table["domain"].cast(pa.string()).take(at).to_pylist()
        return found

    def vectors(self, kind: Vectors) -> np.ndarray:
        """Vectors of windows, float32 [V, d], mapped."""
        return self._index.array(f"vector.{kind}")

    def like(self, document_id: str) -> tuple[np.ndarray, list[bytes]]:
        """The mean of a document's windows, float32 [d], and the keys of the documents of that id.

        Raises:
            UsageError: no stored window is of such a document.
        """
        table = self._index.documents
        keys = table.filter(pc.equal(table["id"], document_id))["document"].unique()
        rows = np.flatnonzero(pc.is_in(self._documents, value_set=keys).to_numpy(zero_copy_only=False))
        if not len(rows):
            raise UsageError(f"no window with vectors is of a document of the id {document_id!r}")
        _, means = document_means(np.asarray(self.vectors("mean")[rows]), np.zeros(len(rows), np.int64))
        return means[0], keys.to_pylist()

    def overlap(self) -> Overlap | None:
        """What `nearest` of directions finds of true top lists, on indexed residual dimensions of the vectors' block.

        None if there are none.
        """
        point = Point(Kind.RESID, self.block)
        if point not in self._index.widths:
            return None
        units = [unit for unit in self._index.units() if unit.point == point]
        chosen = units[:: max(1, len(units) // SAMPLE)][:SAMPLE]
        vectors, codes, names = self.vectors(_PEAK), self._codes(_PEAK), self._index.array("vector.window")
        shares = []
        for unit in chosen:
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
            left = pc.is_in(self._documents, value_set=pa.array(without, pa.binary(16)))
            allowed = ~left.to_numpy(zero_copy_only=False) & (True if allowed is None else allowed)
        return allowed

    def _kept(self, rows: np.ndarray, scores: np.ndarray, k: int, per_document: int | None) -> list[Example]:
        found: list[Example] = []
        texts: set[str] = set()
        seen: dict[bytes, int] = {}
        names, positions = self._index.array("vector.window"), self._index.array("vector.position")
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            example, document = self._index.example_at(score, int(names[row]), int(positions[row]), len(found))
            if example.text in texts:
                continue
            texts.add(example.text)
            seen[document] = seen.get(document, 0) + 1
            if per_document is None or seen[document] <= per_document:
                found.append(example)
                if len(found) == k:
                    break
        return found

    def _codes(self, kind: Vectors) -> Codes:
        return Codes(*(self._index.array(f"vector.{kind}.{part}") for part in ("codes", "scale", "error")))
