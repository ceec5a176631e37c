"""Logs that were written to do harm: lines on which patterns would go on for days, databases that compute."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.telemetry.points import FileTelemetry, Refusal
from corpus_audit.pipelines.telemetry.reading import UnreadFile, read_telemetry_file

LONG = 300_000
"""Bytes at which a pattern that takes the square of a line's length would need more than an hour."""

LINES = [
    ("deepspeed", "[Rank 0] step=5, ", "a"),
    ("deepspeed", "steps: 5 loss: ", "1e"),
    ("llm.c", "s:5 trl:", "a_"),
    ("torchtitan", "step: 5 loss: ", "nan"),
    ("modded-nanogpt", "step:5/9 a:", "a."),
    ("nanogpt", "iter 5: loss ", " "),
    ("llm.c terminal", "step 5/9 | loss ", " "),
    ("nanogpt", "iter 5: loss ", "1"),
    ("olmo", "[step=5/9]\n  a", " "),
    ("olmo", "[step=5/9]\n", "[step=1,"),
    ("megatron", " iteration 5/ 9 | lm loss: 1 |\n", "validation loss at iteration 5 "),
    ("megatron", " iteration 5/ 9 | lm loss: ", "[2024-05-01 12:00:00"),
]


@pytest.mark.parametrize(("kind", "head", "unit"), LINES)
def test_time_grows_with_the_length_of_a_line(tmp_path: Path, kind: str, head: str, unit: str) -> None:
    path = tmp_path / "run.log"
    path.write_text(head + unit * (LONG // len(unit)) + "x\n")
    result = read_telemetry_file(path)
    assert isinstance(result, FileTelemetry) and result.kind == kind and result.account.is_conserved


def database(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


COLUMNS = "run_uuid, key, step, timestamp, value, is_nan"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW metrics AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT x AS rowid, 'a' AS run_uuid, 'b' AS key, x AS step, 0 AS timestamp, 1.0 AS value, 0 AS is_nan FROM c",
        f"CREATE VIRTUAL TABLE metrics USING fts5({COLUMNS})",
        "CREATE TABLE metrics (run_uuid, key, step, timestamp, is_nan, value AS (length(hex(zeroblob(100000000)))))",
    ],
)
def test_a_database_that_computes_its_metrics_is_not_read(tmp_path: Path, statement: str) -> None:
    try:
        path = database(tmp_path / "mlflow.db", statement)
    except sqlite3.OperationalError as error:  # an SQLite without full-text search
        pytest.skip(str(error))
    result = read_telemetry_file(path)
    assert isinstance(result, UnreadFile) and result.reason == "not recognised"


def test_a_giant_text_in_a_database_ends_its_reading(tmp_path: Path) -> None:
    rows = [f"INSERT INTO metrics VALUES ('a', 'loss', {step}, 0, {step}, 0)" for step in range(9)]
    giant = "INSERT INTO metrics VALUES ('a', hex(zeroblob(2000000)), 9, 0, 1, 0)"
    path = database(tmp_path / "mlflow.db", f"CREATE TABLE metrics ({COLUMNS})", *rows, giant)
    result = read_telemetry_file(path)
    assert isinstance(result, FileTelemetry) and len(result.runs[0].points) in (8, 9)  # sqlite3 reads ahead
    assert result.account.reasons == {Refusal.UNREADABLE: 1} and result.account.is_conserved


@pytest.mark.parametrize("stored", [True, False])
def test_texts_that_a_parquet_dictionary_repeats_are_not_expanded(tmp_path: Path, stored: bool) -> None:
    rows = 10_000  # times the text: 20 GB
    giant = pa.array(["x" * 2_000_000, "1.5"])
    codes = pa.array([0] * (rows - 1) + [1], pa.int32())
    columns = {"step": pa.array(range(rows)), "note": pa.DictionaryArray.from_arrays(codes, giant)}
    for names, file in ((("step", "note"), "wide"), (("step", "tag", "value"), "long")):
        table = pa.table(dict(zip(names, [*columns.values(), pa.array([2.5] * rows)], strict=False)))
        pq.write_table(table, tmp_path / f"{file}.parquet", row_group_size=rows, store_schema=stored)
        result = read_telemetry_file(tmp_path / f"{file}.parquet")
        assert isinstance(result, FileTelemetry) and result.account.is_conserved
        assert len(result.runs[0].points) == (1 if file == "wide" else rows)
