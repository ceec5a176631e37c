"""The profile store: content-addressed partial profiles, and remembered digests of shards.

A partial's key is a digest of all that its content depends on: the shard's bytes, the split's bounds, the measure and
its version, the settings that the measure reads, the tokenizer, the reader and values taken from the path. One
mechanism gives resume after a kill, incremental audits, retraction of shards and idempotent retries.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.pipelines.measures.base import Measure, reading_settings
from corpus_audit.pipelines.partials import PartialReader
from corpus_audit.pipelines.reading.reader import READER_VERSION
from corpus_audit.schemas.audit import AuditSpec
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.snapshot import Shard, Split

_SETTLED_SECONDS = 2.0
"""A digest is remembered only if the file was last changed longer ago than clocks and file systems are coarse."""


@dataclass(frozen=True, slots=True)
class ProfileStore:
    """Partials under ``root/partials/<measure>/<two hex digits>/<key>``."""

    root: Path

    def partial_path(self, measure: str, key: str) -> Path:
        """Where the partial of a key is, or would be."""
        return self.root / "partials" / measure / key[:2] / key

    def has(self, measure: str, key: str) -> bool:
        """Whether there is a whole partial; a damaged one is removed, so that it is made again."""
        path = self.partial_path(measure, key)
        if not path.exists():
            return False
        try:
            PartialReader(path)
        except StoreError:
            path.unlink(missing_ok=True)
            return False
        return True


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes keys for one audit.

    Attributes:
        reading: digest of how rows become documents.
        tokenizer: what identifies the tokenizer and the way it counts.
        verification: the versions that were compared.
        settings: measure name -> (version, settings digest, whether it reads tokens).
    """

    reading: str
    tokenizer: str
    verification: str
    settings: Mapping[str, tuple[int, str, bool]]

    @classmethod
    def of(cls, spec: AuditSpec, measures: Iterable[Measure], tokenizer: str, verification: str) -> KeyMaker:
        """From the spec, the measures and the tokenizer's identity."""
        reading = reading_settings(spec) | {"reader": READER_VERSION}
        if spec.sample is not None:
            reading["sample"] = spec.sample.model_dump()
        settings = {m.name: (m.version, m.settings_digest(spec), m.uses_tokens) for m in measures}
        return cls(_digest(reading), tokenizer, verification, settings)

    def key(self, measure: str, sha256: str, path_values: Mapping[str, str], split: Split | None = None) -> str:
        """Key of a shard's partial, or of one split's."""
        version, settings, uses_tokens = self.settings[measure]
        return _digest(
            {
                "shard": sha256,
                "split": None if split is None else [split.start, split.stop],
                "measure": [measure, version, settings],
                "reading": self.reading,
                "tokenizer": self.tokenizer if uses_tokens else None,
                "verification": self.verification if measure == "verification" else None,
                "path": dict(path_values),
            }
        )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class DigestMemory:
    """Digests of shards by path and stamp, in a small SQLite file of the store."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._path = root / "digests.sqlite"
        with closing(self._connect()) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT, sha256 TEXT)")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)

    def known(self, shards: Iterable[Shard]) -> dict[str, str]:
        """path -> sha256 for the shards whose stamp is the remembered one."""
        with closing(self._connect()) as connection:
            rows = {path: (stamp, sha) for path, stamp, sha in connection.execute("SELECT * FROM digests")}
        return {s.path: rows[s.path][1] for s in shards if rows.get(s.path, ("", ""))[0] == s.stamp}

    def remember(self, digests: Iterable[tuple[Shard, str]]) -> None:
        """Keep digests of shards, but for files changed within the last two seconds: their stamp may not tell the
        next change from the last. Files that are gone are left out too."""
        settled = [(shard.path, shard.stamp, sha256) for shard, sha256 in digests if _is_settled(shard)]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", settled)


def _is_settled(shard: Shard) -> bool:
    if not shard.is_local:
        return True
    try:
        return time.time() - Path(shard.path).stat().st_mtime >= _SETTLED_SECONDS
    except OSError:
        return False
