"""The examples for schedulers: their syntax, and what they make of every exit code."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "runners" / "schedules"
CODES = (0, 1, 2, 3, 4, 5, 6, 143)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@pytest.fixture
def site(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder with a program in the place of corpus-audit that answers with an exit code."""

    def make(code: int, **parts: Any) -> Path:
        binaries = tmp_path / ".venv" / "bin"
        binaries.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r1" / "outputs").mkdir(parents=True, exist_ok=True)
        (tmp_path / "r1" / "outputs" / "summary.md").write_text("# the summary\n")
        output: dict[str, Any] = {"run": "r1", "report": "r1/report.html", "unchanged": False, "verdict": "fail"}
        if code in (2, 5, 6):
            output = {"error": "what was wrong", "exit_code": code}
        program = binaries / "corpus-audit"
        lines = ["#!/bin/sh", 'echo "$@" >>calls', f"echo '{json.dumps(output | parts)}'", f"exit {code}"]
        program.write_text("\n".join(lines))
        program.chmod(0o755)
        return tmp_path

    return make


def cron_field(text: str, low: int, high: int) -> bool:
    """Whether crontab(5) takes a field of numbers."""
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if match is None or match[3] == "0" or (match[3] and match[1] and not match[2]):
            return False
        ends = [int(end) for end in (match[1], match[2]) if end]
        if any(not low <= end <= high for end in ends) or ends != sorted(ends):
            return False
    return True


def cron_lines() -> list[tuple[list[str], str, str]]:
    """(the five fields, user, command) of every line that is neither a comment nor a setting."""
    text = (FOLDER / "corpus-audit.cron").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    jobs = [line.split(None, 6) for line in lines if not re.match(r"[A-Z]+=", line)]
    return [(job[:5], job[5], job[6]) for job in jobs]


@pytest.mark.parametrize(
    ("text", "fine"),
    [("*", True), ("*/5", True), ("1-5,7", True), ("60", False), ("5-1", False), ("x", False), ("", False)],
)
def test_fields_of_cron_are_read(text: str, fine: bool) -> None:
    assert cron_field(text, 0, 59) is fine


def test_the_cron_file_is_one() -> None:
    text = (FOLDER / "corpus-audit.cron").read_text()
    assert text.endswith("\n"), "cron ignores a last line without an end"
    jobs = cron_lines()
    assert len(jobs) == 2
    for fields, user, command in jobs:
        assert all(cron_field(field, *bounds) for field, bounds in zip(fields, BOUNDS, strict=True))
        assert user == "corpus" and "%" not in command, "cron takes % for the end of a line"


