"""Two models that behave alike: at most 5 % of comparisons show more than scores do; what is planted is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.pipelines.evaluations.behaviour.compare import with_behaviour
from corpus_audit.pipelines.evaluations.comparison import Side, compare
from corpus_audit.pipelines.evaluations.records.items import Evaluation, ItemCollector
from corpus_audit.pipelines.evaluations.records.trajectories import ACTION, ENVIRONMENT, Trajectory, step_of

pytestmark = pytest.mark.slow

REPLICATES = 200
ITEMS, TRIALS = 40, 3
BEHAVIOUR = ("evaluation_usage", "evaluation_paths", "evaluation_pass_differences", "evaluation_safety_differences")


def evaluation(
    generator: np.random.Generator, hard: np.ndarray, cost: float = 1.0, refuses: float = 0.1, first: float = 0.0
) -> Evaluation:
    """An agent's attempts at items of these difficulties, and its refusals of as many requests."""
    sink = ItemCollector()
    with sink.reading("file", 1):
        for item, level in enumerate(hard):
            sink.score(
                item + 1, "requests", str(item), "refusal", bool(generator.random() < refuses), cluster=str(item // 2)
            )
            for trial in range(1, TRIALS + 1):
                solved = bool(generator.random() < 1 / (1 + np.exp(level)))
                sink.score(1, "work", str(item), "reward", solved, epoch=trial)
                names = [str(generator.integers(2)) for _ in range(4)]
                names[0] = "other" if generator.random() < first else names[0]
                steps = [step_of(kind, name, 1) for name in names for kind in (ACTION, ENVIRONMENT)]
                spent = {
                    "cost": float(cost * np.exp(level + generator.normal(0, 0.5))),
                    "steps": 4.0 + generator.integers(5),
                }
                errors = {kind: 1 for kind in ("timeout", "permission") if generator.random() < 0.15}
                attempt = Trajectory("file", 1, "step", "", "work", str(item), trial, usage=spent, errors=errors,
                                     solved=solved, steps=tuple(steps))  # fmt: skip
                sink.trajectory(attempt)
    return sink.finish("x")


def shown(a: Evaluation, b: Evaluation) -> list[dict[str, Any]]:
    """Rows beyond scores that are shown."""
    sides = Side(a), Side(b)
    tables = with_behaviour([sides], [compare(*sides)])[0].tables
    return [row for name in BEHAVIOUR for row in tables[name].to_pylist() if row["reading"] == "shown"]


def test_at_most_one_comparison_in_twenty_shows_what_is_not_there() -> None:
    generator = np.random.default_rng(11)
    false = 0
    for _ in range(REPLICATES):
        hard = generator.normal(0, 1, ITEMS)
        false += bool(shown(evaluation(generator, hard), evaluation(generator, hard)))
    assert false <= 0.05 * REPLICATES


def test_planted_differences_are_shown_and_covered(tmp_path: Path) -> None:
    generator = np.random.default_rng(12)
    found, covered = 0, 0
    for _ in range(30):
        hard = generator.normal(0, 1, ITEMS)
        rows = shown(evaluation(generator, hard), evaluation(generator, hard, 1.4, 0.5, 0.8))
        by_name = {(row.get("metric", "path"), row.get("scope", "")): row for row in rows}
        found += {("cost", "all"), ("refusal", ""), ("path", "")} <= by_name.keys()
        ratio = by_name.get(("cost", "all"))
        covered += ratio is not None and ratio["low"] < 1.4 < ratio["high"]
    assert found >= 25 and covered >= 26
