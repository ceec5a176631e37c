"""The documents of a baseline as sorted keys of (content hash, domain), and its shards, for workers to look up.

The folder of a baseline's keys is content-addressed in the profile store, so that the shard partials that depend on a
baseline are found again by the next run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.measures.overlap.document_keys import Keys, StoredKeys, document_keys
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.pipelines.storage.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class BaselineKeys(StoredKeys):
    """The documents and shards of a baseline; small, so that it can be sent to workers.

    Attributes:
        folder: holds the keys, and ``shards.json``, digest -> copies.
        digest: see `documents_digest`; the baseline's name in keys of partials.
    """

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
            high, low, _ = documents_of(run)
            StoredKeys.write(folder, high, low)
            atomic_write(folder / "shards.json", json.dumps(_shards(run), sort_keys=True).encode())
        return cls(folder, digest)

    @property
    def shards(self) -> dict[str, int]:
        """SHA-256 -> copies, of the shards that were counted whole."""
        return _load_shards(self.folder)


def documents_digest(run: RunDirectory) -> str:
    """What identifies the documents and shards of a run, SHA-256 in hex; equal tables are equal files."""
    documents = run.facts.files["tables/document_hashes.parquet"].sha256
    return hashlib.sha256(json.dumps([documents, _shards(run)], sort_keys=True).encode()).hexdigest()


def documents_of(run: RunDirectory) -> tuple[Keys, Keys, npt.NDArray[np.int64]]:
    """Keys (high, low) of a run's texts by domain, in no particular order, and how often each text is there, [N] each.

    Raises:
        StoreError: when the table cannot be read.
    """
    table = run.table("document_hashes").combine_chunks()
    if not len(table):
        return np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64)
    column = table["domain"].combine_chunks()
    raw = np.frombuffer(table["hash"].combine_chunks().buffers()[1], ">u8").reshape(-1, 2)[: len(table)]
    names = column.dictionary.to_pylist()
    high, low = document_keys(
        raw[:, 0].astype(np.uint64), raw[:, 1].astype(np.uint64), column.indices.to_numpy().astype(np.int64), names
    )
    return high, low, table["documents"].to_numpy()


def _shards(run: RunDirectory) -> dict[str, int]:
    table = run.table("shards").to_pylist()
    return dict(Counter(row["sha256"] for row in table if row["status"] in ("read", "cached")))


@lru_cache(maxsize=4)
def _load_shards(folder: Path) -> dict[str, int]:
    copies: dict[str, int] = json.loads((folder / "shards.json").read_bytes())
    return copies
