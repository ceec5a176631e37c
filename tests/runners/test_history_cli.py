"""``corpus-audit history``: runs, metrics, a plot, and an index that is made anew."""

import json
from pathlib import Path

import pytest

from corpus_audit.checks.history.history import HISTORY_FILE
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests.checks.indexed_runs import make_run


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for day in range(1, 5):
        make_run(tmp_path / "runs", f"202611{day:02d}T060000Z", {"tokens": {"all": float(day), "domain=web": 1.0}})
    return tmp_path / "runs"


def history(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(["history", *arguments], Session())
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_without_a_metric_runs_and_metrics_are_listed(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = history(capsys, "-o", str(output), "--last", "3")
    assert code == 0
    assert [line[:8] for line in out.splitlines() if line.startswith("2026")] == ["20261102", "20261103", "20261104"]
    assert "1 earlier run: --last 4 shows all" in out
    assert "tokens (2)" in out


def test_a_metric_is_plotted_and_given_as_json(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = history(capsys, "tokens", "-o", str(output / "20261101T060000Z"))
    assert code == 0 and out.count("●") == 4
    code, out, _ = history(capsys, "tokens", "-o", str(output), "--json", "--slice", "domain=web")
    printed = json.loads(out)
    assert printed["schema"] == "corpus-audit/history/1"
    assert [entry["value"] for entry in printed["points"]] == [1.0] * 4


def test_what_is_unknown_is_wrong_use_and_names_what_there_is(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = history(capsys, "token", "-o", str(output))
    assert (code, out) == (2, "") and "similar names: tokens" in err
    code, _, err = history(capsys, "tokens", "-o", str(output), "--slice", "domain=wbe")
    assert code == 2 and "domain=web" in err


def test_a_damaged_index_is_no_hindrance_and_rebuild_makes_it_anew(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history(capsys, "-o", str(output))
    (output / HISTORY_FILE).write_bytes(b"damaged" * 1000)
    code, out, _ = history(capsys, "tokens", "-o", str(output))
    assert code == 0 and out.count("●") == 4
    code, out, _ = history(capsys, "tokens", "-o", str(output), "--rebuild")
    assert code == 0 and out.count("●") == 4
    assert list(output.glob(f"{HISTORY_FILE}.set-aside-*"))


def test_an_empty_folder_and_none_at_all_are_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert history(capsys)[0] == 2
    (tmp_path / "runs").mkdir()
    code, _, err = history(capsys)
    assert code == 2 and "holds no finished run" in err
