"""Trajectories of agents: what an agent did and what answered it, step by step, and what that cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from corpus_audit.pipelines.evaluations.records.values import json_of

MOST_STEPS = 500_000
"""Steps of an evaluation that are kept; trajectories beyond have their counts and costs, and no steps."""

ACTION, SPEECH, ENVIRONMENT = "action", "speech", "environment"
"""What an agent did (its tool calls), what it said without a call, and what a tool or a user answered."""

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trajectory.

    Attributes:
        kind: `ACTION`, `SPEECH` or `ENVIRONMENT`.
        digest: of its content, by which steps are compared.
        shown: its beginning.
        location: its number in the file, as `Trajectory.unit` counts.
    """

    kind: str
    digest: bytes
    shown: str
    location: int


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One attempt of an agent at a task.

    Attributes:
        file, row, unit: where it is, and what `Step.location` counts there.
        model, task, item, epoch, version, prompt, cluster: as in `EVALUATION_ITEMS`.
        usage: by name (steps, calls, cost, tokens sent, time …), as far as the file has it.
        errors: number of errors by kind.
        ended: how it ended, if the file says so.
        solved: whether the attempt passed; None where the file does not say so.
        steps: empty beyond `MOST_STEPS`.
    """

    file: str
    row: int
    unit: str
    model: str
    task: str
    item: str
    epoch: int = 1
    version: str | None = None
    prompt: str | None = None
    cluster: str | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""
    solved: bool | None = None
    steps: tuple[Step, ...] = ()


def step_of(kind: str, content: Any, location: int) -> Step:
    """A step whose content is text or a JSON value; blanks around a text do not count."""
    text = content.strip() if isinstance(content, str) else json_of(content).decode()
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).digest()
    return Step(kind, digest, text[:_SHOWN], location)


def agent_step(text: Any, calls: Sequence[tuple[str, Any]], location: int) -> Step:
    """What an agent did in a message: its tool calls without their ids or, where it called none, what it said.

    Args:
        text: content of the message.
        calls: (name, arguments) of every call; arguments that are JSON text count as that value.
        location: of the message.
    """
    if not calls:
        return step_of(SPEECH, "" if text is None else text, location)
    return step_of(ACTION, " ".join(f"{name}({_arguments(arguments)})" for name, arguments in calls), location)


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return str(value).strip()
    return json_of(value).decode()
