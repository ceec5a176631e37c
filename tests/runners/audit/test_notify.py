"""Hooks: who is told what, and that no hook changes what a run came to."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from corpus_audit.runners.audit.notify import Message, message_of, message_of_error, notify
from corpus_audit.runners.audit.outcome import AuditOutcome
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import ExitCode, NoVerdictError
from corpus_audit.schemas.run.results import Status
from corpus_audit.schemas.spec.notify import NotifySpec
from tests.checks.report.judged_runs import judgement, results

FAILED = Message("fail", "corpus", "runs/r1", 1, "# ✗ FAIL: `corpus`\n")
KEEP = "import json,os,sys; open('message','w').write(json.dumps([sys.stdin.read(), dict(os.environ), sys.argv[1:]]))"


@dataclass
class Server:
    url: str = ""
    status: int = 200
    delay: float = 0.0
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.requests.append((self.path, dict(self.headers), body))
            time.sleep(made.delay)
            self.send_response(made.status)
            if made.status == 302:
                self.send_header("Location", f"{made.url}/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield made
    http.shutdown()
    http.server_close()


def hook(**parts: Any) -> NotifySpec:
    return NotifySpec.model_validate_json(json.dumps(parts))


def problem(spec: NotifySpec, base: Path, message: Message = FAILED) -> str | None:
    (delivery,) = notify([spec], message, base)
    return delivery.problem


def test_a_command_gets_the_summary_and_the_facts_and_starts_in_the_audits_folder(tmp_path: Path) -> None:
    assert problem(hook(command=[sys.executable, "-c", KEEP, "$HOME; ls"]), tmp_path) is None
    text, environment, arguments = json.loads((tmp_path / "message").read_text())
    assert text == FAILED.text and arguments == ["$HOME; ls"]
    output = {name: environment[f"CORPUS_AUDIT_{name}"] for name in ("EVENT", "RUN", "EXIT_CODE", "NAME")}
    assert output == {"EVENT": "fail", "RUN": "runs/r1", "EXIT_CODE": "1", "NAME": "corpus"}


def test_a_command_that_fails_hangs_or_is_not_there_is_a_problem_and_no_more(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; print('to stdout'); print('went\\x1b[31m wrong', file=sys.stderr); sys.exit(3)"
    assert problem(hook(command=[sys.executable, "-c", code]), tmp_path) == "it ended with 3: went\\x1b[31m wrong"
    assert "cannot be started" in str(problem(hook(command=["./not-there"]), tmp_path))
    assert problem(hook(command=["sh", "-c", "sleep 60 & sleep 60"], timeout=0.2), tmp_path) == (
        "it did not end within 0.2 s"
    )
    assert problem(hook(command=["true"]), tmp_path, Message("fail", "c", None, 1, "x" * 10**6)) is None
    assert capfd.readouterr() == ("", "")


def test_a_webhook_gets_json_and_its_token(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "t0ken")
    monkeypatch.setenv("HOOK_URL", f"{server.url}/secret")
    assert problem(hook(webhook=f"{server.url}/a", token_env="HOOK_TOKEN"), tmp_path) is None
    assert problem(hook(webhook_env="HOOK_URL"), tmp_path) is None
    (path, headers, body), (secret, bare, _) = server.requests
    assert (path, secret) == ("/a", "/secret")
    assert headers["Authorization"] == "Bearer t0ken" and "Authorization" not in bare
    assert headers["Content-Type"].startswith("application/json")
    assert body == {
        "schema": "corpus-audit/notification/1",
        "event": "fail", "name": "corpus", "run": "runs/r1", "exit_code": 1, "text": FAILED.text,
        "drift": None,
    }  # fmt: skip


def test_a_webhook_that_refuses_redirects_or_is_silent_is_a_problem(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for status in (302, 404, 500):
        server.status = status
        assert problem(hook(webhook=server.url), tmp_path) == f"it answered {status}"
    assert all(path != "/elsewhere" for path, _, _ in server.requests), "a redirect would take the token along"
    server.status, server.delay = 200, 1.0
    assert problem(hook(webhook=server.url, timeout=0.2), tmp_path) in (
        "it did not answer within 0.2 s",
        "it cannot be reached: timed out",
        "it cannot be reached: TimeoutError",
    )
    assert "cannot be reached" in str(problem(hook(webhook="http://127.0.0.1:9"), tmp_path))
    assert problem(hook(webhook_env="NOT_SET"), tmp_path) == "the environment variable NOT_SET is not set"
    assert "NOT_SET is not set" in str(problem(hook(webhook=server.url, token_env="NOT_SET"), tmp_path))
    for secret in ("http://example.org/s3cret", "https://u:s3cret@example.org", "https://h:s3cret", "s3cret"):
        monkeypatch.setenv("HOOK_URL", secret)
        (delivery,) = notify([hook(webhook_env="HOOK_URL")], FAILED, tmp_path)
        assert delivery.problem is not None and "s3cret" not in delivery.problem + delivery.hook


@pytest.mark.parametrize(
    "parts",
    [
        {}, {"command": ["a"], "webhook": "https://a"}, {"command": []}, {"webhook": "http://example.org"},
        {"webhook": "file:///etc/passwd"}, {"webhook": "https://u:p@example.org"}, {"webhook_env": "A B"},
        {"command": ["a"], "token_env": "T"}, {"command": ["a"], "when": []}, {"command": ["a"], "when": ["never"]},
        {"command": ["a"], "timeout": 0},
    ],
)  # fmt: skip
def test_hooks_that_make_no_sense_are_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        hook(**parts)


def outcome(tmp_path: Path, status: Status | None, complete: bool = True, unchanged: bool = False) -> AuditOutcome:
    (tmp_path / "r1" / "outputs").mkdir(parents=True, exist_ok=True)
    (tmp_path / "r1" / "outputs" / "summary.md").write_text("# the summary\n", encoding="utf-8")
    judged = None if status is None else results((judgement("r", status),), None)
    code = judged.exit_code if judged and not unchanged else ExitCode.OK if complete else ExitCode.NO_VERDICT
    return AuditOutcome(tmp_path / "r1", complete, (), code, 0, 0, judged, unchanged)


@pytest.mark.parametrize(
    ("status", "complete", "event"),
    [
        (Status.PASS, True, "pass"), (Status.WARN, True, "warn"), (Status.FAIL, True, "fail"),
        (Status.MISSING, True, "none"), (None, True, "unjudged"), (None, False, "none"),
    ],
)  # fmt: skip
def test_notifications_carry_the_verdict(tmp_path: Path, status: Status | None, complete: bool, event: str) -> None:
    message = message_of(outcome(tmp_path, status, complete), "corpus", 1)
    assert (message.event, message.text) == (event, "# the summary\n")
    every = ("pass", "warn", "fail", "none", "unjudged", "unchanged", "error")
    hooks = [hook(command=["true"], when=[entry]) for entry in every] + [hook(command=["true"])]
    assert len(notify(hooks, message, tmp_path)) == 1 + (event in ("fail", "none"))


def test_text_of_an_error_is_no_markup() -> None:
    message = message_of_error(NoVerdictError("no shard in <b>[x](http://y)"), "a`b", 4)
    assert (message.event, message.run) == ("error", None)
    assert "<b>" not in message.text.replace("\\<b", "") and "\\[x\\]" in message.text and "Exit code 4" in message.text


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    keep = [sys.executable, "-c", KEEP]
    every = ["pass", "fail", "unchanged", "error"]
    hooks = [{"command": ["./gone"], "when": every}, {"command": keep, "when": every}]
    spec = {"name": "corpus", "snapshot": {"paths": ["data"]}, "tokenizer": "t", "notify": hooks}
    (tmp_path / "audit.yaml").write_text(json.dumps(spec))
    return tmp_path / "audit.yaml"


def test_a_run_ends_as_it_would_without_its_hooks(
    audit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def delivery() -> list[Any]:
        result = json.loads((tmp_path / "message").read_text())
        (tmp_path / "message").unlink()
        return [result[0].splitlines()[0], result[1]["CORPUS_AUDIT_EVENT"], result[1]["CORPUS_AUDIT_EXIT_CODE"]]

    def ends(what: AuditOutcome | Exception) -> tuple[int, Any, str]:
        def perform(*arguments: Any, **named: Any) -> AuditOutcome:
            if isinstance(what, Exception):
                raise what
            return what

        monkeypatch.setattr("corpus_audit.runners.cli.run.perform_audit", perform)
        code = run_command(["run", str(audit), "--json"], Session(tmp_path))
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    code, output, err = ends(outcome(tmp_path, Status.FAIL))
    assert code == 1 and delivery() == ["# the summary", "fail", "1"]
    assert [entry["sent"] for entry in output["notifications"]] == [False, True]
    assert err.startswith("corpus-audit: could not notify command ./gone: it cannot be started")

    code, output, err = ends(outcome(tmp_path, Status.FAIL, unchanged=True))
    assert code == 0 and delivery() == ["# Nothing to do: `corpus`", "unchanged", "0"]
    assert output["unchanged"] and len(output["notifications"]) == 2

    code, output, err = ends(NoVerdictError("no shard in data"))
    assert (code, output["error"]) == (4, "no shard in data") and delivery() == ["# ✗ No run: `corpus`", "error", "4"]
    assert "could not notify" in err and "no shard in data" in err

    code, output, err = ends(ValueError("a bug"))
    assert code == 5 and delivery()[1:] == ["error", "5"]
