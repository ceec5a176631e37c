"""A dry run prints the steps that an engine would be given, and reads nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session

HINT = "type:nvidia-l4;count:1"
CLOUD = ["--", "--project=p", "--region=r", "--temp_location=gs://b/t", "--sdk_container_image=registry/worker:1"]
ENGINES = {
    "embedded": ([], "embedded_python"),
    "flink": ([], "process"),
    "spark": (["--job-endpoint", "spark:8099"], "process"),
    "dataflow": (["--accelerator", HINT, *CLOUD], "docker"),
}


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    path = tmp_path / "audit.yaml"
    spec = {
        "name": "corpus",
        "snapshot": {"paths": ["nowhere/*.jsonl"]},
        "document": {"text": "text"},
        "tokenizer": "nothing.json",
        "embedding": {"model": "model"},
    }
    path.write_text(json.dumps(spec))
    return path


def steps(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[dict[str, object]]:
    assert run_command([str(entry) for entry in arguments], Session()) == 0
    result: list[dict[str, object]] = json.loads(capsys.readouterr().out)["steps"]
    return result


@pytest.mark.parametrize("engine", ENGINES)
def test_the_stages_of_a_run(audit: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    options, where = ENGINES[engine]
    result = steps(capsys, "run", audit, "--dry-run", "--json", "--engine", engine, *options)
    own = [(s["pipeline"], s["stage"], s["name"], s["kind"]) for s in result if "/" not in str(s["name"])]
    assert own == [
        ("plans", 2, "Plan", "work"),
        ("results", 2, "Count", "work"),
        ("results", 2, "By shard", "shuffle"),
        ("results", 3, "Compact", "work"),
        ("merged", 2, "Merge", "work"),
    ]
    assert {s["environment"] for s in result if s["kind"] == "work"} == {where}
    assert all(s["hints"] == {} for s in result)
    assert list(audit.parent.iterdir()) == [audit]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_scan_asks_for_an_accelerator(audit: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    options, _ = ENGINES[engine]
    result = steps(capsys, "index", audit, "--dry-run", "--json", "--engine", engine, *options)
    hints = {s["name"]: s["hints"] for s in result if s["hints"]}
    assert hints == ({"Perform": {"accelerator": HINT}} if engine == "dataflow" else {})


def test_benchmarks_add_the_choice_of_decoys(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = json.loads(audit.read_text()) | {"benchmarks": [{"name": "exam", "paths": ["exam.jsonl"]}]}
    audit.write_text(json.dumps(spec))
    pipelines = [s["pipeline"] for s in steps(capsys, "run", audit, "--dry-run", "--json")]
    assert list(dict.fromkeys(pipelines)) == ["plans", "results", "decoys", "merged"]


def test_lines_fit_a_terminal(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run_command(["index", str(audit), "--dry-run", "--engine", "dataflow", *ENGINES["dataflow"][0]], Session()) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "performed" and lines[1] == "  stage 1"
    assert any(line.split() == ["work", "docker", "Perform", "accelerator:", HINT] for line in lines)


def test_flags_that_beam_does_not_know_are_refused(audit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", str(audit), "--dry-run", "--", "--wrokers=3"], Session()) == 2
    assert "no flag '--wrokers=3'" in capsys.readouterr().err
