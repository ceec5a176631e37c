"""Notify people of the outcome of a run through the hooks of the spec; this never changes a run or its verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus_audit.checks.outputs.escaping import code, prose
from corpus_audit.checks.outputs.formats import FORMATS, OUTPUTS_FOLDER
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.runners.audit.outcome import AuditOutcome, drift_conclusions
from corpus_audit.schemas.spec.notify import Event, NotifySpec, url_problem

_STOPPED = 2.0
"""Seconds in which a killed command has to end."""


@dataclass(frozen=True, slots=True)
class Message:
    """A notification. A webhook gets it as JSON; a command gets ``text`` as its input, the rest in its environment.

    Attributes:
        event: the outcome of the run.
        name: the audit's name.
        run: the run directory; None after an error.
        exit_code: the exit code of the command line.
        text: Markdown.
        drift: the conclusion of the comparison with each baseline, a line each; None without one.
    """

    event: Event
    name: str
    run: str | None
    exit_code: int
    text: str
    drift: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result of notifying one hook; ``problem`` is None if that succeeded."""

    hook: str
    problem: str | None


def message_of(outcome: AuditOutcome, name: str, exit_code: int) -> Message:
    """The message about a run that has ended."""
    if outcome.unchanged:
        text = f"# Nothing to do: {code(name)}\n\nNothing has changed since run {code(outcome.run_dir.name)}.\n"
        return Message("unchanged", name, str(outcome.run_dir), exit_code, text)
    if outcome.results is not None:
        event: Event = outcome.results.verdict.value
    else:
        event = "unjudged" if outcome.complete else "none"
    summary = outcome.run_dir / OUTPUTS_FOLDER / FORMATS["markdown"].file
    try:
        text = summary.read_text(encoding="utf-8")
    except OSError as error:
        text = f"# {event}: {code(name)}\n\nThe summary cannot be read: {prose(str(error))}\n"
    drift = "\n".join(row["headline"] for row in drift_conclusions(outcome.run_dir))
    return Message(event, name, str(outcome.run_dir), exit_code, text, drift or None)


def message_of_error(error: Exception, name: str, exit_code: int) -> Message:
    """The message about a run that ended with an error and published nothing."""
    text = f"# ✗ No run: {code(name)}\n\n{prose(str(error) or type(error).__name__)}\n\nExit code {exit_code}.\n"
    return Message("error", name, None, exit_code, text)


def notify(hooks: Sequence[NotifySpec], message: Message, base: Path) -> list[Delivery]:
    """Notify every hook that subscribes to the event, in order; commands start in ``base``. Raises nothing."""
    deliveries = []
    for hook in hooks:
        if message.event not in hook.when:
            continue
        try:
            problem = _run(hook, message, base) if hook.command is not None else _post(hook, message)
        except Exception as error:
            problem = type(error).__name__  # its text may hold the URL
        deliveries.append(Delivery(_label(hook), problem))
    return deliveries


def _label(hook: NotifySpec) -> str:
    if hook.command is not None:
        return f"command {safe_text(hook.command[0], 100)}"
    return f"webhook {safe_text(hook.webhook, 100)}" if hook.webhook is not None else f"webhook ${hook.webhook_env}"


def _run(hook: NotifySpec, message: Message, base: Path) -> str | None:
    assert hook.command is not None
    facts = {key: value for key, value in asdict(message).items() if key != "text" and value is not None}
    environment = os.environ | {
        f"CORPUS_AUDIT_{key.upper()}": str(value).replace("\0", "") for key, value in facts.items()
    }
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                hook.command, cwd=base, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            return safe_text(f"it cannot be started: {error}", 300)
        try:
            process.communicate(message.text.encode(), timeout=hook.timeout)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOPPED)
            return f"it did not end within {hook.timeout:g} s"
        if process.returncode == 0:
            return None
        errors.seek(0)
        lines = errors.read(100_000).decode(errors="replace").strip().splitlines()
    return f"it ended with {process.returncode}" + (f": {safe_text(lines[-1], 300)}" if lines else "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which would send the token to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _post(hook: NotifySpec, message: Message) -> str | None:
    url = hook.webhook or os.environ.get(hook.webhook_env or "", "")
    if not url:
        return f"the environment variable {hook.webhook_env} is not set"
    if (problem := url_problem(url)) is not None:
        return f"its URL cannot be used: {problem}"
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "corpus-audit"}
    if hook.token_env is not None:
        token = os.environ.get(hook.token_env, "")
        if not token:
            return f"the environment variable {hook.token_env} is not set"
        headers["Authorization"] = f"Bearer {token}"
    content = {"schema": "corpus-audit/notification/1", **asdict(message)}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers, method="POST")
    answer: list[str | None] = []
    # urllib's own time-out is for each read: a server that sends a byte now and then would hold the run for hours.
    thread = threading.Thread(target=lambda: answer.append(_answer(request, hook.timeout)), daemon=True)
    thread.start()
    thread.join(hook.timeout)
    return answer[0] if answer else f"it did not answer within {hook.timeout:g} s"


def _answer(request: urllib.request.Request, timeout: float) -> str | None:
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
            return None
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}"
    except urllib.error.URLError as error:
        return safe_text(f"it cannot be reached: {error.reason}", 300)
    except Exception as error:
        return f"it cannot be reached: {type(error).__name__}"
