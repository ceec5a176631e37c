"""Reads metrics of MLflow: its SQLite database, and the files of a ``mlruns`` folder."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

from corpus_audit.pipelines.telemetry.lines import line_blocks, text_of
from corpus_audit.pipelines.telemetry.points import Account, Collector, FileTelemetry, Refusal

LONGEST_VALUE = 2**20
"""Bytes of a text or blob in a database; at a longer one reading ends, and the account says so."""

_QUERY = "SELECT rowid, run_uuid, key, step, timestamp, value, is_nan FROM metrics ORDER BY rowid"


def has_metrics(connection: sqlite3.Connection) -> bool:
    """Whether a database has MLflow's table of metrics; a view or a virtual table, which computes, is none.

    Raises:
        sqlite3.Error: the database is damaged.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    connection.execute("PRAGMA trusted_schema = OFF")
    made = connection.execute("SELECT type, sql FROM sqlite_schema WHERE name = 'metrics'").fetchall()
    if [kind for kind, _ in made] != ["table"] or not re.match(r"\s*CREATE\s+TABLE\b", str(made[0][1]), re.IGNORECASE):
        return False
    # Columns that are computed are not among these.
    columns = {row[1] for row in connection.execute("PRAGMA table_info(metrics)")}
    return {"run_uuid", "key", "step", "timestamp", "value", "is_nan"} <= columns


def read_mlflow_database(path: Path) -> FileTelemetry:
    """Metrics of every run of a database, which is opened for reading only; offsets are row ids.

    ``is_nan`` marks a NaN, for which MLflow stores 0; infinities are stored as the largest numbers.
    """
    account = Account()
    runs: dict[str, Collector] = {}
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    try:
        if not has_metrics(connection):
            raise sqlite3.DatabaseError("it has no table of metrics")
        for rowid, run, key, step, timestamp, value, is_nan in connection.execute(_QUERY):
            if not isinstance(run, str) or not isinstance(key, str) or not isinstance(step, int):
                account.refuse(rowid, Refusal.NO_STEP if isinstance(key, str) else Refusal.MALFORMED, f"{key}")
            elif isinstance(value, bool) or not isinstance(value, int | float):
                account.refuse(rowid, Refusal.NOT_A_NUMBER, f"{key}: {value!r}"[:100])
            else:
                figure = float("nan") if is_nan else float(value)
                if abs(figure) >= 1.7976931348623157e308:
                    figure = float("inf") if figure > 0 else float("-inf")
                wall = timestamp / 1000 if isinstance(timestamp, int | float) else float("nan")
                collector = runs.setdefault(run, Collector(account))
                account.entry(collector.add(key, step, figure, wall, rowid))
    except sqlite3.Error as error:
        account.refuse(0, Refusal.UNREADABLE, str(error))
    finally:
        connection.close()
    return FileTelemetry(path, "mlflow", "row", tuple(c.finish(run) for run, c in runs.items()), account)


def read_mlflow_metric(path: Path) -> FileTelemetry:
    """A file ``RUN/metrics/KEY`` with lines of time in milliseconds, value and step; offsets are bytes.

    The run is the name of the folder above ``metrics``, and the tag the path below it.
    """
    account = Account()
    collector = Collector(account)
    parts = path.absolute().parts
    at = len(parts) - 2 - parts[::-1][1:].index("metrics") if "metrics" in parts[:-1] else len(parts) - 2
    tag = "/".join(parts[at + 1 :])
    for offset, block in line_blocks(path, account):
        for line in block.split(b"\n") if not block.endswith(b"\n") else block[:-1].split(b"\n"):
            fields = line.split()
            try:
                wall, value, step = int(fields[0]) / 1000, float(fields[1]), int(fields[2]) if len(fields) > 2 else 0
            except (ValueError, IndexError, OverflowError):
                if fields:
                    account.refuse(offset, Refusal.MALFORMED, text_of(line[:200]))
                else:
                    account.entry(False)
            else:
                account.entry(collector.add(tag, step, value, wall, offset))
            offset += len(line) + 1
    return FileTelemetry(path, "mlruns", "byte", (collector.finish(parts[at - 1]),), account)
