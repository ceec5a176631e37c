"""The SQLite file of the history: opening it, and replacing it when it is damaged.

The file is an index of the run directories, so it is never repaired: a damaged file is renamed (never deleted) and an
empty one takes its place, which the next sync fills. WAL lets readers and a writer work at once, and when a process is
killed, the transactions that it committed are kept.
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
BUSY_TIMEOUT = 60.0
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

_DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE_CODES = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


class _DamagedError(Exception):
    """The file is not an index that this version wrote."""


def open_index(output: Path) -> sqlite3.Connection:
    """Open the index of an output folder, created if missing; in memory, and empty, if the folder cannot be written to.

    Raises:
        StoreError: a newer version wrote the file, or it cannot be read or locked.
    """
    path = output / HISTORY_FILE
    try:
        with _folder_lock(output):
            try:
                return _open_checked(path)
            except _DamagedError:
                _rename_index(path)
                return _open_checked(path)
    except OSError:
        return _create_tables(sqlite3.connect(":memory:", isolation_level=None))
    except sqlite3.Error as error:
        if _code(error) in _UNWRITABLE_CODES:
            return _create_tables(sqlite3.connect(":memory:", isolation_level=None))
        raise StoreError(f"{path} cannot be used: {error}; it is an index of the runs beside it and can be moved "
                         "away: the next command builds it again") from error  # fmt: skip


def discard_index(output: Path) -> None:
    """Rename the index file, whatever it contains, so that the next `open_index` creates a new one.

    Raises:
        StoreError: the folder cannot be written to.
    """
    try:
        with _folder_lock(output):
            _rename_index(output / HISTORY_FILE)
    except OSError as error:
        raise StoreError(f"{output / HISTORY_FILE} cannot be renamed: {error.strerror}") from error


def _rename_index(path: Path) -> None:
    """Rename an index and its WAL files to a name that is free; the caller holds `_folder_lock`."""
    number = 1
    while (target := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """An exclusive write transaction: committed as a whole, or rolled back on an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is damaged, rather than locked or unreadable."""
    return _code(error) in _DAMAGE_CODES


@contextmanager
def _folder_lock(output: Path) -> Iterator[None]:
    """Lock the folder while an index is opened, so that no process renames what another has just created.

    The lock is on the folder itself and needs no file; it is not `<output>/.lock`, which a run holds.
    """
    folder = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _open_checked(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"{path} was written by a newer version (schema {version}; this one knows {SCHEMA}): use that version, "
                "or move the file away: it is an index of the runs beside it and is built again"
            )
        empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != SCHEMA and not empty:
            raise _DamagedError  # of an older version, or of another program
        if version == SCHEMA and connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            raise _DamagedError
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return _create_tables(connection) if empty else _enable_foreign_keys(connection)
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise _DamagedError from None
        raise
    except BaseException:
        connection.close()
        raise


def _create_tables(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
    return _enable_foreign_keys(connection)


def _enable_foreign_keys(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