@pytest.mark.parametrize("code", CODES)
def test_cron_mails_what_is_neither_fine_nor_busy(site: Callable[[int], Path], code: int) -> None:
    folder = site(code)
    for _, _, command in cron_lines():
        environment = {"PATH": f"{folder}/.venv/bin:/usr/bin:/bin"}
        command = command.replace("/srv/corpus", str(folder))
        done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
        mailed = done.stdout + done.stderr
        assert (mailed == "") is (code in (0, 6))
        if mailed:
            assert mailed.startswith(f"exit code {code}\n") and ('"run"' in mailed or "what was wrong" in mailed)
    calls = (folder / "calls").read_text().splitlines()
    assert calls[0].startswith("run audit.yaml --if-changed") and calls[1].startswith("prune audit.yaml --keep-last")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_its_units(site: Callable[[int], Path]) -> None:
    folder = site(0)
    for name in ("corpus-audit.service", "corpus-audit.timer"):
        text = (FOLDER / name).read_text().replace("/srv/corpus", str(folder))
        # Units of the machine itself are not what is tested, and are not there in a container.
        lines = [line for line in text.splitlines() if not line.startswith(("After=", "Wants=", "User="))]
        (folder / name).write_text("\n".join(lines) + "\n")
    units = [str(folder / name) for name in ("corpus-audit.service", "corpus-audit.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "corpus-audit" in line]
    assert (done.returncode, ours) == (0, [])
    calendar = re.search(r"OnCalendar=(.*)", (FOLDER / "corpus-audit.timer").read_text())
    assert calendar is not None
    subprocess.run(["systemd-analyze", "calendar", calendar[1]], capture_output=True, check=True)


def test_the_service_takes_busy_for_no_failure() -> None:
    text = (FOLDER / "corpus-audit.service").read_text()
    assert re.findall(r"^SuccessExitStatus=(.*)$", text, flags=re.MULTILINE) == ["6"]
    assert "--if-changed --quiet --json" in text and "Type=oneshot" in text


@pytest.mark.parametrize("code", CODES)
def test_the_workflow_fails_when_the_audit_does(site: Callable[[int], Path], code: int) -> None:
    workflow = YAML(typ="safe", pure=True).load((FOLDER / "github-actions.yaml").read_text())
    assert cron_field(workflow["on"]["schedule"][0]["cron"].split()[0], 0, 59)
    steps = workflow["jobs"]["audit"]["steps"]
    (script,) = [step["run"] for step in steps if "run" in step]
    folder = site(code)
    environment = os.environ | {
        "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_OUTPUT": str(folder / "output"),
    }
    # As GitHub starts `shell: bash`.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if code == 6 else code), done.stderr
    assert ("::error::" in done.stdout) is (code not in (0, 6))
    published = code not in (2, 5, 6)
    assert (folder / "output").read_text() == ("run=r1\n" if published else "run=\n")
    assert (folder / "summary").exists() is published


class Failed(Exception):
    def __init__(self, description: str, allow_retries: bool = False) -> None:
        super().__init__(description)
        self.retried = allow_retries


class Skipped(Exception):
    pass


def decorator(*arguments: Any, **named: Any) -> Any:
    return arguments[0] if arguments else lambda function: function


def load(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: Any) -> dict[str, Any]:
    for module, members in modules.items():
        made = ModuleType(module)
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, module.replace("__", "."), made)
    source = (FOLDER / name).read_text().replace("/srv/corpus", str(folder))
    ast.parse(source, name)
    result: dict[str, Any] = {"__name__": name}
    exec(compile(source, name, "exec"), result)
    return result


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "done", call()
    except Failed as error:
        return "retried" if error.retried else "failed", str(error)
    except Skipped as error:
        return "skipped", str(error)
    except RuntimeError as error:
        return "retried", str(error)


@pytest.mark.parametrize("code", CODES)
def test_airflow_tries_again_what_may_be_mended(
    site: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder = site(code)
    tasks: list[Callable[..., Any]] = []

    def task(**named: Any) -> Callable[..., Any]:
        assert named["retries"] > 0
        return lambda function: tasks.append(function) or (lambda: None)

    exceptions = {"AirflowFailException": Failed, "AirflowSkipException": Skipped}
    parts = {"airflow": {}, "airflow__sdk__exceptions": exceptions, "airflow__sdk": {"dag": decorator, "task": task}}
    load("airflow_dag.py.example", folder, monkeypatch, **parts)
    (audit,) = tasks
    ended, output = outcome(lambda: audit(ds="2026-03-01"))
    assert ended == ("done" if code == 0 else "failed" if code in (1, 2, 3, 4) else "retried")
    assert (
        output == "r1"
        if code == 0
        else ("what was wrong" if code == 2 else "fail" if ended == "failed" else str(code)) in output
    )
    assert "--date 2026-03-01" in (folder / "calls").read_text()
    site(0, unchanged=True)
    assert outcome(lambda: audit(ds="2026-03-01"))[0] == "skipped"


@pytest.mark.parametrize("code", CODES)
def test_dagster_tries_again_what_may_be_mended(
    site: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder = site(code)
    made = SimpleNamespace(
        asset=decorator, RetryPolicy=dict, MaterializeResult=dict, Failure=Failed,
        ScheduleDefinition=dict, define_asset_job=lambda *_, **__: "job", Definitions=dict,
    )  # fmt: skip
    result = load("dagster_defs.py.example", folder, monkeypatch, dagster=vars(made))
    ended, output = outcome(result["corpus_audit"])
    assert ended == ("done" if code == 0 else "failed" if code in (1, 2, 3, 4) else "retried")
    if code == 0:
        assert output == {"metadata": {"run": "r1", "unchanged": False, "verdict": "fail"}}
    assert all(
        cron_field(field, *bounds)
        for field, bounds in zip(result["daily"]["cron_schedule"].split(), BOUNDS, strict=True)
    )
