"""Attempts of agents: what they spend, their errors and endings, and where they part, with its place in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.checks.investigation.comparison_findings import comparison_findings
from corpus_audit.checks.investigation.evaluations.about import About
from corpus_audit.checks.investigation.evaluations.behaviour_findings import behaviour_findings
from corpus_audit.pipelines.evaluations.behaviour.attempts import attempts_of, common_attempts
from corpus_audit.pipelines.evaluations.behaviour.compare import with_behaviour
from corpus_audit.pipelines.evaluations.behaviour.paths import parting
from corpus_audit.pipelines.evaluations.comparison import Side, compare
from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.pipelines.evaluations.records import items
from corpus_audit.pipelines.statistics.evaluations.paired import mean_with_error
from corpus_audit.schemas.run.findings import Finding, Reading, State
from tests.pipelines.evaluations import making
from tests.pipelines.evaluations.behaviour.attempts import inspect_attempt, swe_attempt, tables, tau_result


def usage_of(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["metric"], row["scope"]): row for row in rows}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents of SWE-agent on 40 items: b costs 1.5 times as much, and gives up on a fifth of them."""
    folder = tmp_path_factory.mktemp("agents")
    generator = np.random.default_rng(5)
    for item in range(40):
        base = float(np.exp(generator.normal(0, 1)))
        for side, factor in (("a", 1.0), ("b", 1.5)):
            ended = "exit_cost" if side == "b" and item % 5 == 0 else "submitted"
            cost = base * factor * float(np.exp(generator.normal(0, 0.2)))
            actions = ["ls", "open x", "edit" if side == "a" else "grep", "submit"]
            swe_attempt(folder / side, f"i{item}", actions, ended, instance_cost=cost, api_calls=4, tokens_sent=0)
    for side in "ab":
        solved = [f"i{item}" for item in range(0, 40, 2)]
        everything = [f"i{item}" for item in range(40)]
        making.write_json(folder / side / "report.json", {"resolved_ids": solved, "submitted_ids": everything})
    return folder


def test_amounts_are_ratios_over_all_and_over_solved_attempts(agents: Path) -> None:
    rows = usage_of(tables(agents / "a", agents / "b")["evaluation_usage"])
    cost = rows["cost", "all"]
    sides = [{t.item: t.usage["cost"] for t in read_evaluation(agents / side).trajectories} for side in "ab"]
    logs = np.array([np.log(sides[1][item] / sides[0][item]) for item in sorted(sides[0])])
    expected = mean_with_error(logs)
    assert cost["effect"] == pytest.approx(np.exp(expected.mean)) and cost["p"] == pytest.approx(expected.p)
    assert [cost["low"], cost["high"]] == pytest.approx(np.exp([expected.low, expected.high]))
    assert cost["low"] < 1.5 < cost["high"] and 1 < cost["mde"] < 1.3
    assert (cost["reading"], cost["items"], cost["scale"]) == ("shown", 40, "ratio")
    solved = rows["cost", "solved"]
    assert (solved["items"], solved["left_out"]) == (20, 20) and solved["low"] < 1.5 < solved["high"]
    # Amounts of 0 have no ratio, and equal ones no uncertainty.
    assert (rows["tokens sent", "all"]["items"], rows["tokens sent", "all"]["left_out"]) == (0, 40)
    assert rows["calls", "all"]["reading"] == "not enough data"
    assert rows["time of tools", "all"]["value_a"] == pytest.approx(2.0)


def test_endings_are_shares_of_attempts(agents: Path) -> None:
    rows = usage_of(tables(agents / "a", agents / "b")["evaluation_usage"])
    given_up = rows["ended: exit_cost", "all"]
    assert (given_up["value_a"], given_up["value_b"], given_up["effect"]) == (0.0, 0.2, 0.2)
    assert given_up["method"].startswith("exact McNemar") and given_up["scale"] == "difference"


def test_the_first_different_action_has_its_place_in_both_files(agents: Path) -> None:
    result = tables(agents / "a", agents / "b")
    rows = result["evaluation_partings"]
    assert len(rows) == 40 and {row["equal"] for row in rows} == {2} and not any(row["environment"] for row in rows)
    first = next(row for row in rows if row["item"] == "i3")
    assert (first["file_a"], first["unit_a"], first["location_a"], first["action_a"]) == ("i3.traj", "step", 3, "edit")
    assert (first["action_b"], first["solved_a"]) == ("grep", False)
    (path,) = result["evaluation_paths"]
    assert (path["pairs"], path["identical"], path["median_equal"]) == (40, 0, 2.0)
    assert path["reading"] == "not enough data" and path["reason"].startswith("one attempt an item")


