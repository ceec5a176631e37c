"""Differences in pass@k and pass^k, noise of differences by source, and incomparable scores."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.evaluations.incomparable import other_version
from corpus_audit.pipelines.statistics.evaluations.noise import checkpoint_noise, seed_deviation
from corpus_audit.pipelines.statistics.evaluations.paired import mean_with_error
from corpus_audit.pipelines.statistics.evaluations.power import detectable_from_error
from corpus_audit.pipelines.statistics.intervals.proportions import student_quantile
from tests.pipelines.evaluations import making
from tests.pipelines.evaluations.behaviour.attempts import tables


def answers(path: Path, scores: np.ndarray, **more: Any) -> Path:
    """Answers of a model, scores [items, trials]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {"id": item, "task": "t", "trial": trial, "score": float(scores[item, trial])} | more
        for item in range(len(scores))
        for trial in range(scores.shape[1])
    ]
    return making.write_lines(path, records)


def test_passes_are_paired_over_items_with_the_largest_common_k(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    skill = generator.random((400, 1))
    before = (generator.random((400, 4)) < skill).astype(float)
    after = (generator.random((400, 3)) < np.where(skill < 0.5, skill, 1.0)).astype(float)
    result = tables(answers(tmp_path / "a.jsonl", before), answers(tmp_path / "b.jsonl", after))
    rows = {row["kind"]: row for row in result["evaluation_pass_differences"]}
    assert {row["k"] for row in rows.values()} == {3} and rows["pass^k"]["items"] == 400
    triples = list(combinations(range(4), 3))
    for kind, of in (("pass@k", np.max), ("pass^k", np.min)):
        gain = of(after, axis=1) - np.mean([of(before[:, list(t)], axis=1) for t in triples], axis=0)
        assert rows[kind]["effect"] == pytest.approx(gain.mean())
        assert rows[kind]["p"] == pytest.approx(mean_with_error(gain).p)
    assert (rows["pass^k"]["reading"], rows["pass@k"]["reading"]) == ("shown", "not shown")


def test_the_error_of_a_difference_is_split_into_items_and_answering_again(tmp_path: Path) -> None:
    generator = np.random.default_rng(6)
    shift = generator.normal(0, 0.3, (2000, 1))
    before, after = generator.normal(0, 0.5, (2000, 4)), shift + generator.normal(0, 0.2, (2000, 2))
    sides = answers(tmp_path / "a.jsonl", before), answers(tmp_path / "b.jsonl", after)
    row = tables(*sides)["evaluation_differences"][0]
    again = 0.25 / 4 + 0.04 / 2
    assert row["error_answers"] == pytest.approx(np.sqrt(again / 2000), rel=0.05)
    assert row["error"] == pytest.approx(np.sqrt((again + 0.09) / 2000), rel=0.05)
    assert row["error_seeds"] is None and row["mde_all"] is None


def test_seeds_that_files_name_are_noise_on_top(tmp_path: Path) -> None:
    generator = np.random.default_rng(8)
    for side in "ab":
        level = generator.normal(0, 0.2, 5)
        records = [
            {"id": item, "task": "t", "seed": seed, "score": float(level[seed] + generator.normal(0, 0.1))}
            for item in range(50)
            for seed in range(5)
        ]
        making.write_lines(tmp_path / f"{side}.jsonl", records)
    row = tables(tmp_path / "a.jsonl", tmp_path / "b.jsonl")["evaluation_differences"][0]
    assert 0.03 < row["error_seeds"] < 0.3 and row["freedom_seeds"] == 4
    assert row["mde_all"] == pytest.approx(detectable_from_error(np.hypot(row["error"], row["error_seeds"])))
    assert row["mde_all"] > 3 * row["mde"]


def test_noise_of_checkpoints_is_estimated_without_trend_and_without_the_change() -> None:
    generator = np.random.default_rng(1)
    steps = np.cumsum(generator.integers(1, 4, 400)) * 1000.0
    score = 0.2 + 1e-7 * steps + generator.normal(0, 0.012, 400)
    noise = checkpoint_noise(steps, score)
    assert noise is not None and noise.deviation == pytest.approx(0.012, rel=0.1) and 150 < noise.freedom < 260
    jump = score + 0.5 * (np.arange(400) >= 200)
    left_out = checkpoint_noise(steps, jump, (steps[199], steps[200]))
    assert left_out is not None and left_out.deviation == pytest.approx(0.012, rel=0.1)
    loud = checkpoint_noise(steps, jump)
    assert loud is not None and loud.deviation > 1.5 * left_out.deviation
    assert checkpoint_noise(steps[:3], score[:3]) is None
    assert checkpoint_noise(steps[:5], score[:5], (steps[3], steps[4])) is not None
    assert checkpoint_noise(steps[:5], score[:5], (steps[2], steps[3])) is None


def test_the_degrees_of_freedom_give_the_spread_of_the_estimate() -> None:
    generator = np.random.default_rng(2)
    found = [checkpoint_noise(np.arange(12), row) for row in generator.normal(0, 1, (4000, 12))]
    variances = np.array([each.deviation**2 for each in found if each is not None])
    freedom = found[0].freedom if found[0] is not None else 0.0
    assert variances.mean() == pytest.approx(1.0, abs=0.03)
    assert variances.var() == pytest.approx(2 / freedom, rel=0.12)


def test_differences_of_an_unchanged_score_are_within_the_noise_of_its_checkpoints() -> None:
    generator = np.random.default_rng(3)
    steps, outside = np.arange(12) * 10.0, 0
    for score in generator.normal(0, 1, (1000, 12)):
        noise = checkpoint_noise(steps, score, (steps[10], steps[11]))
        assert noise is not None
        reach = float(student_quantile(0.975, noise.freedom)) * np.sqrt(2) * noise.deviation
        outside += abs(score[11] - score[10]) > reach
    assert 20 <= outside <= 70


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("version 1, 5-shot", "version 1, 0-shot", "another number of examples in the prompt (5-shot against 0-shot)"),
        ("version 1", "version 2", "another task version (version 1 against version 2)"),
        ("version 0 cot=False", "version 0 cot=True", "another setting of the task (cot=False against cot=True)"),
        ("version 1, 5-shot", "version 2, 5-shot", "another task version (version 1 against version 2)"),
        ("version 1", "version 1, 5-shot", "another number of examples in the prompt (none against 5-shot)"),
    ],
)
def test_what_differs_between_versions_is_named(a: str, b: str, words: str) -> None:
    assert other_version(a, b) == words


