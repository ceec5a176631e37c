"""``corpus-audit report --format``: every output on request, to standard output or a file."""

import json
import socket
from pathlib import Path

import pytest

from corpus_audit.checks.outputs.formats import FORMATS
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests.checks.outputs.conftest import dated
from tests.checks.report.judged_runs import write_results
from tests.checks.report.synthetic import build_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(dated(write_results(build_run(tmp_path_factory.mktemp("formats") / "run"))))


STARTS = {"html": "<!DOCTYPE html>", "markdown": "# ✗ Failed", "junit": "<?xml", "sarif": "{", "openlineage": "{",
          "croissant": "{", "card": "---\npretty_name"}  # fmt: skip


@pytest.mark.parametrize("kind", STARTS)
def test_a_format_goes_to_standard_output_or_to_a_file(
    run: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(STARTS) == {"html", *FORMATS}
    assert run_command(["report", run, "--format", kind], Session()) == 0
    text = capsys.readouterr().out
    assert text.lstrip().startswith(STARTS[kind])
    destination = tmp_path / "made"
    assert run_command(["report", run, "-f", kind, "-o", str(destination)], Session()) == 0
    assert destination.read_text("utf-8") == text and capsys.readouterr().out == ""


def test_sarif_points_to_the_given_path(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["report", run, "--format", "sarif", "--policy-path", "audits/policy.yaml"]
    assert run_command(arguments, Session()) == 0
    (sarif_run,) = json.loads(capsys.readouterr().out)["runs"]
    uris = [entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for entry in sarif_run["results"]]
    assert set(uris) == {"audits/policy.yaml"}


@pytest.mark.parametrize("kind", STARTS)
def test_no_socket_is_opened(run: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run_command(["report", run, "--format", kind], Session()) == 0


@pytest.mark.parametrize("wrong", [["--format", "junit", "--json"], ["--format", "junit", "--policy-path", "x"]])
def test_what_does_not_go_together_is_wrong_use(run: str, wrong: list[str]) -> None:
    assert run_command(["report", run, *wrong], Session()) == 2