def findings_of(a: Path, b: Path) -> dict[str, Finding]:
    sides = Side(read_evaluation(a)), Side(read_evaluation(b))
    found = with_behaviour([sides], [compare(*sides)])[0].tables
    return {each.id: each for each in (*comparison_findings(found), *behaviour_findings(found, About()))}


def test_findings_have_effects_explanations_and_evidence(agents: Path) -> None:
    findings = findings_of(agents / "a", agents / "b")
    cost = findings["evals.usage.SWE-agent:cost"]
    assert cost.reading is Reading.SHOWN and cost.effect is not None and cost.effect.unit == "times"
    states = {each.what: each.state for each in cost.explanations}
    assert states == {"the two solve different items, which cost differently": State.RULED_OUT}
    assert any("ratio of 1." in limit and "80 % power" in limit for limit in cost.limits)
    path = findings["evals.path.SWE-agent"]
    assert "40 of 40 pairs of attempts part, after 2 equal actions" in path.detail
    assert len(path.evidence) == 10 and path.evidence[0].offset == 3 and path.evidence[0].file == "i0.traj"
    assert path.evidence[0].shown == "item i0, action 3: a does edit, solved"


def tau_files(folder: Path, generator: np.random.Generator, detour: bool, items: int = 30) -> tuple[Path, Path]:
    """Two models with three trials at every task; with a detour b takes another first step most of the time."""
    for side in "ab":
        results = []
        for task in range(items):
            for trial in range(3):
                path = [str(generator.choice(["look", "find"], p=[0.7, 0.3])) for _ in range(5)]
                if detour and side == "b" and generator.random() < 0.8:
                    path[0] = "guess"
                answer = "Error: no such thing" if path[0] == "guess" else "ok"
                results.append(tau_result(task, trial, float(generator.random() < 0.5), path, answer))
        making.write_json(folder / f"{side}.json", results)
    return folder / "a.json", folder / "b.json"


def test_models_that_part_early_are_told_from_chance(tmp_path: Path) -> None:
    result = tables(*tau_files(tmp_path, np.random.default_rng(1), True))
    (path,) = result["evaluation_paths"]
    assert path["reading"] == "shown" and path["high"] < 0 and path["items"] == 30
    assert path["environment"] < path["pairs"]
    errors = usage_of(result["evaluation_usage"])
    assert errors["errors", "all"]["reading"] == "shown" and errors["error of guess", "all"]["value_a"] == 0
    result = tables(*tau_files(tmp_path, np.random.default_rng(2), False))
    assert result["evaluation_paths"][0]["reading"] == "not shown"


def test_what_tools_answered_before_is_told_from_what_the_agent_did(tmp_path: Path) -> None:
    calls = ["look", "look", "find"]
    making.write_json(tmp_path / "a.json", [tau_result(0, 0, 1.0, calls), tau_result(1, 0, 1.0, calls)])
    other = [tau_result(0, 0, 0.0, ["look", "look", "buy"]), tau_result(1, 0, 0.0, ["look", "buy"], "no")]
    making.write_json(tmp_path / "b.json", other)
    rows = tables(tmp_path / "a.json", tmp_path / "b.json")["evaluation_partings"]
    assert [(row["equal"], row["environment"]) for row in rows] == [(2, False), (1, True)]
    assert [(row["unit_b"], row["location_b"]) for row in rows] == [("result 1, message", 7), ("result 2, message", 5)]
    assert rows[0]["action_b"] == 'buy({"a":2,"n":1})'


def test_samples_of_inspect_with_tool_calls_are_attempts(tmp_path: Path) -> None:
    for side, tools in (("a", ["bash", "submit"]), ("b", ["bash", "python", "submit"])):
        members: dict[str, Any] = {
            f"samples/{item}_epoch_1.json": inspect_attempt(item, "C", tools) for item in range(12)
        }
        members["samples/12_epoch_1.json"] = making.inspect_sample(12, "C")
        failing = inspect_attempt(13, "I", tools, limit={"type": "message", "limit": 3})
        failing["messages"][2]["error"] = {"type": "timeout", "message": "too long"}
        members["samples/13_epoch_1.json"] = failing
        failed = inspect_attempt(14, None, tools, error={"message": "out of memory"})
        members["samples/14_epoch_1.json"] = failed
        members["header.json"] = making.inspect_header(15, 13 / 14)
        making.write_archive(tmp_path / f"{side}.eval", members)
    evaluation = read_evaluation(tmp_path / "a.eval")
    assert len(evaluation.trajectories) == 14 and evaluation.items.num_rows == 14
    failed = next(each for each in evaluation.trajectories if each.item == "14")
    assert (failed.ended, failed.solved, len(failed.steps)) == ("sample failed", None, 5)
    last = next(each for each in evaluation.trajectories if each.item == "13")
    assert (last.ended, last.errors, last.solved) == ("limit: message", {"tool error: timeout": 1}, False)
    assert last.usage == {"steps": 2.0, "time": 2.0, "tokens": 100.0, "tokens received": 10.0}
    first = tables(tmp_path / "a.eval", tmp_path / "b.eval")["evaluation_partings"][0]
    assert (first["equal"], first["unit_b"], first["location_b"]) == (1, "sample 0, epoch 1, message", 4)


