"""Writes attempts of agents as tau-bench, SWE-agent and Inspect write them, and compares two evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.evaluations.behaviour.compare import with_behaviour
from corpus_audit.pipelines.evaluations.behaviour.safety import SafetyRule
from corpus_audit.pipelines.evaluations.comparison import Side, compare
from corpus_audit.pipelines.evaluations.reading import read_evaluation
from tests.pipelines.evaluations import making

Rows = list[dict[str, Any]]


def tau_result(task: int, trial: int, reward: float, calls: Sequence[str], answer: str = "ok") -> dict[str, Any]:
    """A result of tau-bench whose agent calls these tools; ``answer`` is what the tools say."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "# Retail Agent Policy"}]
    messages.append({"role": "user", "content": f"hello {task}"})
    for number, call in enumerate(calls):
        function = {"name": call, "arguments": '{"n": 1, "a": 2}'}
        called = [{"id": f"{task}-{trial}-{number}", "type": "function", "function": function}]
        messages.append({"role": "assistant", "content": None, "tool_calls": called})
        messages.append({"role": "tool", "name": call, "content": answer})
    messages.append({"role": "assistant", "content": f"done, in my own words {trial}"})
    given = {"task": {"instruction": f"do {task}"}, "user_cost": 0.1}
    return {"task_id": task, "trial": trial, "reward": reward, "info": given, "traj": messages}


def swe_attempt(folder: Path, item: str, actions: Sequence[str], ended: str = "submitted", **stats: Any) -> None:
    """A trajectory of SWE-agent."""
    steps = [{"action": action, "observation": f"saw {action}", "execution_time": 0.5} for action in actions]
    info = {"exit_status": ended, "model_stats": stats}
    making.write_json(folder / f"{item}.traj", {"trajectory": steps, "info": info, "history": []})


def inspect_attempt(item: int, value: Any, tools: Sequence[str], tokens: int = 100, **more: Any) -> dict[str, Any]:
    """A sample of Inspect whose model calls these tools, with the arguments in another order each time."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"q {item}"}]
    for number, tool in enumerate(tools):
        calls = [{"id": str(number), "function": tool, "arguments": {"b": 1, "a": number}}]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages.append({"role": "tool", "function": tool, "content": "x"})
    usage = {"m": {"input_tokens": tokens - 10, "output_tokens": 10, "total_tokens": tokens}}
    return making.inspect_sample(item, value, messages=messages, model_usage=usage, total_time=2.0) | more


def tables(a: Path, b: Path, rules: Sequence[SafetyRule] = (), cluster: str | None = None) -> Mapping[str, Rows]:
    """Rows of every table of a comparison."""
    sides = Side(read_evaluation(a, cluster)), Side(read_evaluation(b, cluster))
    result = with_behaviour([sides], [compare(*sides)], rules)[0]
    return {name: table.to_pylist() for name, table in result.tables.items()}
