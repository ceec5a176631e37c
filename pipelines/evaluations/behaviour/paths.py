"""Where two agents' attempts at the same item first part, and whether that is more than tries of one agent do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from corpus_audit.pipelines.evaluations.behaviour.attempts import Attempts, pairs_of_values
from corpus_audit.pipelines.evaluations.difference import Difference, paired_difference
from corpus_audit.pipelines.evaluations.records.trajectories import ACTION, ENVIRONMENT, Step, Trajectory

MOST_TRIES = 10
"""Attempts at an item of which every two are compared."""

ONE_TRY = "one attempt an item: how soon attempts of one model part by chance is not known"


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two attempts part.

    Attributes:
        a, b: the attempts.
        equal: actions that both began with.
        step_a, step_b: the first action that differs; None where the attempt had ended.
        environment: whether a tool or a user had answered otherwise before it.
    """

    a: Trajectory
    b: Trajectory
    equal: int
    step_a: Step | None
    step_b: Step | None
    environment: bool

    @property
    def identical(self) -> bool:
        """Whether all actions are equal."""
        return self.step_a is None and self.step_b is None


def parting(a: Trajectory, b: Trajectory) -> Parting:
    """Compare the tool calls of two attempts in order; what agents think or say does not count."""
    mine, theirs = (_actions(each) for each in (a, b))
    equal = 0
    while equal < min(len(mine), len(theirs)) and mine[equal][1].digest == theirs[equal][1].digest:
        equal += 1
    (end_a, step_a), (end_b, step_b) = (
        actions[equal] if equal < len(actions) else (len(each.steps), None)
        for actions, each in ((mine, a), (theirs, b))
    )
    answers = ([s.digest for s in each.steps[:end] if s.kind == ENVIRONMENT] for each, end in ((a, end_a), (b, end_b)))
    first, second = answers
    shared = min(len(first), len(second))
    return Parting(a, b, equal, step_a, step_b, first[:shared] != second[:shared])


def _actions(attempt: Trajectory) -> list[tuple[int, Step]]:
    """Position among all steps, and step, of every action of the agent."""
    return [(position, step) for position, step in enumerate(attempt.steps) if step.kind == ACTION]


def partings_of(attempts: Attempts) -> Iterator[Parting]:
    """Attempts of a and b with the same number; where no number is common, the first of each."""
    for a, b in attempts.items.values():
        by_epoch = {each.epoch: each for each in b}
        pairs = [(each, by_epoch[each.epoch]) for each in a if each.epoch in by_epoch] or [(a[0], b[0])]
        for one, other in pairs:
            if one.steps and other.steps:
                yield parting(one, other)


def parting_row(task: str, each: Parting) -> dict[str, Any]:
    """A row of `EVALUATION_PARTINGS`."""
    row: dict[str, Any] = {
        "task": task,
        "item": each.a.item,
        "equal": each.equal,
        "identical": each.identical,
        "environment": each.environment,
    }
    for letter, attempt, step in (("a", each.a, each.step_a), ("b", each.b, each.step_b)):
        row |= {
            f"epoch_{letter}": attempt.epoch,
            f"solved_{letter}": attempt.solved,
            f"actions_{letter}": sum(s.kind == ACTION for s in attempt.steps),
            f"file_{letter}": attempt.file,
            f"unit_{letter}": attempt.unit,
            f"location_{letter}": None if step is None else step.location,
            f"action_{letter}": None if step is None else step.shown,
        }
    return row


def path_row(attempts: Attempts, partings: Sequence[Parting]) -> dict[str, Any]:
    """Whether attempts of a and b part earlier than two attempts of the same model do, on the same item.

    For every item with two attempts on both sides: the mean number of equal first actions over pairs of an attempt of
    a and one of b, less the mean of the same within a and within b. Where a and b act alike its expectation is 0,
    however random they are.
    """
    items, between, within = [], [], []
    for a, b in attempts.items.values():
        tries = [[each for each in side if each.steps][:MOST_TRIES] for side in (a, b)]
        if min(map(len, tries)) < 2:
            continue
        items.append((a[0], b[0]))
        within.append(float(np.mean([np.mean([parting(*p).equal for p in combinations(t, 2)]) for t in tries])))
        between.append(float(np.mean([parting(*p).equal for p in product(*tries)])))
    if items:
        difference = paired_difference(pairs_of_values(items, within, between))
    else:
        nan = float("nan")
        difference = Difference(0, 0, nan, nan, nan, nan, nan, nan, nan, nan, "", ONE_TRY)
    apart = [each for each in partings if not each.identical]
    return {
        "task": attempts.task,
        "pairs": len(partings),
        "identical": len(partings) - len(apart),
        "environment": sum(each.environment for each in apart),
        "median_equal": float(np.median([each.equal for each in apart])) if apart else float("nan"),
        "only_a": attempts.only_a,
        "only_b": attempts.only_b,
        "incomparable": attempts.incomparable,
        "difference_of": difference,
    }
