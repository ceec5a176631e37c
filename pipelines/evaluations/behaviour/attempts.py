"""Attempts of agents by task and item, and the items that two evaluations have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.evaluations.grouping import models_of
from corpus_audit.pipelines.evaluations.pairing import Pairs
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.pipelines.evaluations.records.trajectories import Trajectory

_REPORT = "SWE-bench"


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts of two evaluations at the items of one task.

    Attributes:
        task: the task.
        items: by item, the attempts of a and of b, in order of their epochs.
        only_a, only_b: items that the other evaluation lacks.
        incomparable: items whose prompt or task version is known and differs.
    """

    task: str
    items: Mapping[str, tuple[list[Trajectory], list[Trajectory]]]
    only_a: int
    only_b: int
    incomparable: int


def attempts_of(evaluation: Evaluation, model: str | None) -> list[Trajectory]:
    """Trajectories of one model; whether SWE-agent solved an item is what the SWE-bench report beside it says.

    Those without a model belong to the only one that the evaluation's other files name.
    """
    everything = model is None or models_of(evaluation.items) == [model]
    attempts = [each for each in evaluation.trajectories if everything or each.model == model]
    if not any(each.solved is None for each in attempts):
        return attempts
    reports = evaluation.items.filter(pc.equal(evaluation.items["task"].cast(pa.string()), _REPORT))
    resolved = dict(zip(reports["item"].to_pylist(), reports["score"].to_pylist(), strict=True))
    return [
        replace(each, solved=resolved[each.item] >= 1)
        if each.solved is None and each.task == "SWE-agent" and each.item in resolved
        else each
        for each in attempts
    ]


def common_attempts(a: Sequence[Trajectory], b: Sequence[Trajectory]) -> list[Attempts]:
    """The tasks that both evaluations have attempts at, sorted by name."""
    of_a, of_b = _by_item(a), _by_item(b)
    result = []
    for task in sorted(of_a.keys() & of_b.keys()):
        mine, theirs = of_a[task], of_b[task]
        both = {item: (mine[item], theirs[item]) for item in sorted(mine.keys() & theirs.keys())}
        kept = {item: pair for item, pair in both.items() if not _differ(pair[0][0], pair[1][0])}
        counts = len(mine.keys() - theirs.keys()), len(theirs.keys() - mine.keys()), len(both) - len(kept)
        result.append(Attempts(task, kept, *counts))
    return result


def pairs_of_values(
    items: Sequence[tuple[Trajectory, Trajectory]], before: Sequence[float], after: Sequence[float]
) -> Pairs:
    """One value an item of each evaluation, as pairs; an item is of the cluster that its attempts name."""
    labels = [a.cluster if a.cluster is not None else b.cluster for a, b in items]
    cluster = None
    if any(label is not None for label in labels):
        named = [
            f"c{label}" if label is not None else f"i{a.item}" for label, (a, _) in zip(labels, items, strict=True)
        ]
        cluster = np.asarray(np.unique(np.array(named), return_inverse=True)[1], dtype=np.int64).reshape(-1)
    names = pa.array([a.item for a, _ in items], pa.string())
    values = (np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64))
    return Pairs(*values, names, names, cluster, 0, 0, 0, 0, 0, None, (1.0, 1.0))


def _by_item(attempts: Iterable[Trajectory]) -> dict[str, dict[str, list[Trajectory]]]:
    tasks: dict[str, dict[str, list[Trajectory]]] = {}
    for each in attempts:
        tasks.setdefault(each.task, {}).setdefault(each.item, []).append(each)
    for items in tasks.values():
        for listed in items.values():
            listed.sort(key=lambda each: each.epoch)
    return tasks


def _differ(a: Trajectory, b: Trajectory) -> bool:
    """Whether prompt or version are known on both sides and differ."""
    return any(x is not None and y is not None and x != y for x, y in ((a.prompt, b.prompt), (a.version, b.version)))
