"""Runs the command of an explainer or a scorer: items to its standard input, answers from its standard output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corpus_audit.schemas.errors import UsageError

TAIL = 300
"""Characters of the command's standard error that a message repeats."""


@dataclass(frozen=True)
class Answers:
    """What a command answered.

    Attributes:
        by_id: the first answer to each item that has one, as JSON objects.
        unreadable: lines that are no JSON object with the id of an item, and second answers to an item.
        output: the bytes.
    """

    by_id: dict[str, dict[str, Any]]
    unreadable: int
    output: bytes


def lines_of(items: Sequence[Mapping[str, Any]]) -> bytes:
    """Items as JSON Lines, UTF-8."""
    return "".join(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in items).encode()


def answers_of(command: Sequence[str], items: Sequence[Mapping[str, Any]], timeout: float) -> Answers:
    """Run a command with items as JSON Lines on its standard input; each has an ``id``.

    Args:
        command: program and arguments; no shell reads them.
        items: what it is given.
        timeout: seconds after which it and what it started are ended.

    Raises:
        UsageError: it cannot be started, takes too long, or ends with another status than 0.
    """
    try:
        process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be started: {error.strerror or error}") from None
    try:
        output, errors = process.communicate(lines_of(items), timeout)
    except subprocess.TimeoutExpired:
        raise UsageError(f"{command[0]} did not end within {timeout:g} seconds") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        said = errors.decode(errors="replace").strip()[-TAIL:]
        raise UsageError(f"{command[0]} ended with status {process.returncode}{': ' + said if said else ''}")
    known = {str(item["id"]) for item in items}
    by_id: dict[str, dict[str, Any]] = {}
    unreadable = 0
    for line in output.decode(errors="replace").splitlines():
        if not line.strip():
            continue
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        name = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(name, str) or name not in known or name in by_id:
            unreadable += 1
            continue
        by_id[name] = answer
    return Answers(by_id, unreadable, output)
