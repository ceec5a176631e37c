"""The history of an output folder: an index of its published runs and of every figure of theirs.

    with History.open(output) as history:
        history.series("duplicate_share_documents", "all")

Opening updates the index from the run directories, which are authoritative: new runs are added, deleted runs are
removed, damaged ones are left out and reported in `problems`. `sqlite_index` opens the file itself.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from corpus_audit.checks.history.run_reader import IndexedRun, read_run, run_stamps, signoff_digest
from corpus_audit.checks.history.sqlite_index import HISTORY_FILE, discard_index, is_damage, open_index, transaction
from corpus_audit.schemas.errors import AuditError, StoreError
from corpus_audit.schemas.run.results import Verdict

__all__ = ["HISTORY_FILE", "FigurePoint", "History", "IndexedRun", "read_run", "rebuild", "update_index"]

_ORDER = "ORDER BY runs.time IS NULL DESC, runs.time, length(runs.run), runs.run"
"""Oldest first; runs without a time come before all others. Of runs of one second, the longer name is the later one."""

_COLUMNS = ("run", "time", "name", "snapshot", "tokenizer", "reading", "complete", "verdict", "policy", "signed")
_RUN = ", ".join(f"runs.{column}" for column in _COLUMNS)


@dataclass(frozen=True)
class FigurePoint:
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
        """Why runs are left out, one sentence per run."""

    @classmethod
    def open(cls, output: Path) -> History:
        """Open the index and update it from the run directories.

        Raises:
            StoreError: the index was written by a newer version, or cannot be read or locked.
        """
        try:
            return cls._open_synced(output)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise StoreError(f"{output / HISTORY_FILE} cannot be used: {error}") from error
        try:
            return cls._open_synced(output)  # opening it again moves the damaged file away
        except sqlite3.Error as error:
            raise StoreError(f"{output / HISTORY_FILE} cannot be used: {error}") from error

    @classmethod
    def _open_synced(cls, output: Path) -> History:
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
        """Close the index file."""
        self._connection.close()

    def sync(self) -> None:
        """Add new runs, remove deleted ones, and update which runs are signed."""
        stamps = run_stamps(self._output)
        known = dict(self._connection.execute("SELECT run, stamp FROM runs"))
        gone = [run for run in known if run not in stamps]
        if gone:
            with transaction(self._connection):
                self._connection.executemany("DELETE FROM runs WHERE run = ?", [(run,) for run in gone])
                self._connection.execute("DELETE FROM figures WHERE id NOT IN (SELECT figure FROM points)")
        problems = []
        for run in sorted(run for run, stamp in stamps.items() if known.get(run) != stamp):
            try:
                facts, table = read_run(self._output / run)
            except AuditError as error:
                problems.append(str(error))
                with transaction(self._connection):
                    self._connection.execute("DELETE FROM runs WHERE run = ?", (run,))
                continue
            self.add(facts, stamps[run], table)
        signed = {run: signoff_digest(self._output, run) for run in stamps}
        indexed = dict(self._connection.execute("SELECT run, signed FROM runs"))
        changed = [(signed[run], run) for run, digest in indexed.items() if run in signed and signed[run] != digest]
        if changed:
            with transaction(self._connection):
                self._connection.executemany("UPDATE runs SET signed = ? WHERE run = ?", changed)
        self.problems = tuple(problems)

    def add(self, run: IndexedRun, stamp: str, metrics: pa.Table) -> None:
        """Add a run to the index in one transaction; a run of the same name is replaced.

        Args:
            run: its facts.
            stamp: changes when `run.json` of the run is replaced; see `run_stamps`.
            metrics: table in the schema METRICS.
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

    def series(self, metric: str, slice_: str = "all") -> tuple[FigurePoint, ...]:
        """A figure in the runs that have it, oldest first.

        A run whose table has the row more than once, which no rule can judge, has one point per row.
        """
        rows = self._connection.execute(
            f"SELECT {_RUN}, value, low, high, n, unit FROM runs CROSS JOIN figures JOIN points "
            f"ON points.run = runs.id AND points.figure = figures.id WHERE metric = ? AND slice = ? {_ORDER}",
            (metric, slice_),
        ).fetchall()
        return tuple(FigurePoint(_indexed(row[: len(_COLUMNS)]), *row[len(_COLUMNS) :]) for row in rows)

    def last(self, n: int, reading: str, before: str | None = None) -> tuple[IndexedRun, ...]:
        """The ``n`` newest complete runs that may be compared, oldest first.

        Args:
            n: maximum number of runs.
            reading: the `reading_key` of the run that is to be compared with them.
            before: a run that is left out together with all later ones.
        """
        known = [run for run in self._before(before) if run.complete and run.reading == reading]
        return tuple(known[max(len(known) - n, 0) :])

    def _before(self, run: str | None) -> tuple[IndexedRun, ...]:
        known = self.runs()
        names = [indexed.run for indexed in known]
        return known[: names.index(run)] if run in names else known

    def metrics(self) -> tuple[str, ...]:
        """Names of every metric that a run has."""
        return tuple(row[0] for row in self._connection.execute("SELECT DISTINCT metric FROM figures ORDER BY metric"))

    def metric_slices(self) -> dict[str, int]:
        """Number of slices by metric, over all runs."""
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
    """Build a new index from the run directories; the old file is renamed. Returns why runs are left out.

    Raises:
        StoreError: as `History.open`, but a file of a newer version is renamed too.
    """
    discard_index(output)
    return update_index(output)


def update_index(output: Path) -> tuple[str, ...]:
    """Update the index after a run was published; returns why runs are left out.

    Raises:
        StoreError: as `History.open`.
    """
    with History.open(output) as history:
        return history.problems


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _indexed(row: tuple[Any, ...]) -> IndexedRun:
    run, time, name, snapshot, tokenizer, reading, complete, verdict, policy, signed = row
    return IndexedRun(run, time, name, snapshot, tokenizer, reading, bool(complete),
                      None if verdict is None else Verdict(verdict), policy, signed)  # fmt: skip
