"""``corpus-audit investigate compare`` as users call it: summary, JSON, tables, and hostile names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.tables.investigation.evaluation_tables import COMPARISON_TABLES
from tests.pipelines.evaluations import making


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluations")
    before = [float(item % 3 > 0) for item in range(400)]
    worse = [0.0 if item < 60 else score for item, score in enumerate(before)]
    making.lm_eval_run(folder / "a", {"reading": before, "maths": before[:50], "old": before[:30]})
    making.lm_eval_run(folder / "b", {"reading": worse, "maths": before[:50]})
    (folder / "b" / "notes.txt").write_text("hello")
    making.write_lines(folder / "dirty.jsonl", [{"task": "reading", "id": item} for item in range(50)])
    return folder


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(["investigate", "compare", *arguments], Session())
    output = capsys.readouterr()
    return code, output.out, output.err


def test_the_summary(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, str(folders / "a"), str(folders / "b"), "--primary", "reading")
    assert code == 0 and err == ""
    assert "b differs from a in 1 of 2 comparisons: 1 worse. For 1 there are not" in out
    assert "* reading acc" in out and "shown: b scores 0.1 less than a, worse" in out
    assert "not enough data: only a has items of it" in out
    assert "1 file not read, or not to the end (notes.txt:" in out
    assert max(map(len, out.splitlines()[2:])) <= 80


def test_json_and_tables_hold_the_same_rows(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(folders / "a"), str(folders / "b"), "--contaminated", str(folders / "dirty.jsonl"), "--json"]
    code, out, err = called(capsys, *arguments, "--out", str(tmp_path / "tables"))
    document: dict[str, Any] = json.loads(out)
    assert code == 0 and document["schema"] == "corpus-audit/investigate-compare/1"
    assert err == f"wrote {len(COMPARISON_TABLES)} tables into {tmp_path / 'tables'}\n"
    for name, schema in COMPARISON_TABLES.items():
        table = pq.read_table(tmp_path / "tables" / f"{name}.parquet")
        assert table.schema.equals(schema) and table.to_pylist() == document[name.removeprefix("evaluation_")]
    leak = document["leaks"][-1]
    assert (leak["task"], leak["contaminated"], leak["reading"]) == ("reading", 50, "shown")


def test_findings_say_what_else_could_explain_a_difference(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(folders / "a"), str(folders / "b"), "--contaminated", str(folders / "dirty.jsonl"), "--json"]
    _, out, _ = called(capsys, *arguments, "--primary", "reading")
    findings = {finding["id"]: finding for finding in json.loads(out)["findings"]}
    assert list(findings) == ["evals.reading:acc", "evals.maths:acc", "evals.old:acc"]
    first = findings["evals.reading:acc"]
    assert (first["reading"], first["family"], first["n"]) == ("shown", "primary", 400)
    assert first["effect"]["value"] == pytest.approx(-0.1) and first["q"] == first["p"]
    states = {explanation["what"]: explanation["state"] for explanation in first["explanations"]}
    assert states == {
        "the prompts differ": "ruled out",
        "items depend on each other, which makes p too small": "untested",
        "the training data hold some of the items": "not ruled out",
    }
    assert findings["evals.old:acc"]["excluded"] == {"only a has them": 30}
    assert findings["evals.old:acc"]["explanations"] == []


def test_names_of_files_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "t\x1b[31m<b>\u202e"
    records = [{"task": evil, "id": item, "score": item % 2} for item in range(20)]
    path = making.write_lines(tmp_path / "x.jsonl", [*records, {"task": evil, "id": 1, "score": "\x1b]0;x\x07"}])
    code, out, _ = called(capsys, str(path), str(path))
    assert code == 0 and "\x1b" not in out and "\u202e" not in out and "\x07" not in out
    assert called(capsys, str(path), str(path), "--primary", "x")[2].count("\x1b") == 0
