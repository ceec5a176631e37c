"""What two agents spend on the same items: steps, cost, tokens and time as ratios, errors as differences of shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from corpus_audit.pipelines.evaluations.behaviour.attempts import Attempts, pairs_of_values
from corpus_audit.pipelines.evaluations.difference import Difference, paired_difference
from corpus_audit.pipelines.evaluations.records.trajectories import Trajectory

MOST_KINDS = 15
"""Kinds of errors, and of endings, of a task that are compared, the most frequent ones; others count together."""

RATIO, DIFFERENCE = "ratio", "difference"

_Value = Callable[[Trajectory], float | None]


def usage_rows(attempts: Attempts) -> Iterator[dict[str, Any]]:
    """A row for every amount, over all items and over the attempts that passed on both sides, and for every error.

    Amounts are compared on the logarithmic scale, since they spread over orders of magnitude: the ratio is that of
    geometric means over items, b to a, of which each is first averaged over its attempts. An item with an amount of 0
    is left out of ratios and counted. Errors and endings are shares of attempts; the number of errors is a mean.
    """
    everything = [each for pair in attempts.items.values() for side in pair for each in side]
    for name in sorted({name for each in everything for name in each.usage}):
        for scope in ("all", "solved"):
            if scope == "all" or any(each.solved for each in everything):
                yield _row(attempts, name, scope, RATIO, lambda each, name=name: each.usage.get(name))  # type: ignore[misc]
    if any(each.errors for each in everything):
        yield _row(attempts, "errors", "all", DIFFERENCE, lambda each: float(sum(each.errors.values())))
        yield from _kinds(attempts, everything, lambda each: each.errors.keys())
    if len({each.ended for each in everything}) > 1:
        yield from _kinds(attempts, everything, lambda each: [f"ended: {each.ended}"] if each.ended else [])


def _kinds(
    attempts: Attempts, everything: Sequence[Trajectory], kinds_of: Callable[[Trajectory], Iterable[str]]
) -> Iterator[dict[str, Any]]:
    """The share of attempts with each kind."""
    counts = Counter(kind for each in everything for kind in kinds_of(each))
    listed = [kind for kind, _ in counts.most_common(MOST_KINDS)]
    for kind in listed:
        yield _row(attempts, kind, "all", DIFFERENCE, lambda each, kind=kind: float(kind in kinds_of(each)))  # type: ignore[misc]
    if len(counts) > len(listed):
        name = f"{len(counts) - len(listed)} other kinds"
        yield _row(attempts, name, "all", DIFFERENCE, lambda each: float(bool(set(kinds_of(each)) - set(listed))))


def _row(attempts: Attempts, metric: str, scope: str, scale: str, value: _Value) -> dict[str, Any]:
    left_out = 0
    items, before, after = [], [], []
    for a, b in attempts.items.values():
        sides = [_mean(_in_scope(side, scope), value, scale) for side in (a, b)]
        if sides[0] is None or sides[1] is None:
            left_out += 1
            continue
        items.append((a[0], b[0]))
        before.append(sides[0])
        after.append(sides[1])
    difference = paired_difference(pairs_of_values(items, before, after))
    if scale == RATIO:
        difference = _as_ratio(difference)
    return {
        "task": attempts.task,
        "metric": metric,
        "scope": scope,
        "scale": scale,
        "left_out": left_out,
        "only_a": attempts.only_a,
        "only_b": attempts.only_b,
        "incomparable": attempts.incomparable,
        "difference_of": difference,
    }


def _in_scope(side: Sequence[Trajectory], scope: str) -> Sequence[Trajectory]:
    return side if scope == "all" else [each for each in side if each.solved]


def _mean(side: Sequence[Trajectory], value: _Value, scale: str) -> float | None:
    """Mean over the attempts at an item, of logarithms for ratios; None if an amount is missing or has no logarithm."""
    values = [value(each) for each in side]
    known = [each for each in values if each is not None and (scale != RATIO or each > 0)]
    if not known or len(known) < len(values):
        return None
    return float(np.mean(np.log(known) if scale == RATIO else known))


def _as_ratio(difference: Difference) -> Difference:
    """A difference of logarithms as a ratio; the detectable difference is a ratio above 1."""
    with np.errstate(over="ignore"):
        return replace(
            difference,
            score_a=float(np.exp(difference.score_a)),
            score_b=float(np.exp(difference.score_b)),
            value=float(np.exp(difference.value)),
            low=float(np.exp(difference.low)),
            high=float(np.exp(difference.high)),
            mde=float(np.exp(difference.mde)),
        )
