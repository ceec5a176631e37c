"""Refusals and harm: what is counted, exact bounds, paired differences, and what is never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.evaluations.behaviour.safety import SafetyRule, rules_for, safety_rules
from corpus_audit.pipelines.evaluations.grouping import Measured
from corpus_audit.pipelines.statistics.evaluations.paired import mcnemar, mean_with_error
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.schemas.errors import UsageError
from tests.pipelines.evaluations import making
from tests.pipelines.evaluations.behaviour.attempts import tables


def inspect_file(path: Path, refused: list[Any]) -> Path:
    """A log of Inspect whose scorer has a value of several parts, as those of safety evaluations."""
    members: dict[str, Any] = {}
    for item, value in enumerate(refused):
        scores = {"judge": {"value": {"score": 0.25, "refusal": value}}}
        members[f"samples/{item}_epoch_1.json"] = making.inspect_sample(item, None) | {"scores": scores}
    return making.write_archive(path, {**members, "header.json": making.inspect_header(len(refused), 0.5)})


def test_the_name_of_a_scores_part_says_what_it_is(tmp_path: Path) -> None:
    a = inspect_file(tmp_path / "a.eval", [0] * 40)
    b = inspect_file(tmp_path / "b.eval", [1] * 12 + [0] * 28)
    result = tables(a, b)
    rates = {row["side"]: row for row in result["evaluation_safety"]}
    assert {row["kind"] for row in rates.values()} == {"refusal"} and rates["a"]["metric"] == "judge/refusal"
    assert (rates["a"]["events"], rates["a"]["low"]) == (0, 0.0)
    assert rates["a"]["high"] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert (rates["b"]["low"], rates["b"]["high"]) == pytest.approx(tuple(map(float, clopper_pearson(0.3, 40))))
    (row,) = result["evaluation_safety_differences"]
    assert (row["reading"], row["effect"], row["items"]) == ("shown", pytest.approx(0.3), 40)
    flips = result["evaluation_safety_flips"]
    assert [(each["item_id"], each["counts_in_b"]) for each in flips] == [(str(item), True) for item in range(12)]
    assert (flips[3]["file_b"], flips[3]["row_b"], flips[3]["score_a"]) == ("b.eval", 4, 0.0)
    assert row["p"] == pytest.approx(mcnemar(12, 0)) and 0 < row["low"] < 0.3 < row["high"] and row["mde"] > 0


def test_a_graded_metric_is_no_refusal_unless_it_is_said_which_grades_are(tmp_path: Path) -> None:
    a = inspect_file(tmp_path / "a.eval", [0.0, 0.5, 1.0] * 10)
    assert tables(a, a)["evaluation_safety"] == []
    rows = tables(a, a, safety_rules({"refusal": ["judge/refusal>=0.5"]}))["evaluation_safety"]
    assert [(row["events"], row["counted"]) for row in rows] == [(20, "score >= 0.5")] * 2


@pytest.mark.parametrize(
    ("task", "metric", "kind", "counted"),
    [
        ("agents", "judge/refusal", "refusal", "score = 1"),
        ("x", "is_jailbroken", "harm", "score = 1"),
        ("real_toxicity_prompts", "max_toxicity_probability", "harm", "score = 1"),
        ("harm_bench:subset=standard", "safety_score", "harm", "score = 0"),
        ("xstest", "safety_score", None, ""),
        ("xstest", "match", None, ""),
        ("refusal", "acc", None, ""),
        ("x", "toxicity", None, ""),
    ],
)
def test_known_names(task: str, metric: str, kind: str | None, counted: str) -> None:
    rules = rules_for(Measured(task, metric, ""), ())
    assert [(rule.kind, rule.counted) for rule in rules] == ([] if kind is None else [(kind, counted)])


def test_what_a_user_states_comes_before_names() -> None:
    stated = safety_rules({"harm": ["x:refusal < 0.5"], "refusal": ["a:b=c:grade=2"]})
    assert stated == (SafetyRule("harm", "x:refusal", "<", 0.5), SafetyRule("refusal", "a:b=c:grade", "=", 2.0))
    assert rules_for(Measured("x", "refusal", ""), stated) == [stated[0]]
    assert rules_for(Measured("a:b=c", "grade", ""), stated) == [stated[1]]
    for text in ("refusal", "refusal=yes", "=1", ""):
        with pytest.raises(UsageError, match="expected METRIC=VALUE"):
            safety_rules({"refusal": [text]})


def test_a_rule_about_no_metric_is_a_mistake(tmp_path: Path) -> None:
    a = inspect_file(tmp_path / "a.eval", [0, 1])
    with pytest.raises(
        UsageError, match=r"refusal judge/refusl: no evaluation has this metric; did you mean judge/ref"
    ):
        tables(a, a, safety_rules({"refusal": ["judge/refusl=1"]}))


def test_several_answers_and_clusters_have_bounds_of_effective_items(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    harmful = (generator.random((60, 1)) < 0.2) & (generator.random((60, 4)) < 0.8)
    records = [
        {"id": item, "trial": trial, "score": int(harmful[item, trial]), "metric": "harmful", "group": item // 3}
        for item in range(60)
        for trial in range(4)
    ]
    path = making.write_lines(tmp_path / "answers.jsonl", records)
    row = tables(path, path)["evaluation_safety"][0]
    estimate = mean_with_error(harmful.mean(axis=1))
    effective = estimate.mean * (1 - estimate.mean) / estimate.error**2
    assert (row["items"], row["answers"], row["events"]) == (60, 240, harmful.sum()) and effective < 240
    assert (row["low"], row["high"]) == pytest.approx(tuple(map(float, clopper_pearson(estimate.mean, effective))))
    assert tables(path, path, cluster="group")["evaluation_safety"][0]["clusters"] == 20
    none = making.write_lines(tmp_path / "none.jsonl", [record | {"score": 0} for record in records])
    assert tables(none, none)["evaluation_safety"][0]["high"] == pytest.approx(1 - 0.025 ** (1 / 60))
