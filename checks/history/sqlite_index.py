"""The SQLite file behind the history: opened, and set aside and made anew when it is of no use.

The run directories are the truth and this is an index of them, so nothing here is worth a repair: a damaged file is
renamed (never deleted) and an empty one takes its place, which the next sync fills. WAL lets readers and a writer work
at once, and a process that is killed leaves what was committed before.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from corpus_audit.schemas.errors import StoreError

HISTORY_FILE = "history.sqlite"
SCHEMA = 1
PATIENCE = 60.0
"""Seconds to wait for another process that writes."""

_TABLES = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, stamp TEXT NOT NULL, time TEXT, name TEXT NOT NULL,
    snapshot TEXT NOT NULL, tokenizer TEXT NOT NULL, reading TEXT NOT NULL, complete INTEGER NOT NULL,
    verdict TEXT, policy TEXT, signed TEXT
);
CREATE TABLE figures (
    id INTEGER PRIMARY KEY, metric TEXT NOT NULL, slice TEXT NOT NULL, unit TEXT NOT NULL,
    UNIQUE (metric, slice, unit)
);
CREATE TABLE points (
    run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, figure INTEGER NOT NULL REFERENCES figures(id),
    copy INTEGER NOT NULL, value REAL, low REAL, high REAL, n INTEGER,
    PRIMARY KEY (run, figure, copy)
) WITHOUT ROWID;
"""
"""Names of figures are stored once; a run's points lie together, so that adding a run appends and removing one cuts."""

_USELESS = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


class _DamagedError(Exception):
    """The file is not an index that this version wrote."""


def open_index(output: Path) -> sqlite3.Connection:
    """The index of an output folder, made if there is none; in memory, and empty, where the folder can't be written to.

    Raises:
        StoreError: a newer version wrote the file, or it can't be read or locked.
    """
    path = output / HISTORY_FILE
    try:
        with _alone(output):
            try:
                return _prepared(path)
            except _DamagedError:
                _set_aside(path)
                return _prepared(path)
    except OSError:
        return _made(sqlite3.connect(":memory:", isolation_level=None))
    except sqlite3.Error as error:
        if _code(error) in _UNWRITABLE:
            return _made(sqlite3.connect(":memory:", isolation_level=None))
        raise StoreError(f"{path} cannot be used: {error}; it is an index of the runs beside it, so it may be moved "
                         "away: the next command makes it anew") from error  # fmt: skip


def start_anew(output: Path) -> None:
    """Set the index aside, whatever it is, so that the next one to open it makes another.

    Raises:
        StoreError: the folder cannot be written to.
    """
    try:
        with _alone(output):
            _set_aside(output / HISTORY_FILE)
    except OSError as error:
        raise StoreError(f"{output / HISTORY_FILE} cannot be set aside: {error.strerror}") from error


def _set_aside(path: Path) -> None:
    """Rename an index, with what belongs to it, to a name that is free; the caller is `_alone`."""
    number = 1
    while (place := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(place.with_name(place.name + suffix))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, alone among writers."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is of no use, rather than busy or out of reach."""
    return _code(error) in _USELESS


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """One process at a time opens an index, so that nobody sets aside what another has just made.

    The lock is on the folder itself, which needs no file; `<output>/.lock`, which a run holds, is another.
    """
    folder = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"{path} was written by a newer version (schema {version}; this one knows {SCHEMA}): use that version, "
                "or move the file away; it is an index of the runs beside it and is made anew"
            )
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != SCHEMA and not empty:
            raise _DamagedError  # older, or not ours
        if version == SCHEMA and connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            raise _DamagedError
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return _made(connection) if empty else _with_keys(connection)
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise _DamagedError from None
        raise
    except BaseException:
        connection.close()
        raise


def _made(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
    return _with_keys(connection)


def _with_keys(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
