"""The history index: truth in the run directories, whatever becomes of the file."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.history import sqlite_index
from corpus_audit.checks.history.history import HISTORY_FILE, FigurePoint, History, read_run, rebuild, update_index
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import Verdict
from tests.checks.indexed_runs import make_run, sign


def values(points: Sequence[FigurePoint]) -> list[tuple[str, float | None]]:
    return [(point.run.run, point.value) for point in points]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for day, value in ((1, 0.01), (2, 0.02), (10, 0.03)):
        make_run(tmp_path, f"202611{day:02d}T060000Z", {"duplicate_share": {"all": value, "domain=web": value / 2}})
    return tmp_path


def test_a_series_is_oldest_first_with_interval_and_denominator(output: Path) -> None:
    with History.open(output) as history:
        points = history.series("duplicate_share", "all")
        assert values(points) == [
            ("20261101T060000Z", 0.01), ("20261102T060000Z", 0.02), ("20261110T060000Z", 0.03),
        ]  # fmt: skip
        assert (points[0].low, points[0].high) == pytest.approx((0.009, 0.011))
        assert (points[0].n, points[0].unit) == (1000, "share")
        assert points[0].run.time == "2026-11-01T06:00:00+00:00"
        assert values(history.series("duplicate_share", "domain=web"))[0][1] == 0.005
        assert history.series("duplicate_share", "domain=gone") == () == history.series("none")
        assert history.metrics() == ("duplicate_share",)
        assert history.slices("duplicate_share") == ("all", "domain=web")
        assert history.problems == ()


def test_runs_carry_verdict_policy_and_sign_off(output: Path) -> None:
    make_run(output, "20261111T060000Z", {"m": {"all": 1.0}}, judged=True)
    envelope = sign(output, "20261102T060000Z")
    with History.open(output) as history:
        runs = history.runs()
        assert [run.verdict for run in runs] == [None, None, None, Verdict.FAIL]
        assert runs[-1].policy == "ef" * 32
        assert [run.signed for run in runs] == [None, envelope, None, None]
    (output / "signoffs" / "20261102T060000Z.dsse.json").unlink()
    with History.open(output) as history:
        assert not any(run.signed for run in history.runs())


def test_only_comparable_runs_are_a_reference(output: Path) -> None:
    make_run(output, "20261111T060000Z", {"m": {"all": 1.0}}, tokenizer="other")
    make_run(output, "20261112T060000Z", {"m": {"all": 1.0}}, complete=False)
    with History.open(output) as history:
        first, second, third, *_ = history.runs()
        assert history.last(9, first.reading) == (first, second, third)
        assert history.last(2, first.reading) == (second, third)
        assert history.last(9, first.reading, before=third.run) == (first, second)
        assert history.last(0, first.reading) == ()


def test_runs_of_one_second_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["20261101T060000Z", *(f"20261101T060000Z-{number}" for number in range(2, 12))]
    for name in reversed(names):
        make_run(tmp_path, name, {"m": {"all": 1.0}})
    with History.open(tmp_path) as history:
        assert [run.run for run in history.runs()] == names


def test_a_run_that_is_gone_leaves_and_one_that_changed_is_read_again(output: Path) -> None:
    update_index(output)
    shutil.rmtree(output / "20261101T060000Z")
    shutil.rmtree(output / "20261102T060000Z")
    make_run(output, "20261102T060000Z", {"other": {"all": 5.0}})
    with History.open(output) as history:
        assert values(history.series("duplicate_share")) == [("20261110T060000Z", 0.03)]
        assert values(history.series("other")) == [("20261102T060000Z", 5.0)]
    shutil.rmtree(output / "20261102T060000Z")
    with History.open(output) as history:
        assert history.metrics() == ("duplicate_share",)


def test_damaged_runs_are_left_out_and_named(output: Path) -> None:
    table = output / "20261101T060000Z" / "tables" / "metrics.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    (output / "20261102T060000Z" / "run.json").write_text("{}")
    make_run(output, "20261111T060000Z", {"m": {"all": 1.0}}, judged=True)
    results = output / "20261111T060000Z" / "results.json"
    results.write_bytes(results.read_bytes().replace(b'"verdict": "fail"', b'"verdict": "pass"'))
    with History.open(output) as history:
        assert [run.run for run in history.runs()] == ["20261110T060000Z"]
        problems = "\n".join(history.problems)
        assert "20261101T060000Z is left out of the history: tables/metrics.parquet is not the file" in problems
        assert "20261102T060000Z is left out" in problems and "results.json is not the file" in problems


def test_odd_rows_are_kept_as_they_are(tmp_path: Path) -> None:
    run = make_run(tmp_path, "20261101T060000Z", {"nan": {"all": float("nan")}, "inf": {"all": float("inf")},
                                                  "null": {"all": None}, "twice": {"all": 1.0}})  # fmt: skip
    path = run / "tables" / "metrics.parquet"
    table = pq.read_table(path)
    make_run(tmp_path, "20261102T060000Z", {}, table=pa.concat_tables([table, table]))
    with History.open(tmp_path) as history:
        for metric in ("nan", "inf", "null"):
            assert {point.value for point in history.series(metric)} == {None}
        assert [point.run.run for point in history.series("twice")] == ["20261101T060000Z"] + ["20261102T060000Z"] * 2


def test_rebuilding_gives_the_same_answers(output: Path) -> None:
    with History.open(output) as history:
        before = (history.runs(), history.series("duplicate_share"), history.series("duplicate_share", "domain=web"))
    rebuild(output)
    with History.open(output) as history:
        after = (history.runs(), history.series("duplicate_share"), history.series("duplicate_share", "domain=web"))
    assert after == before
    assert (output / f"{HISTORY_FILE}.set-aside-1").exists()


DAMAGE = {
    "not a database": lambda data: b"this is not a database, whatever its name says" * 100,
    "first page": lambda data: data[:20] + bytes(200) + data[220:],
    "pages": lambda data: data[:4096] + bytes(b ^ 0x5A for b in data[4096:]),
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "somebody else's": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_set_aside_and_made_anew(output: Path, damage: str) -> None:
    with History.open(output) as history:
        expected = (history.runs(), history.series("duplicate_share"))
    path = output / HISTORY_FILE
    change = DAMAGE[damage]
    if change is None:
        path.unlink()
        sqlite3.connect(path).execute("CREATE TABLE theirs (a)").connection.close()
    else:
        path.write_bytes(change(path.read_bytes()))
    with History.open(output) as history:
        assert (history.runs(), history.series("duplicate_share")) == expected
    aside = output / f"{HISTORY_FILE}.set-aside-1"
    assert aside.exists() == (damage != "empty")  # an empty file is an empty database to SQLite


def test_a_newer_schema_is_refused_and_kept(output: Path) -> None:
    update_index(output)
    connection = sqlite3.connect(output / HISTORY_FILE)
    connection.execute(f"PRAGMA user_version={sqlite_index.SCHEMA + 1}")
    connection.close()
    data = (output / HISTORY_FILE).read_bytes()
    with pytest.raises(StoreError, match="written by a newer version"):
        History.open(output)
    assert (output / HISTORY_FILE).read_bytes() == data
    rebuild(output)
    with History.open(output) as history:
        assert len(history.runs()) == 3


def test_a_folder_that_cannot_be_written_to_can_still_be_asked(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sqlite_index.fcntl, "flock", refuse)
    with History.open(output) as history:
        assert len(history.series("duplicate_share")) == 3
    assert not (output / HISTORY_FILE).exists()


def test_an_empty_or_absent_folder_has_no_runs(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with History.open(folder) as history:
            assert history.runs() == () == history.metrics()


def test_many_at_once_agree(output: Path) -> None:
    """Threads and processes index a growing folder at the same time; every answer is whole."""
    code = (
        "import sys, pathlib\n"
        "from corpus_audit.checks.history.history import update_index, History\n"
        "for _ in range(15):\n"
        "    assert update_index(pathlib.Path(sys.argv[1])) == ()\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(output)]) for _ in range(2)]

    def ask(_: int) -> int:
        with History.open(output) as history:
            points = history.series("duplicate_share")
            assert [p.run.run for p in points] == sorted(p.run.run for p in points)
            return len(points)

    for day in range(11, 19):
        make_run(output, f"202611{day:02d}T060000Z", {"duplicate_share": {"all": 0.1}})
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(ask, range(8))) == {3 + day - 10}
    assert [other.wait(600) for other in others] == [0, 0]
    assert not list(output.glob("*.set-aside*"))


WRITER = """
import sys, os, pathlib
from corpus_audit.checks.history import history
output, pieces = pathlib.Path(sys.argv[1]), []
for run in sorted(output.glob("2026*")):
    pieces.append(history.read_run(run))
