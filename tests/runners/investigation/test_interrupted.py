"""An investigation that is ended at any stage publishes nothing, and parses no log again the next time."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.progress.board import Board, RunCancelledError
from corpus_audit.pipelines.storage.parsed_files import ParsedFiles
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.investigation import stored_evaluations, stored_telemetry
from corpus_audit.runners.investigation.inputs import STORE
from corpus_audit.runners.investigation.run import run_investigation
from corpus_audit.runners.investigation.stored_telemetry import read_stored_telemetry
from corpus_audit.schemas.spec.investigation_file import LoadedInvestigation, load_investigation

STEPS = 400


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedInvestigation:
    """Two runs, an unreadable line, and evaluations of two steps."""
    generator = np.random.default_rng(1)
    for name in ("now", "twin"):
        loss = 2 + 5 * (np.arange(STEPS) + 9.0) ** -0.4 + 0.02 * generator.standard_normal(STEPS)
        loss[300] += 1
        rows = [json.dumps({"step": step, "loss": value}) for step, value in enumerate(loss.tolist())]
        (tmp_path / f"{name}.jsonl").write_text("\n".join([*rows, '{"step": 9, "\\ud800": "x"}', '{"st']) + "\n")
    for step in (100, 399):
        scores = (generator.random(60) < step / 500).tolist()
        rows = [json.dumps({"task": "t", "id": i, "score": float(score)}) for i, score in enumerate(scores)]
        (tmp_path / f"e{step}.jsonl").write_text("\n".join([*rows, '{"id": 1, "score": "N/A"}']) + "\n")
    path = tmp_path / "investigation.yaml"
    path.write_text(
        "version: 1\nname: x\nruns: [{id: now, telemetry: [now.jsonl]}, {id: twin, telemetry: [twin.jsonl]}]\n"
        "evals: [{run: now, step: 100, paths: [e100.jsonl]}, {run: now, step: 399, paths: [e399.jsonl]}]\n"
    )
    return load_investigation(path)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files and evaluations that are parsed; small ones are stored too."""
    names: list[str] = []

    def counted(module: Any, function: str, name_of: Any) -> None:
        original = getattr(module, function)

        def count(*arguments: Any) -> Any:
            names.append(name_of(*arguments))
            return original(*arguments)

        monkeypatch.setattr(module, "LEAST", 0)
        monkeypatch.setattr(module, function, count)

    counted(stored_telemetry, "read_telemetry_file", lambda path: path.name)
    counted(stored_evaluations, "read_paths", lambda base, paths, name, cluster: paths[0])
    return names


class Ending(Board):
    """A board that is cancelled at its n-th `advance`."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def advance(self, bytes: int = 0, documents: int = 0, dead_letters: int = 0) -> None:
        self.left -= 1
        if self.left < 0:
            self.cancel()
        super().advance(bytes, documents, dead_letters)


def content(folder: Path) -> dict[str, bytes]:
    """Tables and findings, without the name of the run."""
    tables = {path.name: path.read_bytes() for path in sorted((folder / "tables").iterdir())}
    findings = json.loads((folder / "findings.json").read_text())
    page = (folder / "report.html").read_text().replace(folder.name, "")
    return tables | {"findings": json.dumps({**findings, "run": ""}).encode(), "page": page.encode()}


def test_ended_at_any_stage_nothing_is_published_and_nothing_parsed_twice(
    loaded: LoadedInvestigation, parsed: list[str], tmp_path: Path
) -> None:
    whole = run_investigation(loaded, tmp_path / "whole")
    files = ["now.jsonl", "twin.jsonl", "e100.jsonl", "e399.jsonl"]
    assert parsed == files
    parsed.clear()
    output, ends = tmp_path / "ended", 0
    while True:
        try:
            published = run_investigation(loaded, output, Ending(ends))
        except RunCancelledError:
            ends += 1
            assert not output.exists() or {path.name for path in output.iterdir()} <= {STORE, ".lock"}
        else:
            break
    assert ends >= 8 and parsed == files
    assert content(published.folder) == content(whole.folder)
    assert json.loads((published.folder / "investigation.json").read_text())["run"] == published.folder.name
    assert len(list((output / STORE).iterdir())) == 4


def test_progress_is_of_the_bytes_of_all_logs(loaded: LoadedInvestigation, tmp_path: Path) -> None:
    stages: list[tuple[str, int]] = []
    done: dict[str, int] = {}

    class Recording(Board):
        def begin_stage(self, name: str, total_bytes: int = 0, splits: int = 0, kept: int = 0) -> None:
            stages.append((name, total_bytes))
            super().begin_stage(name, total_bytes, splits, kept)

        def advance(self, bytes: int = 0, documents: int = 0, dead_letters: int = 0) -> None:
            done[stages[-1][0] if stages else ""] = done.get(stages[-1][0] if stages else "", 0) + bytes
            super().advance(bytes, documents, dead_letters)

    run_investigation(loaded, board=Recording())
    size = sum((tmp_path / f"{name}.jsonl").stat().st_size for name in ("now", "twin"))
    assert stages[0] == ("reading logs", size) and done["reading logs"] == size
    assert [name for name, _ in stages[1:]] == ["reading evaluations", "computing findings", "publishing"]


def test_a_changed_log_is_parsed_again_and_its_old_entry_removed(
    loaded: LoadedInvestigation, parsed: list[str], tmp_path: Path
) -> None:
    first = run_investigation(loaded)
    parsed.clear()
    (tmp_path / "twin.jsonl").write_text('{"step": 1, "loss": 3.0}\n')
    second = run_investigation(loaded)
    assert parsed == ["twin.jsonl"] and content(first.folder) != content(second.folder)
    entries = sorted((tmp_path / "investigations" / STORE).iterdir())
    assert len(entries) == 4
    for path in entries:  # a damaged entry is none
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    parsed.clear()
    assert content(run_investigation(loaded).folder) == content(second.folder)
    assert len(parsed) == 4


def test_a_log_that_grows_while_it_is_read_is_not_stored(
    loaded: LoadedInvestigation, parsed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = stored_telemetry.read_telemetry_file

    def growing(path: Path) -> Any:
        result = original(path)
        with path.open("a") as file:
            file.write('{"step": 400, "loss": 2.0}\n')
        return result

    monkeypatch.setattr(stored_telemetry, "read_telemetry_file", growing)
    store = ParsedFiles(tmp_path / "store")
    read_stored_telemetry(tmp_path / "now.jsonl", store)
    assert not store.folder.exists()


def test_a_signal_ends_it_with_a_message(
    loaded: LoadedInvestigation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        "corpus_audit.runners.investigation.run.investigate", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert run_command(["investigate", str(loaded.path), "-q"], Session()) == 128 + signal.SIGTERM
    assert "interrupted, nothing is published" in capsys.readouterr().err
    assert not (tmp_path / "investigations" / "LATEST").exists()