def test_another_task_is_incomparable_and_no_difference(tmp_path: Path) -> None:
    for side in "ab":
        results = [tau_result(task, 0, 1.0, ["look"] * (task % 3 + 1 + (side == "b"))) for task in range(20)]
        for result in results:
            result["info"] = {"task": {"instruction": f"{side} {result['task_id']}"}}
        making.write_json(tmp_path / f"{side}.json", results)
    result = tables(tmp_path / "a.json", tmp_path / "b.json")
    steps = usage_of(result["evaluation_usage"])
    assert steps == {} or steps["steps", "all"]["reading"] == "not enough data"
    assert result["evaluation_paths"][0]["incomparable"] == 20 and result["evaluation_partings"] == []


def test_attempts_end_where_the_shorter_one_does(tmp_path: Path) -> None:
    making.write_json(tmp_path / "a.json", [tau_result(0, 0, 1.0, ["look"]), tau_result(0, 1, 1.0, ["look", "find"])])
    (common,) = common_attempts(*([attempts_of(read_evaluation(tmp_path / "a.json"), None)] * 2))
    short, long = common.items["0"][0]
    ended = parting(short, long)
    assert (ended.equal, ended.step_a, ended.identical) == (1, None, False)
    assert ended.step_b is not None and ended.step_b.shown.startswith("find(")
    assert parting(short, short).identical


def test_steps_are_bounded_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "MOST_STEPS", 12)
    results = [tau_result(task, 0, 1.0, ["look"] * 3) for task in range(3)]
    evaluation = read_evaluation(making.write_json(tmp_path / "a.json", results))
    assert [len(each.steps) for each in evaluation.trajectories] == [8, 0, 0]
    assert [each.usage["steps"] for each in evaluation.trajectories] == [4.0] * 3
    assert [remark.what for remark in evaluation.remarks] == ["trajectories without steps"]


def test_amounts_that_are_none_are_dead_letters(tmp_path: Path) -> None:
    swe_attempt(tmp_path, "x", ["ls"], instance_cost="N/A", api_calls=-1, tokens_sent=float("nan"), tokens_received=5)
    evaluation = read_evaluation(tmp_path)
    assert evaluation.trajectories[0].usage == {"steps": 1.0, "tokens received": 5.0, "time of tools": 0.5}
    assert {reason for _, reason in evaluation.dead_counts} == {"amount is text", "amount below 0", "amount not finite"}


def test_hostile_messages_are_read(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(600):
        deep = [deep]
    odd = [
        None,
        3,
        {"role": ["tool"]},
        {"role": "assistant", "tool_calls": 7, "content": deep},
        {"role": "assistant", "tool_calls": [None, {"function": None}, {"function": {"name": 5, "arguments": deep}}]},
        {"role": "tool", "name": {"a": 1}, "content": "Error \x1b[31m"},
        {"role": "user", "content": deep},
    ]
    result = tau_result(0, 0, 1.0, ["look"]) | {"traj": odd}
    attempt = read_evaluation(making.write_json(tmp_path / "a.json", [result])).trajectories[0]
    assert attempt.usage == {"steps": 2.0} and sum(attempt.errors.values()) == 1
    sample = inspect_attempt(0, "C", ["bash"], model_usage={"m": {"total_tokens": "many"}, "n": 3}, total_time="long")
    sample["messages"] += [3, {"role": "assistant", "content": deep}, {"role": "tool", "error": {"type": deep}}]
    sample["input"] = deep
    members = {"samples/0_epoch_1.json": sample, "header.json": making.inspect_header(1, 1.0)}
    evaluation = read_evaluation(making.write_archive(tmp_path / "a.eval", members))
    assert evaluation.trajectories[0].usage == {"steps": 2.0}
    assert evaluation.dead_counts == {("a.eval", "amount is text"): 1}
    old = inspect_attempt(0, None, ["bash"]) | {"scores": None, "score": {"value": "C"}}
    members = {"samples/0_epoch_1.json": old, "header.json": making.inspect_header(1, 1.0)}
    assert read_evaluation(making.write_archive(tmp_path / "old.eval", members)).trajectories[0].solved is True
