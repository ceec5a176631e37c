"""Sets of documents as sorted keys of (content hash, domain) in a file, for workers to look up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.counters.lookup import contains_keys
from corpus_audit.pipelines.storage.atomic import AtomicFile

Keys = npt.NDArray[np.uint64]

KEYS_FILE = "keys.u64"


def domain_hashes(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of every domain's name, uint64 [G]: BLAKE2b of its UTF-8 bytes."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def document_keys(high: Keys, low: Keys, domains: npt.NDArray[np.int64], names: Sequence[str]) -> tuple[Keys, Keys]:
    """(high, low) of documents with their domain mixed in: equal texts of different domains are different keys."""
    return high ^ domain_hashes(names)[domains], low


def key_positions(high: Keys, low: Keys, sorted_high: Keys, sorted_low: Keys) -> npt.NDArray[np.int64]:
    """Position of each key (high, low), [N], among distinct keys [M] that are sorted by (high, low); else -1."""
    positions = np.full(len(high), -1, np.int64)
    at = np.searchsorted(sorted_high, high)
    open_ = np.flatnonzero(at < len(sorted_high))
    # Keys with the same first half are neighbours, and one in 2^64 has any: the second round is rarely needed.
    while len(open_):
        same = sorted_high[at[open_]] == high[open_]
        open_ = open_[same]
        equal = sorted_low[at[open_]] == low[open_]
        positions[open_[equal]] = at[open_[equal]]
        open_ = open_[~equal]
        at[open_] += 1
        open_ = open_[at[open_] < len(sorted_high)]
    return positions


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """Keys of documents in a file; small, so that it can be sent to workers, which map the file into memory.

    Attributes:
        folder: holds ``keys.u64``, uint64 [2, N], sorted by (high, low).
    """

    folder: Path

    @staticmethod
    def write(folder: Path, high: Keys, low: Keys) -> None:
        """Write the keys of N documents, in any order, to a folder; made where it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        order = np.lexsort((low, high))
        with AtomicFile(folder / KEYS_FILE) as file:
            for column in (high[order], low[order]):
                file.write(column.tobytes())

    def holds(
        self, high: Keys, low: Keys, domains: npt.NDArray[np.int64], names: Sequence[str]
    ) -> npt.NDArray[np.bool_]:
        """Whether each document, (content hash, position of its domain in ``names``), is among them, [D]."""
        return self.holds_keys(*document_keys(high, low, domains, names))

    def holds_keys(self, high: Keys, low: Keys) -> npt.NDArray[np.bool_]:
        """Whether each key of `document_keys` is among them, [D]."""
        mine = _load_keys(self.folder)
        return contains_keys(high, low, mine[0], mine[1])


@lru_cache(maxsize=4)
def _load_keys(folder: Path) -> Keys:
    path = folder / KEYS_FILE
    if not path.stat().st_size:
        return np.empty((2, 0), np.uint64)
    keys: Keys = np.memmap(path, np.uint64, mode="r").reshape(2, -1)
    return keys
