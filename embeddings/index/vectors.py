"""Vectors of windows, and joining those of several parts of a corpus.

Every vector has length 1 (or is zero), so that a dot product is a cosine; their original lengths are stored too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from corpus_audit.embeddings.index.nearest import LEAST_CODED, encode
from corpus_audit.schemas.errors import StoreError

KINDS = "mean", "peak"
"""The mean over a window's tokens, and its token of largest norm."""


@dataclass(frozen=True)
class WindowVectors:
    """Vectors of V windows in d dimensions.

    Attributes:
        window: uint64 [V], names of windows.
        mean, peak: float32 [V, d], of length 1; of images, which have one vector each, peak is [V, 0].
        norm: float32 [V, 2], the lengths that mean and peak had.
        position: uint16 [V], the token of largest norm within the window as the model sees it.
    """

    window: np.ndarray
    mean: np.ndarray
    peak: np.ndarray
    norm: np.ndarray
    position: np.ndarray

    @classmethod
    def empty(cls, width: int, peak_width: int | None = None) -> WindowVectors:
        """Vectors of no windows; ``peak_width``: dimensions of ``peak``, if it is not as wide."""
        mean, peak = (np.empty((0, each), np.float32) for each in (width, width if peak_width is None else peak_width))
        return cls(np.empty(0, np.uint64), mean, peak, np.empty((0, 2), np.float32), np.empty(0, np.uint16))

    @classmethod
    def of(cls, window: np.ndarray, mean: np.ndarray, peak: np.ndarray, position: np.ndarray) -> WindowVectors:
        """The record of vectors of any length, which are normalised."""
        norm = np.stack([np.linalg.norm(each.astype(np.float64), axis=1) for each in (mean, peak)], axis=1)
        return cls(window, unit(mean), unit(peak), norm.astype(np.float32), position)

    @classmethod
    def joined(cls, parts: Sequence[WindowVectors]) -> WindowVectors:
        """The vectors of several parts, each window once, ascending by window."""
        joined = cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))
        _, first = np.unique(joined.window, return_index=True)
        return joined.select(first)

    def select(self, rows: np.ndarray) -> WindowVectors:
        """The vectors of the windows in some rows."""
        return WindowVectors(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.window)

    def save(self, folder: Path) -> None:
        """Write each array to a file ``vector.NAME.npy``."""
        for field in fields(self):
            np.save(folder / f"vector.{field.name}.npy", getattr(self, field.name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> WindowVectors:
        """Memory-map the files that `save` wrote.

        Raises:
            StoreError: the arrays do not fit each other.
            OSError, ValueError: a file cannot be read.
        """
        paths = (folder / f"vector.{field.name}.npy" for field in fields(cls))
        vectors = cls(*(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths))
        if len({len(getattr(vectors, field.name)) for field in fields(cls)}) != 1:
            raise StoreError(f"the vectors in {folder} do not fit each other")
        return vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., d] at length 1, float32; zero stays zero."""
    exact = np.asarray(vectors, np.float64)
    norm = np.linalg.norm(exact, axis=-1, keepdims=True)
    unit_vectors: np.ndarray = (exact / np.where(norm > 0, norm, 1.0)).astype(np.float32)
    return unit_vectors


def document_means(vectors: np.ndarray, document: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One vector a document: the mean of its windows' vectors, at length 1.

    Args:
        vectors: float32 [V, d].
        document: int64 [V], any numbering.

    Returns:
        The documents that have windows, int64 [D] ascending, and float32 [D, d].
    """
    order = np.argsort(document, kind="stable")
    documents, starts = np.unique(document[order], return_index=True)
    if not len(documents):
        return documents, np.empty((0, vectors.shape[1]), np.float32)
    sums = np.add.reduceat(np.asarray(vectors[order], np.float64), starts, axis=0)
    return documents, unit(sums)


def gather(parts: Sequence[WindowVectors], width: int, into: Path) -> WindowVectors:
    """Join parts on disk, so that a corpus's vectors need not fit into memory; each window once, ascending.

    Args:
        parts: mapped, ascending each.
        width: dimensions.
        into: an empty folder for the arrays.
    """
    names = np.concatenate([np.empty(0, np.uint64), *(part.window for part in parts)])
    window, first = np.unique(names, return_index=True)
    peak_width = parts[0].peak.shape[1] if parts else width
    shapes = {"window": (), "mean": (width,), "peak": (peak_width,), "norm": (2,), "position": ()}
    kinds = {"window": np.uint64, "position": np.uint16}
    gathered = WindowVectors(
        *(
            np.lib.format.open_memmap(
                into / f"vector.{name}.npy", mode="w+", dtype=kinds.get(name, np.float32), shape=(len(window), *shape)
            )
            for name, shape in shapes.items()
        )
    )
    for part, begin in _starts(parts):
        own = np.flatnonzero((first >= begin) & (first < begin + len(part)))
        for name in shapes:
            getattr(gathered, name)[own] = getattr(part, name)[first[own] - begin]
    return gathered


def save_codes(vectors: WindowVectors, folder: Path) -> None:
    """Write the codes of vectors, each array to a file; of fewer than `LEAST_CODED` nothing."""
    if len(vectors) < LEAST_CODED:
        return
    for kind in KINDS:
        if not getattr(vectors, kind).shape[1]:
            continue
        codes = encode(getattr(vectors, kind))
        for name in ("codes", "scale", "error"):
            np.save(folder / f"vector.{kind}.{name}.npy", getattr(codes, name), allow_pickle=False)


def _starts(parts: Sequence[WindowVectors]) -> Iterator[tuple[WindowVectors, int]]:
    begin = 0
    for part in parts:
        yield part, begin
        begin += len(part)
