"""Noise of differences between evaluations of training runs: neighbouring checkpoints, and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.behaviour.noise import with_noise
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores
from corpus_audit.pipelines.statistics.evaluations.noise import CheckpointNoise, checkpoint_noise, seed_deviation
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile
from corpus_audit.schemas.run.findings import Explanation, State

Row = Mapping[str, Any]
_Series = dict[tuple[str, Measured], dict[int, float]]

_CHECKPOINTS = "scores of neighbouring checkpoints vary as much"
_SEEDS = "another seed of the same training differs as much"


@dataclass(frozen=True, slots=True)
class ComparedSteps:
    """A comparison: run and step of a and of b, and its table of differences."""

    a: tuple[str, int]
    b: tuple[str, int]
    differences: pa.Table


def with_run_noise(
    compared: Sequence[ComparedSteps], seeds: Mapping[Measured, tuple[float, float]]
) -> list[pa.Table]:  # fmt: skip
    """The tables of differences with the noise between neighbouring checkpoints and, where it is known, of seeds.

    Args:
        compared: all comparisons.
        seeds: by measure, (error of a difference of two seeds, its degrees of freedom).
    """
    series = _series(compared)
    tables = []
    for each in compared:
        noise: dict[Measured, dict[str, Any]] = {}
        for row in each.differences.to_pylist():
            measured = _measured(row)
            of_row: dict[str, Any] = {}
            same = each.a[0] == each.b[0]
            apart = (each.a[1], each.b[1]) if same else None
            sides = [_noise(series.get((run, measured), {}), apart) for run in (each.a[0], each.b[0])]
            if sides[0] is not None and sides[1] is not None:
                of_row["error_checkpoints"] = float(np.hypot(sides[0].deviation, sides[1].deviation))
                of_row["freedom_checkpoints"] = min(sides[0].freedom, sides[1].freedom)
            if measured in seeds and row["error_seeds"] is None:
                of_row["error_seeds"], of_row["freedom_seeds"] = seeds[measured]
            noise[measured] = of_row
        tables.append(with_noise(each.differences, noise))
    return tables


def _series(compared: Sequence[ComparedSteps]) -> _Series:
    """The score of every run and measure by step."""
    series: _Series = {}
    for each in compared:
        if each.a[0] != each.b[0]:
            continue
        for row in each.differences.to_pylist():
            for (run, step), score in ((each.a, row["score_a"]), (each.b, row["score_b"])):
                if score is not None:
                    series.setdefault((run, _measured(row)), {})[step] = score
    return series


def _noise(by_step: Mapping[int, float], apart: tuple[int, int] | None) -> CheckpointNoise | None:
    """The noise of a score; None for one that did not move, as one at 0 before a model learned the task."""
    steps = sorted(by_step)
    noise = checkpoint_noise(steps, [by_step[step] for step in steps], apart)
    return noise if noise is not None and noise.deviation > 0 else None


def _measured(row: Row) -> Measured:
    return Measured(row["task"], row["metric"], row["filter"])


def seed_noise(by_seed: Sequence[Mapping[Measured, Scores]]) -> dict[Measured, tuple[float, float]]:
    """By measure, the standard error of a difference between two seeds, and its degrees of freedom.

    Args:
        by_seed: scores of the evaluations of runs that differ in their seed only, at one step.
    """
    result = {}
    for measured in set.intersection(*(set(each) for each in by_seed)) if len(by_seed) > 1 else ():
        scores = [each[measured] for each in by_seed]
        items = np.concatenate([np.array(each.keys.to_pylist())[each.rows_item] for each in scores])
        seed = np.repeat(np.arange(len(scores)), [len(each.rows_score) for each in scores])
        try:
            deviation, freedom = seed_deviation(np.concatenate([each.rows_score for each in scores]), items, seed)
        except ValueError:  # no item that every seed answered
            continue
        result[measured] = (float(np.sqrt(2) * deviation), float(freedom))
    return result


def noise_explanations(row: Row) -> tuple[Explanation, ...]:
    """Whether a difference could be noise between checkpoints, or between seeds."""
    few = "the run has fewer than two triples of neighbouring checkpoints beside these steps whose scores vary"
    none = "seeds names no three runs that differ in their seed only"
    return (
        _explanation(row, "checkpoints", _CHECKPOINTS, few),
        _explanation(row, "seeds", _SEEDS, none),
    )


def _explanation(row: Row, source: str, what: str, lacking: str) -> Explanation:
    error, freedom = row[f"error_{source}"], row[f"freedom_{source}"]
    if error is None:
        return Explanation(what=what, state=State.UNTESTED, figure=lacking)
    reach = float(student_quantile(0.5 + LEVEL / 2, max(freedom, 1.0))) * error
    state = State.RULED_OUT if abs(row["difference"]) > reach else State.NOT_RULED_OUT
    figure = f"differences up to {reach:.4g} are within their noise (95 %, {freedom:.3g} degrees of freedom)"
    return Explanation(what=what, state=state, figure=figure)


def noise_limits(row: Row) -> tuple[str, ...]:
    """Where the error of a difference comes from, and what is detectable with the noise that it leaves out."""
    words = []
    if row["error_answers"] is not None and row["error"] is not None:
        items = max(row["error"] ** 2 - row["error_answers"] ** 2, 0.0) ** 0.5
        words.append(
            f"Of the standard error {row['error']:.4g}, items alone give {items:.4g} and answering again "
            f"{row['error_answers']:.4g}"
        )
    further = [
        f"{name} {row[f'error_{source}']:.4g}"
        for source, name in (("checkpoints", "neighbouring checkpoints"), ("seeds", "seeds"))
        if row[f"error_{source}"] is not None
    ]
    if further:
        with_all = f": with it, {row['mde_all']:.4g} would be detected" if row["mde_all"] is not None else ""
        words.append(f"On top of the error over items comes that of {' and of '.join(further)}{with_all}")
    return tuple(words)
