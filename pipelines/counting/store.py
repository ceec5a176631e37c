"""The profile store: content-addressed partial profiles, and remembered plans of shards.

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
from corpus_audit.pipelines.reading.formats.reader import READER_VERSION
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.pipelines.storage.remote import Remote
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan, Split
from corpus_audit.schemas.spec.audit import AuditSpec

_SETTLED_SECONDS = 2.0
"""A plan is remembered only if the file was last changed longer ago than clocks and file systems are coarse."""


@dataclass(frozen=True, slots=True)
class ProfileStore:
    """Partials under ``root/partials/<measure>/<two hex digits>/<key>``, and perhaps on an object store too.

    Attributes:
        root: the folder.
        remote: where what the folder lacks is fetched from, and what is new is kept too.
    """

    root: Path
    remote: Remote | None = None

    def partial_path(self, measure: str, key: str) -> Path:
        """Path of the partial of a key, whether or not it exists."""
        return self.root / "partials" / measure / key[:2] / key

    def has(self, measure: str, key: str) -> bool:
        """Whether there is a whole partial; a damaged one is removed, so that it is made again."""
        path = self.partial_path(measure, key)
        if not path.exists() and not (self.remote and self.remote.fetch_partial(self._name(path), path)):
            return False
        try:
            PartialReader(path)
        except StoreError:
            path.unlink(missing_ok=True)
            if self.remote is not None:
                self.remote.delete_partials([self._name(path)])
            return False
        return True

    def made(self, paths: Iterable[Path]) -> None:
        """Copy finished partials to the object store, if there is one."""
        if self.remote is not None:
            for path in paths:
                self.remote.put_partial(self._name(path), path)

    def renamed(self, old: Path, new: Path) -> None:
        """Rename a partial's copy on the object store."""
        if self.remote is not None:
            self.remote.move_partial(self._name(old), self._name(new))

    def replaced(self, olds: Iterable[Path], new: Path) -> None:
        """Copy a partial that replaces others to the object store, and remove theirs."""
        if self.remote is not None:
            self.made([new])
            self.remote.delete_partials([self._name(old) for old in olds])

    def discard(self, paths: Iterable[Path]) -> None:
        """Remove partials that must not be used again, here and on the object store; missing ones are no error."""
        paths = list(paths)
        for path in paths:
            path.unlink(missing_ok=True)
        if self.remote is not None:
            self.remote.delete_partials([self._name(path) for path in paths])

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root / "partials").as_posix()


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


class PlanMemory:
    """Plans of shards (digest, splits, rows) by path and stamp, in a small SQLite file of the store.

    A shard whose stamp is the remembered one is not opened at all.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._path = root / "plans.sqlite"
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS plans "
                "(path TEXT, reader TEXT, stamp TEXT, plan TEXT, PRIMARY KEY (path, reader))"
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)

    def known(self, shards: Iterable[Shard]) -> dict[str, ShardPlan]:
        """path -> plan of the shards whose stamp is the remembered one."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT path, reader, stamp, plan FROM plans")
            remembered = {(path, reader): (stamp, plan) for path, reader, stamp, plan in rows}
        found = {}
        for shard in shards:
            stamp, text = remembered.get((shard.path, _reader(shard)), ("", ""))
            # A file system that says nothing of versions gives an empty stamp: nothing is known then.
            if stamp and stamp == shard.stamp:
                plan = json.loads(text)
                splits = tuple(Split(*split) for split in plan["splits"])
                found[shard.path] = ShardPlan(shard, plan["sha256"], False, splits, plan["rows"])
        return found

    def remember(self, plans: Iterable[ShardPlan]) -> None:
        """Keep plans, but for files changed within the last two seconds: their stamp may not tell the next change
        from the last. Files that are gone are left out too."""
        settled = []
        for plan in plans:
            shard = plan.shard
            if not _is_settled(shard):
                continue
            splits = [[split.index, split.start, split.stop, split.weight] for split in plan.splits]
            text = json.dumps({"sha256": plan.sha256, "splits": splits, "rows": plan.rows})
            settled.append((shard.path, _reader(shard), shard.stamp, text))
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?)", settled)


def _is_settled(shard: Shard) -> bool:
    if not shard.is_local:
        return True
    try:
        return time.time() - Path(shard.path).stat().st_mtime >= _SETTLED_SECONDS
    except OSError:
        return False


def _reader(shard: Shard) -> str:
    return f"{shard.format.value} {READER_VERSION} {SPLIT_BYTES}"
