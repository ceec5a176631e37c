"""The documents of a baseline as sorted keys of (content hash, domain), and its shards, for workers to look up.

The folder of a baseline's keys is content-addressed in the profile store, so that the shard partials that depend on a
baseline are found again by the next run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.counters.lookup import contains_keys
from corpus_audit.pipelines.storage.atomic import AtomicFile, atomic_write
from corpus_audit.pipelines.storage.run_directory import RunDirectory

Keys = npt.NDArray[np.uint64]


def domain_hashes(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of every domain's name, uint64 [G]: BLAKE2b of its UTF-8 bytes."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def document_keys(high: Keys, low: Keys, domains: npt.NDArray[np.int64], names: Sequence[str]) -> tuple[Keys, Keys]:
    """(high, low) of documents with their domain mixed in: equal texts of different domains are different keys."""
    return high ^ domain_hashes(names)[domains], low


@dataclass(frozen=True, slots=True)
class BaselineKeys:
    """The documents and shards of a baseline; small, so that it can be sent to workers.

    Attributes:
        folder: holds ``keys.u64``, uint64 [2, N], sorted by (high, low), and ``shards.json``, digest -> copies.
        digest: see `documents_digest`; the baseline's name in keys of partials.
    """

    folder: Path
    digest: str

    @classmethod
    def of(cls, run: RunDirectory, root: Path) -> BaselineKeys:
        """Write, or find, the keys of a run below ``root``.

        Raises:
            StoreError: when a table of the run cannot be read.
        """
        digest = documents_digest(run)
        folder = root / "baselines" / digest
        if not (folder / "shards.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            with AtomicFile(folder / "keys.u64") as file:
                for column in _keys(run):
                    file.write(column.tobytes())
            atomic_write(folder / "shards.json", json.dumps(_shards(run), sort_keys=True).encode())
        return cls(folder, digest)

    @property
    def shards(self) -> dict[str, int]:
        """SHA-256 -> copies, of the shards that were counted whole."""
        return _load_shards(self.folder)

    def holds(
        self, high: Keys, low: Keys, domains: npt.NDArray[np.int64], names: Sequence[str]
    ) -> npt.NDArray[np.bool_]:
        """Whether the baseline has each document in the same domain, [D]."""
        mine = _load_keys(self.folder)
        return contains_keys(*document_keys(high, low, domains, names), mine[0], mine[1])


def documents_digest(run: RunDirectory) -> str:
    """What identifies the documents and shards of a run, SHA-256 in hex; equal tables are equal files."""
    documents = run.facts.files["tables/document_hashes.parquet"].sha256
    return hashlib.sha256(json.dumps([documents, _shards(run)], sort_keys=True).encode()).hexdigest()


def _keys(run: RunDirectory) -> tuple[Keys, Keys]:
    table = run.table("document_hashes").combine_chunks()
    if not len(table):
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    column = table["domain"].combine_chunks()
    raw = np.frombuffer(table["hash"].combine_chunks().buffers()[1], ">u8").reshape(-1, 2)[: len(table)]
    names = column.dictionary.to_pylist()
    high, low = document_keys(
        raw[:, 0].astype(np.uint64), raw[:, 1].astype(np.uint64), column.indices.to_numpy().astype(np.int64), names
    )
    order = np.lexsort((low, high))
    return high[order], low[order]


def _shards(run: RunDirectory) -> dict[str, int]:
    table = run.table("shards").to_pylist()
    return dict(Counter(row["sha256"] for row in table if row["status"] in ("read", "cached")))


@lru_cache(maxsize=4)
def _load_keys(folder: Path) -> Keys:
    path = folder / "keys.u64"
    if not path.stat().st_size:
        return np.empty((2, 0), np.uint64)
    keys: Keys = np.memmap(path, np.uint64, mode="r").reshape(2, -1)
    return keys


@lru_cache(maxsize=4)
def _load_shards(folder: Path) -> dict[str, int]:
    copies: dict[str, int] = json.loads((folder / "shards.json").read_bytes())
    return copies
