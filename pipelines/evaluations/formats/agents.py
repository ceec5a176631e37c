"""Trajectories of agents: SWE-agent's ``.traj``, reports of SWE-bench, and results of tau-bench."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from corpus_audit.pipelines.evaluations.formats.head import Head
from corpus_audit.pipelines.evaluations.records.items import Claim, ItemCollector
from corpus_audit.pipelines.evaluations.records.trajectories import (
    ACTION,
    ENVIRONMENT,
    Step,
    Trajectory,
    agent_step,
    step_of,
)
from corpus_audit.pipelines.evaluations.records.values import epoch_of, field_of, hash_of, number_of, text_of

NAMES = ("SWE-agent trajectory", "SWE-bench report", "tau-bench results")

_COUNTS = {
    "api_calls": "calls",
    "instance_cost": "cost",
    "tokens_sent": "tokens sent",
    "tokens_received": "tokens received",
}
_POLICY = re.compile(r"#\s*(\w+) Agent Policy", re.IGNORECASE)


def recognise(head: Head) -> str | None:
    """The format's name, or None."""
    if head.kind != "document":
        return None
    keys = head.keys()
    if {"trajectory", "info"} <= keys:
        return NAMES[0]
    if {"resolved_ids", "submitted_ids"} <= keys:
        return NAMES[1]
    first = head.first[0] if isinstance(head.first, list) and head.first else None
    if isinstance(first, dict) and {"task_id", "reward", "trial"} <= first.keys():
        return NAMES[2]
    return None


def read(head: Head, name: str, sink: ItemCollector) -> None:
    """Read a file of this format."""
    {NAMES[0]: _read_trajectory, NAMES[1]: _read_report, NAMES[2]: _read_tau}[name](head, sink)


def _read_trajectory(head: Head, sink: ItemCollector) -> None:
    """A trajectory tells whether an answer was submitted and what it cost; whether it was right, a report tells."""
    sink.row()
    info, steps = head.first["info"], head.first["trajectory"]
    if not isinstance(info, dict) or not isinstance(steps, list):
        sink.dead(1, "no trajectory")
        return
    item, cluster = head.stem, field_of(head.first, sink.cluster_field)
    status = info.get("exit_status")
    submitted = isinstance(status, str) and status.startswith("submitted")
    sink.score(1, "SWE-agent", item, "submitted", submitted, cluster=cluster)
    sink.higher_is_better["SWE-agent", "submitted"] = True
    usage = {"steps": float(len(steps))}
    stats = info.get("model_stats")
    for key, name in _COUNTS.items():
        if isinstance(stats, dict) and key in stats and (amount := sink.amount(1, name, stats[key])) is not None:
            usage[name] = amount
    times = [number_of(step.get("execution_time")) if isinstance(step, dict) else None for step in steps]
    known = [time for time in times if time is not None]
    if steps and len(known) == len(steps):
        usage["time of tools"] = sum(known)
    made = []
    for number, step in enumerate(steps, 1):
        if isinstance(step, dict):
            made.append(step_of(ACTION, step.get("action") or "", number))
            made.append(step_of(ENVIRONMENT, step.get("observation") or "", number))
    sink.trajectory(
        Trajectory(
            head.name, 1, "step", "", "SWE-agent", item, cluster=cluster, usage=usage,
            ended=status if isinstance(status, str) else "", steps=tuple(made),
        )
    )  # fmt: skip


def _read_report(head: Head, sink: ItemCollector) -> None:
    document = head.first
    resolved, submitted = document["resolved_ids"], document["submitted_ids"]
    if not isinstance(resolved, list) or not isinstance(submitted, list):
        sink.row()
        sink.dead(1, "no lists of instances")
        return
    right = set(map(text_of, resolved))
    errors = document.get("error_ids")
    failed = set(map(text_of, errors)) if isinstance(errors, list) else set()
    for row, item in enumerate(map(text_of, submitted), 1):
        sink.row()
        if item in failed:
            sink.dead(row, "scoring failed", item)
        else:
            sink.score(row, "SWE-bench", item, "resolved", item in right)
    claimed = number_of(document.get("resolved_instances"))
    if claimed is not None and submitted:
        share = claimed / len(submitted)
        sink.claim(Claim(head.name, "", "SWE-bench", None, "resolved", "", share, items=len(submitted)))


def _read_tau(head: Head, sink: ItemCollector) -> None:
    for row, record in enumerate(head.first, 1):
        sink.row()
        if not isinstance(record, dict) or not {"task_id", "reward"} <= record.keys():
            sink.dead(row, "no result of a task")
            continue
        info = record.get("info")
        error = info.get("error") if isinstance(info, dict) else None
        if error:
            sink.dead(row, "sample failed", error)
            continue
        given = info.get("task") if isinstance(info, dict) else None
        domain = _domain(record.get("traj"))
        attempt = Trajectory(
            head.name,
            row,
            f"result {row}, message",
            "",
            f"tau-bench {domain}" if domain else "tau-bench",
            text_of(record["task_id"]),
            epoch=epoch_of(record.get("trial", 0)) + 1,
            prompt=hash_of(given) if isinstance(given, dict) else None,
            cluster=field_of(record, sink.cluster_field),
        )
        reward = record["reward"]
        sink.score(
            row, attempt.task, attempt.item, "reward", reward, prompt=attempt.prompt, epoch=attempt.epoch,
            cluster=attempt.cluster,
        )  # fmt: skip
        if isinstance(messages := record.get("traj"), list):
            solved = None if (passed := number_of(reward)) is None else passed >= 1
            sink.trajectory(replace(attempt, solved=solved, **_messages(messages)))


def _messages(messages: list[Any]) -> dict[str, Any]:
    """Steps, counts and errors of the messages of tau-bench, whose tools answer ``Error: …`` where they fail."""
    made: list[Step] = []
    errors: Counter[str] = Counter()
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or message.get("role") == "system":
            continue
        content = message.get("content")
        if message.get("role") == "assistant":
            made.append(agent_step(content, _calls(message.get("tool_calls")), number))
            continue
        made.append(step_of(ENVIRONMENT, content if isinstance(content, str) else "", number))
        if message.get("role") == "tool" and isinstance(content, str) and content.startswith("Error"):
            errors[f"error of {text_of(message.get('name') or 'a tool')}"] += 1
    steps = sum(step.kind != ENVIRONMENT for step in made)
    return {"usage": {"steps": float(steps)}, "errors": dict(errors), "steps": tuple(made)}


def _calls(calls: Any) -> list[tuple[str, Any]]:
    """Name and arguments of every tool call of a message."""
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [(text_of(f.get("name") or ""), f.get("arguments")) for f in functions if isinstance(f, dict)]


def _domain(messages: Any) -> str:
    """The domain that the agent's policy names in the first message, such as airline; empty if it names none."""
    first = messages[0] if isinstance(messages, list) and messages else None
    content = first.get("content") if isinstance(first, dict) else None
    match = _POLICY.search(content[:2_000]) if isinstance(content, str) else None
    return match[1].lower() if match else ""
