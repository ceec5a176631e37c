"""The profile store: content-addressed partial profiles, and recorded plans of shards.

A partial's key is a digest of all that its content depends on: the shard's bytes, the split's bounds, the measure and
its version, the settings that the measure reads, the tokenizer, the reader and values taken from the path. One
mechanism gives resume after a kill, incremental audits, retraction of shards and idempotent retries.

One measure is an exception: how many documents of lowest key a partial of the document sample holds depends on the run
that counted it. It says how far it is complete, and a run that needs more counts it again (`document_sample`).
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
from corpus_audit.pipelines.reading.files.folder_archive import last_changed
from corpus_audit.pipelines.reading.formats.reader import READER_VERSION
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.pipelines.storage.remote import Remote
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan, Split
from corpus_audit.schemas.spec.audit import AuditSpec

_SETTLED_SECONDS = 2.0
"""A plan is recorded only if the file was last changed longer ago than the resolution of clocks and file systems."""


@dataclass(frozen=True, slots=True)
class ProfileStore:
    """Partials under ``root/partials/<measure>/<two hex digits>/<key>``, with copies on an object store if one is set.

    Attributes:
        root: the folder.
        remote: the object store; partials that the folder lacks are fetched from it, and new ones are copied to it.
    """

    root: Path
    remote: Remote | None = None

    def partial_path(self, measure: str, key: str) -> Path:
        """Path of the partial of a key, whether or not it exists."""
        return self.root / "partials" / measure / key[:2] / key

    def has(self, measure: str, key: str) -> bool:
        """Whether there is an undamaged partial; a damaged one is removed, so that it is computed again."""
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

    def upload(self, paths: Iterable[Path]) -> None:
        """Copy finished partials to the object store, if there is one."""
        if self.remote is not None:
            for path in paths:
                self.remote.put_partial(self._name(path), path)

    def move_upload(self, old: Path, new: Path) -> None:
        """Rename a partial's copy on the object store."""
        if self.remote is not None:
            self.remote.move_partial(self._name(old), self._name(new))

    def replace_uploads(self, olds: Iterable[Path], new: Path) -> None:
        """Copy a partial that replaces others to the object store, and remove theirs."""
        if self.remote is not None:
            self.upload([new])
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
    """Computes the keys of one audit's partials.

    Attributes:
        reading: digest of how rows become documents.
        tokenizer: identity of the tokenizer and of the way it counts.
        verification: versions of the tokenizers that verification compares.
        settings: measure name -> (version, settings digest, whether it reads tokens).
    """

    reading: str
    tokenizer: str
    verification: str
    settings: Mapping[str, tuple[int, str, bool]]

    @classmethod
    def of(cls, spec: AuditSpec, measures: Iterable[Measure], tokenizer: str, verification: str) -> KeyMaker:
        """Digest the spec and the settings of the measures."""
        reading = reading_settings(spec) | {"reader": READER_VERSION}
        if spec.sample is not None:
            reading["sample"] = spec.sample.model_dump()
        settings = {m.name: (m.version, m.settings_digest(spec), m.uses_tokens) for m in measures}
        return cls(_digest(reading), tokenizer, verification, settings)

    def key(self, measure: str, sha256: str, path_values: Mapping[str, str], split: Split | None = None) -> str:
        """Key of a shard's partial, or of one split's."""
        version, settings, uses_tokens = self.settings[measure]
        # Only what the content depends on: a setting that one measure reads leaves the partials of the others valid.
        # The shard's name is not in the key: a renamed shard is read again only if values come from its path.
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


class PlanCache:
    """Stores plans of shards (digest, splits, rows) by path and stamp, in a small SQLite file of the store.

    A shard whose stamp has not changed is not opened at all.
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
        # Audits that share a store wait for each other's plans to be recorded instead of failing.
        return sqlite3.connect(self._path, timeout=30)

    def known(self, shards: Iterable[Shard]) -> dict[str, ShardPlan]:
        """path -> plan of every shard whose stamp is the recorded one."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT path, reader, stamp, plan FROM plans")
            remembered = {(path, reader): (stamp, plan) for path, reader, stamp, plan in rows}
        plans = {}
        for shard in shards:
            stamp, text = remembered.get((shard.path, _reader(shard)), ("", ""))
            # The stamp is empty on file systems without versions: then a change could not be noticed.
            if stamp and stamp == shard.stamp:
                plan = json.loads(text)
                splits = tuple(Split(*split) for split in plan["splits"])
                plans[shard.path] = ShardPlan(shard, plan["sha256"], False, splits, plan["rows"])
        return plans

    def record(self, plans: Iterable[ShardPlan]) -> None:
        """Record plans, except of files that are gone or changed within the last two seconds, whose stamp may not tell
        the next change from the last."""
        rows = []
        for plan in plans:
            shard = plan.shard
            if not _is_settled(shard):
                continue
            splits = [[split.index, split.start, split.stop, split.weight] for split in plan.splits]
            text = json.dumps({"sha256": plan.sha256, "splits": splits, "rows": plan.rows})
            rows.append((shard.path, _reader(shard), shard.stamp, text))
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?)", rows)


def _is_settled(shard: Shard) -> bool:
    if not shard.is_local:
        return True
    try:
        is_folder = shard.path.endswith("/")
        changed = last_changed(shard.path) if is_folder else Path(shard.path).stat().st_mtime
        return time.time() - changed >= _SETTLED_SECONDS
    except OSError:
        return False


def _reader(shard: Shard) -> str:
    return f"{shard.format.value} {READER_VERSION} {SPLIT_BYTES}"