print("ready", flush=True)
while True:
    with history.History.open(output) as h:
        for run, table in pieces:
            h.add(run, "changed", table)
"""


def killed(output: Path, times: int, seed: int) -> None:
    """Kill a process that writes all the time at random moments; after each, ask for everything."""
    rng = random.Random(seed)
    expected = values(record_and_series(output))
    for _ in range(times):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(output)], stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.08))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert values(record_and_series(output)) == expected
        connection = sqlite3.connect(output / HISTORY_FILE)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    assert not list(output.glob("*.set-aside*"))


def record_and_series(output: Path) -> tuple[FigurePoint, ...]:
    with History.open(output) as history:
        return history.series("duplicate_share")


def test_a_writer_that_is_killed_leaves_the_index_usable(output: Path) -> None:
    killed(output, 4, seed=1)


@pytest.mark.slow
def test_a_writer_that_is_killed_again_and_again(output: Path) -> None:
    killed(output, 60, seed=2)


def test_the_time_of_a_run_is_in_its_timings_if_they_are_there(tmp_path: Path) -> None:
    run = make_run(tmp_path, "nightly", {"m": {"all": 1.0}}, started="2026-11-03T07:08:09+01:00")
    assert read_run(run)[0].time == "2026-11-03T06:08:09+00:00"
    assert read_run(make_run(tmp_path, "weekly", {"m": {"all": 1.0}}))[0].time is None
    facts = json.loads((run / "run.json").read_text())
    assert read_run(run)[0].snapshot == facts["snapshot"]["digest"]
