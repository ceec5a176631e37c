"""The history of an output folder: every published run and every figure of it, indexed so that questions are quick.

    with History.open(output) as history:
        history.series("duplicate_share_documents", "all")

Opening brings the index up to date with the run directories, which are the truth: new runs are added, runs that are
gone are dropped, damaged ones are left out and named in `problems`. `history_index` holds the file itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.checks.history.sqlite_index import HISTORY_FILE, is_damage, open_index, start_anew, transaction
from corpus_audit.pipelines.drift.comparable import reading_key
from corpus_audit.schemas.errors import AuditError, StoreError
from corpus_audit.schemas.run.results import RESULTS_FILE, Verdict, read_results
from corpus_audit.schemas.run.run_file import RUN_FILE, PublishedFile, read_run_file
from corpus_audit.schemas.run.signoff import SIGNOFF_SUFFIX, SIGNOFFS

METRICS_FILE = "tables/metrics.parquet"
TIMINGS_FILE = "timings.json"

_STAMP = re.compile(r"\d{8}T\d{6}Z")
_ORDER = "ORDER BY runs.time IS NULL DESC, runs.time, length(runs.run), runs.run"
"""Oldest first; runs without a time are older than all others. Of one second the longer name is the later one."""

_COLUMNS = ("run", "time", "name", "snapshot", "tokenizer", "reading", "complete", "verdict", "policy", "signed")
_RUN = ", ".join(f"runs.{column}" for column in _COLUMNS)


@dataclass(frozen=True)
class IndexedRun:
    """A published run.

    Attributes:
        run, name: its directory's name, and what the spec calls the audit.
        time: when it started (ISO 8601, UTC); None if that is not known.
        snapshot, tokenizer: their SHA-256.
        reading: equal for runs whose figures may be compared (`reading_key`).
        complete: whether every integrity rule held.
        verdict, policy: what it was judged to, and the SHA-256 of the policy; None if it was not judged.
        signed: SHA-256 of the sign-off that lies beside it, or None. That it verifies is for `verify` to say.
    """

    run: str
    time: str | None
    name: str
    snapshot: str
    tokenizer: str
    reading: str
    complete: bool
    verdict: Verdict | None
    policy: str | None
    signed: str | None


@dataclass(frozen=True)
class Point:
    """A figure of a run, as its metrics table has it; ``value`` is None where that is null or not finite."""

    run: IndexedRun
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    unit: str


class History:
    """The runs of an output folder; a context manager."""

    def __init__(self, output: Path, connection: sqlite3.Connection) -> None:
        self._output = output
        self._connection = connection
        self.problems: tuple[str, ...] = ()
        """What is wrong with runs that are left out, one sentence each."""

    @classmethod
    def open(cls, output: Path) -> History:
        """The history, up to date with the run directories.

        Raises:
            StoreError: the index was written by a newer version, or cannot be read or locked.
        """
        try:
            return cls._synced(output)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise StoreError(f"{output / HISTORY_FILE} cannot be used: {error}") from error
        try:
            return cls._synced(output)  # opening it again sets the damaged file aside
        except sqlite3.Error as error:
            raise StoreError(f"{output / HISTORY_FILE} cannot be used: {error}") from error

    @classmethod
    def _synced(cls, output: Path) -> History:
        history = cls(output, open_index(output))
        try:
            history.sync()
        except BaseException:
            history.close()
            raise
        return history

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def sync(self) -> None:
        """Add runs that are new, drop runs that are gone, and look which ones are signed."""
        found = _run_stamps(self._output)
        known = dict(self._connection.execute("SELECT run, stamp FROM runs"))
        gone = [run for run in known if run not in found]
        if gone:
            with transaction(self._connection):
                self._connection.executemany("DELETE FROM runs WHERE run = ?", [(run,) for run in gone])
                self._connection.execute("DELETE FROM figures WHERE id NOT IN (SELECT figure FROM points)")
        problems = []
        for run in sorted(run for run, stamp in found.items() if known.get(run) != stamp):
            try:
                facts, table = read_run(self._output / run)
            except AuditError as error:
                problems.append(str(error))
                with transaction(self._connection):
                    self._connection.execute("DELETE FROM runs WHERE run = ?", (run,))
                continue
            self.add(facts, found[run], table)
        signed = {run: _signature(self._output, run) for run in found}
        held = dict(self._connection.execute("SELECT run, signed FROM runs"))
        changed = [(signed[run], run) for run, digest in held.items() if run in signed and signed[run] != digest]
        if changed:
            with transaction(self._connection):
                self._connection.executemany("UPDATE runs SET signed = ? WHERE run = ?", changed)
        self.problems = tuple(problems)

    def add(self, run: IndexedRun, stamp: str, metrics: pa.Table) -> None:
        """Index a run, in the place of an earlier one of that name; all of it or nothing.

        Args:
            run: its facts.
            stamp: what tells another `run.json` in the same place.
            metrics: in the schema METRICS.
        """
        facts = (run.run, stamp, run.time, run.name, run.snapshot, run.tokenizer, run.reading, run.complete,
                 None if run.verdict is None else run.verdict.value, run.policy, run.signed)  # fmt: skip
        rows = metrics.select(["metric", "slice", "unit", "value", "low", "high", "n"]).to_pylist()
        copies: dict[tuple[str, str, str], int] = {}
        points = []
        for row in rows:
            key = (row["metric"], row["slice"], row["unit"])
            copy = copies[key] = copies.get(key, -1) + 1
            points.append((copy, *(_finite(row[name]) for name in ("value", "low", "high")), row["n"], *key))
        db = self._connection
        with transaction(db):
            db.execute("DELETE FROM runs WHERE run = ?", (run.run,))
            marks = ", ".join("?" * len(facts))
            identity = db.execute(
                "INSERT INTO runs (run, stamp, time, name, snapshot, tokenizer, reading, complete, verdict, policy, "
                f"signed) VALUES ({marks})",
                facts,
            ).lastrowid
            db.executemany("INSERT OR IGNORE INTO figures (metric, slice, unit) VALUES (?, ?, ?)", list(copies))
            db.executemany(
                f"INSERT INTO points SELECT {identity}, id, ?, ?, ?, ?, ? FROM figures "
                "WHERE metric = ? AND slice = ? AND unit = ?",
                points,
            )

    def runs(self) -> tuple[IndexedRun, ...]:
        """Every run, oldest first."""
        rows = self._connection.execute(f"SELECT {_RUN} FROM runs {_ORDER}").fetchall()
        return tuple(_indexed(row) for row in rows)

    def series(self, metric: str, slice_: str = "all") -> tuple[Point, ...]:
        """A figure in the runs that have it, oldest first.

        A run whose table has the row more than once, which no rule can judge, gives a point for each.
        """
        rows = self._connection.execute(
            f"SELECT {_RUN}, value, low, high, n, unit FROM runs CROSS JOIN figures JOIN points "
            f"ON points.run = runs.id AND points.figure = figures.id WHERE metric = ? AND slice = ? {_ORDER}",
            (metric, slice_),
        ).fetchall()
        return tuple(Point(_indexed(row[: len(_COLUMNS)]), *row[len(_COLUMNS) :]) for row in rows)

    def last(self, n: int, reading: str, before: str | None = None) -> tuple[IndexedRun, ...]:
        """The ``n`` newest complete runs that may be compared, oldest first.

        Args:
            n: how many at most.
            reading: the `reading_key` of the run that is to be compared with them.
            before: a run that is left out, with every one after it.
        """
        known = [run for run in self._before(before) if run.complete and run.reading == reading]
        return tuple(known[max(len(known) - n, 0) :])

    def _before(self, run: str | None) -> tuple[IndexedRun, ...]:
        known = self.runs()
        names = [one.run for one in known]
        return known[: names.index(run)] if run in names else known

    def metrics(self) -> tuple[str, ...]:
        """Names of every metric that a run has."""
        return tuple(row[0] for row in self._connection.execute("SELECT DISTINCT metric FROM figures ORDER BY metric"))

    def metric_slices(self) -> dict[str, int]:
        """Slices by metric, of all runs."""
        return dict(
            self._connection.execute(
                "SELECT metric, count(DISTINCT slice) FROM figures GROUP BY metric ORDER BY metric"
            )
        )

    def slices(self, metric: str) -> tuple[str, ...]:
        """Every slice of a metric that a run has."""
        rows = self._connection.execute("SELECT DISTINCT slice FROM figures WHERE metric = ? ORDER BY slice", (metric,))
        return tuple(row[0] for row in rows)


def rebuild(output: Path) -> tuple[str, ...]:
    """Make the index anew from the run directories; the old one is set aside. Returns what is wrong with runs.

    Raises:
        StoreError: as `History.open`; but a file of a newer version is set aside too.
    """
    start_anew(output)
    return record(output)


def record(output: Path) -> tuple[str, ...]:
    """Bring the index up to date after a run was published; returns what is wrong with runs that are left out.

    Raises:
        StoreError: as `History.open`.
    """
    with History.open(output) as history:
        return history.problems


def read_run(folder: Path) -> tuple[IndexedRun, pa.Table]:
    """What the index holds of a run: its facts, and its metrics in the schema METRICS.

    Raises:
        StoreError: a file is missing, damaged, or of another version.
    """
    try:
        facts = read_run_file(folder)
        files = facts.files
        metrics = pq.read_table(pa.BufferReader(_checked(folder, METRICS_FILE, files)), page_checksum_verification=True)
        judged = read_results(_checked(folder, RESULTS_FILE, files)) if RESULTS_FILE in files else None
        run = IndexedRun(
            run=folder.name,
            time=_started(folder, files),
            name=facts.name,
            snapshot=facts.snapshot.digest,
            tokenizer=facts.tokenizer.sha256,
            reading=reading_key(facts),
            complete=facts.complete,
            verdict=None if judged is None else judged.verdict,
            policy=None if judged is None else judged.policy.sha256,
            signed=_signature(folder.parent, folder.name),
        )
        return run, metrics
    except StoreError as error:
        raise StoreError(f"run {folder.name} is left out of the history: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise StoreError(f"run {folder.name} is left out of the history: {type(error).__name__}: {error}") from error


def _checked(folder: Path, name: str, files: dict[str, PublishedFile]) -> bytes:
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != files[name].sha256:
        raise StoreError(f"{name} is not the file that {RUN_FILE} lists")
    return data


def _started(folder: Path, files: dict[str, PublishedFile]) -> str | None:
    """When the run started: by its timings, else by its name."""
    if TIMINGS_FILE in files:
        given = str(json.loads(_checked(folder, TIMINGS_FILE, files))["started"])
        return _utc(datetime.fromisoformat(given))
    stamp = _STAMP.match(folder.name)
    if stamp is None:
        return None
    return _utc(datetime.strptime(stamp[0], "%Y%m%dT%H%M%S%z"))


def _utc(time: datetime) -> str:
    """A time as text that sorts as it does; one without a zone is taken for UTC."""
    known = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return known.isoformat(timespec="seconds")


def _run_stamps(output: Path) -> dict[str, str]:
    """The published runs, each with what changes when another `run.json` stands in its place."""
    found = {}
    for folder in output.iterdir() if output.is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            status = (folder / RUN_FILE).stat()
        except OSError:
            continue
        found[folder.name] = f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
    return found


def _signature(output: Path, run: str) -> str | None:
    try:
        return hashlib.sha256((output / SIGNOFFS / f"{run}{SIGNOFF_SUFFIX}").read_bytes()).hexdigest()
    except OSError:
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _indexed(row: tuple[Any, ...]) -> IndexedRun:
    run, time, name, snapshot, tokenizer, reading, complete, verdict, policy, signed = row
    return IndexedRun(run, time, name, snapshot, tokenizer, reading, bool(complete),
                      None if verdict is None else Verdict(verdict), policy, signed)  # fmt: skip
