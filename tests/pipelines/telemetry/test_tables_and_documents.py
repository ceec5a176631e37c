"""Tables with named columns, JSON documents and MLflow: what is a step, a value, or neither."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.telemetry.points import FileTelemetry, Refusal
from corpus_audit.pipelines.telemetry.reading import UnreadFile, read_telemetry_file


def read(path: Path, content: str | bytes) -> FileTelemetry:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = read_telemetry_file(path)
    assert isinstance(result, FileTelemetry) and result.account.is_conserved
    return result


def values(result: FileTelemetry, tag: str, run: int = 0) -> list[tuple[int, float]]:
    part = result.runs[run]
    rows = part.points.tag == part.tags.index(tag)
    return list(zip(part.points.step[rows].tolist(), part.points.value[rows].tolist(), strict=True))


def test_json_lines(tmp_path: Path) -> None:
    text = (
        '{"_step": 0, "loss": 3.5, "opt": {"lr": 0.1}, "note": "hello", "_timestamp": 7.5}\n'
        '{"_step": 1, "loss": NaN, "opt": {"lr": "nan"}}\n'
        '{"_step": 2, "loss": 1, "loss": 2}\n'
        "not json\n"
        '{"loss": 4}\n'
        '{"_step": "x", "loss": 4}\n\n'
        '{"_step": 3, "table": true}\n' + "[" * 100_000 + "\n"
    )
    result = read(tmp_path / "h.jsonl", text)
    assert result.kind == "jsonl"
    losses = values(result, "loss")
    assert losses[0] == (0, 3.5) and losses[1][0] == 1 and np.isnan(losses[1][1]) and len(losses) == 2
    assert values(result, "opt/lr")[0] == (0, 0.1) and np.isnan(values(result, "opt/lr")[1][1])
    assert result.runs[0].tags == ("loss", "opt/lr") and result.runs[0].points.wall_time[0] == 7.5
    assert result.account.reasons == {Refusal.DUPLICATE_KEY: 1, Refusal.MALFORMED: 2, Refusal.NO_STEP: 2}
    assert (result.account.entries, result.account.used, result.account.other) == (9, 2, 2)
    assert result.runs[0].points.offset.tolist()[-1] == text.index('{"_step": 1')


def test_csv(tmp_path: Path) -> None:
    text = '\ufeffStep,"run - train/loss",text,loss\n0,3.5,a,1\n1,,b,2\n2,1,c\n,5,d,3\n3,inf,\x1b[31m<b>,4\n'
    result = read(tmp_path / "w.csv", text)
    assert values(result, "run - train/loss") == [(0, 3.5), (3, float("inf"))]
    assert values(result, "loss") == [(0, 1.0), (1, 2.0), (3, 4.0)]
    assert result.account.reasons == {Refusal.WRONG_COLUMNS: 1, Refusal.NO_STEP: 1} and result.account.entries == 5


def test_long_tables(tmp_path: Path) -> None:
    result = read(tmp_path / "l.csv", "step,tag,value\n1,loss,2.5\n1,lr,x\n2,loss,2.0\n")
    assert values(result, "loss") == [(1, 2.5), (2, 2.0)]
    assert result.account.reasons == {Refusal.NOT_A_NUMBER: 1}


def test_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "_step": pa.array([0, 1, None, 3], pa.float64()),
            "loss": pa.array([1.5, None, 3.0, float("nan")]),
            "odd": ["NaN", "x", "1", None],
            "_timestamp": [10.0, 11.0, 12.0, 13.0],
            "picture": [{"a": 1}] * 4,
        }
    )
    pq.write_table(table, tmp_path / "h.parquet")
    result = read(tmp_path / "h.parquet", (tmp_path / "h.parquet").read_bytes())
    assert values(result, "loss")[0] == (0, 1.5) and np.isnan(values(result, "loss")[1][1])
    assert result.account.reasons == {Refusal.NO_STEP: 1}
    assert (result.account.entries, result.account.used, result.account.other) == (4, 2, 1)
    assert set(result.runs[0].points.wall_time.tolist()) == {10.0, 13.0}


def test_trainer_state(tmp_path: Path) -> None:
    log = [{"step": 10, "loss": 2.5, "grad_norm": "nan", "epoch": 0.1}, {"step": 20, "eval_loss": 2.0}, {"loss": 1.0}]
    result = read(tmp_path / "trainer_state.json", json.dumps({"best_metric": None, "log_history": log}, indent=1))
    assert result.kind == "trainer_state"
    assert values(result, "loss") == [(10, 2.5)] and values(result, "eval_loss") == [(20, 2.0)]
    assert result.account.reasons == {Refusal.NO_STEP: 1}


def test_golden_values(tmp_path: Path) -> None:
    document = {
        "lm loss": {
            "start_step": 1,
            "end_step": 3,
            "step_interval": 1,
            "values": {"1": 3.5, "2": "nan", "x": 1, "3": None},
        },
        "num-zeros": {"start_step": 5, "end_step": 7, "step_interval": 2, "values": [1, 2]},
    }
    result = read(tmp_path / "g.json", json.dumps(document))
    assert values(result, "lm loss")[0] == (1, 3.5) and len(values(result, "lm loss")) == 2
    assert values(result, "num-zeros") == [(5, 1.0), (7, 2.0)]
    assert result.account.reasons == {Refusal.NO_STEP: 1, Refusal.NOT_A_NUMBER: 1}


def test_mlflow_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        columns = "key VARCHAR, value FLOAT, timestamp BIGINT, run_uuid VARCHAR, step BIGINT, is_nan BOOLEAN"
        connection.execute(f"CREATE TABLE metrics ({columns})")
        rows = [
            ("loss", 2.5, 1700000000000, "a", 1, 0),
            ("loss", 0.0, 1700000001000, "a", 2, 1),
            ("loss", 1.7976931348623157e308, 0, "b", 1, 0),
            ("loss", "'; DROP TABLE metrics", 0, "b", 2, 0),
            ("loss", 1.0, 0, "b", "late", 0),
        ]
        connection.executemany("INSERT INTO metrics VALUES (?,?,?,?,?,?)", rows)
    connection.close()
    result = read(tmp_path / "mlflow.db", (tmp_path / "mlflow.db").read_bytes())
    assert [run.run for run in result.runs] == ["a", "b"]
    assert values(result, "loss")[0] == (1, 2.5) and np.isnan(values(result, "loss")[1][1])
    assert values(result, "loss", run=1) == [(1, float("inf"))]
    assert result.account.reasons == {Refusal.NOT_A_NUMBER: 1, Refusal.NO_STEP: 1}


def test_mlruns(tmp_path: Path) -> None:
    text = "1700000000000 2.5 1\n1700000001000 nan 2\nbad\n"
    result = read(tmp_path / "mlruns" / "0" / "abc" / "metrics" / "train" / "loss", text)
    assert result.kind == "mlruns" and result.runs[0].run == "abc" and result.runs[0].tags == ("train/loss",)
    assert result.account.reasons == {Refusal.MALFORMED: 1}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty", b"", "empty"),
        ("notes.txt", b"a run went wrong at step 1000, loss was high\n", "not recognised"),
        ("model.pkl", b"\x80\x04\x95\x00\x00\x00", "not recognised"),
        ("config.json", b'{"step_size": 5, "loss": "mse"}', "not recognised"),
        ("table.csv", b"a,b\n1,2\n", "not recognised"),
        ("results.json", b'{"results": {"arc": {"acc": 0.5}}}', "not recognised"),
    ],
)
def test_what_is_not_recognised_is_listed(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    result = read_telemetry_file(tmp_path / name)
    assert isinstance(result, UnreadFile) and result.reason == reason


def test_a_damaged_container_is_an_account(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"step": list(range(1000)), "loss": np.random.default_rng(0).random(1000)}), tmp_path / "p.parquet"
    )
    data = bytearray((tmp_path / "p.parquet").read_bytes())
    data[4:3000] = b"\xff" * 2996
    result = read(tmp_path / "p.parquet", bytes(data))
    assert result.account.reasons == {Refusal.UNREADABLE: 1}