def test_another_metric_of_a_task_is_named_and_another_task_is_not(tmp_path: Path) -> None:
    records = [{"id": item, "score": item % 2} for item in range(20)]
    for side, metric, task in (("a", "acc", "only"), ("b", "f1", "other")):
        listed = [each | {"task": "t", "metric": metric} for each in records]
        making.write_lines(tmp_path / f"{side}.jsonl", listed + [each | {"task": task} for each in records])
    rows = {row["task"]: row for row in tables(tmp_path / "a.jsonl", tmp_path / "b.jsonl")["evaluation_differences"]}
    of_t = tables(tmp_path / "a.jsonl", tmp_path / "b.jsonl")["evaluation_differences"]
    named = {row["metric"]: row["reason"] for row in of_t if row["task"] == "t"}
    assert named["acc"] == "incomparable: another metric (acc in a, f1 in b)"
    assert named["f1"] == "incomparable: another metric (f1 in b, acc in a)"
    assert rows["only"]["incomparable"] is None and rows["only"]["reason"] == "only a has items of it"


def test_another_number_of_examples_is_named(tmp_path: Path) -> None:
    for side, shots in (("a", 0), ("b", 5)):
        making.lm_eval_run(tmp_path / side, {"t": [float(item % 2) for item in range(20)]})
        path = next((tmp_path / side / "m").glob("results_*.json"))
        path.write_text(path.read_text().replace('"n-shot": {"t": 0}', f'"n-shot": {{"t": {shots}}}'))
    (row,) = tables(tmp_path / "a", tmp_path / "b")["evaluation_differences"]
    assert row["incomparable"] == "another number of examples in the prompt (0-shot against 5-shot)"
    assert row["reading"] == "not enough data" and row["reason"] == f"incomparable: {row['incomparable']}"


def test_the_deviation_of_seeds_is_that_of_their_means_over_the_same_items() -> None:
    scores = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    item, seed = np.repeat([3, 1, 2], 3), np.tile(["x", "y", "z"], 3)
    deviation, freedom = seed_deviation(scores.ravel(), item, seed)
    assert freedom == 2 and deviation == pytest.approx(scores.mean(axis=0).std(ddof=1))
    more = seed_deviation(np.r_[scores.ravel(), 5.0], np.r_[item, 9], np.append(seed, "x"))
    assert more == (pytest.approx(deviation), 2)
    with pytest.raises(ValueError, match="every one answered"):
        seed_deviation([1.0, 0.0], [1, 2], ["x", "y"])
    with pytest.raises(ValueError, match="two of them"):
        seed_deviation([1.0, 0.0], [1, 2], ["x", "x"])
