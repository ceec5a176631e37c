"""Compares how two evaluations behave beyond their scores, and adds these tables to the comparison of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.evaluations.behaviour.attempts import attempts_of, common_attempts
from corpus_audit.pipelines.evaluations.behaviour.flips import flip_rows
from corpus_audit.pipelines.evaluations.behaviour.noise import noise_of_sides, with_noise
from corpus_audit.pipelines.evaluations.behaviour.passes import pass_rows
from corpus_audit.pipelines.evaluations.behaviour.paths import parting_row, partings_of, path_row
from corpus_audit.pipelines.evaluations.behaviour.readings import READINGS, Words
from corpus_audit.pipelines.evaluations.behaviour.safety import (
    SafetyRule,
    check_rules,
    counted,
    rate_row,
    rules_for,
    safety_row,
)
from corpus_audit.pipelines.evaluations.behaviour.usage import usage_rows
from corpus_audit.pipelines.evaluations.comparison import Comparison, Side
from corpus_audit.pipelines.evaluations.difference import Difference
from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, ScoresByMeasure, of_model
from corpus_audit.pipelines.evaluations.read_tables import table_of
from corpus_audit.pipelines.evaluations.records.trajectories import ACTION, Trajectory
from corpus_audit.pipelines.evaluations.wording import OptionNames
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.schemas.tables.investigation.behaviour_tables import BEHAVIOUR_TABLES

Row = dict[str, Any]

_AMOUNTS = ("steps", "calls", "cost", "tokens", "tokens sent", "tokens received", "time", "working time",
            "time of tools")  # fmt: skip


@dataclass
class _Collected:
    """Rows of one comparison by table, before p is adjusted, and the noise of its differences."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in BEHAVIOUR_TABLES})
    noise: dict[Measured, Row] = field(default_factory=dict)


def with_behaviour(
    pairs: Sequence[tuple[Side, Side]],
    comparisons: Sequence[Comparison],
    rules: Sequence[SafetyRule] = (),
    options: OptionNames | None = None,
) -> list[Comparison]:
    """Add to every comparison its tables of behaviour; p is adjusted over the tests of all of them in all comparisons.

    Args:
        pairs: (a, b) of every comparison.
        comparisons: of their scores.
        rules: what counts as a refusal or as harm, besides what names of metrics say.
        options: how messages name what the user set.

    Raises:
        UsageError: a rule is about no metric.
    """
    known = options or OptionNames()
    of_comparisons: list[_Collected] = []
    measures: set[Measured] = set()
    for (a, b), comparison in zip(pairs, comparisons, strict=True):
        collected = _Collected()
        items = [
            of_model(side.evaluation.items, side.model, known.model.format(letter), side.evaluation.name)
            for letter, side in (("a", a), ("b", b))
        ]
        scores = [ScoresByMeasure(each) for each in items]
        measures |= scores[0].keys() | scores[1].keys()
        _take_scores(collected, scores, rules, comparison, items)
        _take_attempts(collected, a, b)
        of_comparisons.append(collected)
    check_rules(rules, measures)
    tested = [row for each in of_comparisons for name in READINGS for row in each.rows[name]]
    adjusted = benjamini_hochberg([row["difference_of"].p for row in tested])
    for row, q in zip(tested, adjusted, strict=True):
        row["q"] = float(q)
    results = []
    for (a, b), comparison, collected in zip(pairs, comparisons, of_comparisons, strict=True):
        names = (a.name or "a", b.name or "b")
        for name, words in READINGS.items():
            for row in collected.rows[name]:
                _read(row, words, names)
        tables = {name: table_of(name, collected.rows[name]) for name in BEHAVIOUR_TABLES}
        tables["evaluation_differences"] = with_noise(comparison.tables["evaluation_differences"], collected.noise)
        results.append(replace(comparison, tables=comparison.tables | tables))
    return results


def _take_scores(
    collected: _Collected,
    scores: Sequence[Mapping[Measured, Scores]],
    rules: Sequence[SafetyRule],
    comparison: Comparison,
    items: Sequence[pa.Table],
) -> None:
    """Rates of refusal and harm, passes, and noise."""
    differences = {
        Measured(row["task"], row["metric"], row["filter"]): row
        for row in comparison.tables["evaluation_differences"].to_pylist()
    }
    names = Measured._fields
    repeated = {tuple(row[name] for name in names) for row in comparison.tables["evaluation_noise"].to_pylist()}
    for measured in sorted(scores[0].keys() | scores[1].keys()):
        # Scores are computed on access, and most measures need none.
        if not (about := rules_for(measured, rules)) and measured not in repeated:
            continue
        sides = [side.get(measured) for side in scores]
        for rule in about:
            events = [None if side is None else counted(side, rule) for side in sides]
            for letter, each in zip("ab", events, strict=True):
                if each is not None:
                    collected.rows["evaluation_safety"].append(rate_row(letter, measured, rule, each))
            if events[0] is not None and events[1] is not None:
                collected.rows["evaluation_safety_differences"].append(safety_row(measured, rule, events[0], events[1]))
                collected.rows["evaluation_safety_flips"] += flip_rows(measured, rule, items[0], items[1])
        if sides[0] is not None and sides[1] is not None:
            collected.rows["evaluation_pass_differences"] += pass_rows(measured, sides[0], sides[1])
            if measured in differences and (noise := noise_of_sides(differences[measured], sides[0], sides[1])):
                collected.noise[measured] = noise
    collected.rows["evaluation_safety"].sort(key=lambda row: row["side"])


def _take_attempts(collected: _Collected, a: Side, b: Side) -> None:
    """What agents spent, and where their paths part."""
    attempts = [attempts_of(side.evaluation, side.model) for side in (a, b)]
    for letter, side in zip("ab", attempts, strict=True):
        collected.rows["evaluation_trajectories"] += [_attempt_row(letter, each) for each in side]
    for common in common_attempts(*attempts):
        collected.rows["evaluation_usage"] += usage_rows(common)
        partings = list(partings_of(common))
        collected.rows["evaluation_paths"].append(path_row(common, partings))
        collected.rows["evaluation_partings"] += [parting_row(common.task, each) for each in partings]


def _attempt_row(letter: str, each: Trajectory) -> Row:
    row: Row = {name: getattr(each, name) for name in ("task", "item", "epoch", "solved", "ended", "file", "row")}
    row |= {name.replace(" ", "_"): each.usage.get(name) for name in _AMOUNTS}
    actions = sum(step.kind == ACTION for step in each.steps)
    return row | {"side": letter, "actions": actions, "errors": sum(each.errors.values())}


def _read(row: Row, words: Words, names: tuple[str, str]) -> None:
    """Put the figures of a difference, and its reading, into the row."""
    difference: Difference = row.pop("difference_of")
    if difference.lacking and row["incomparable"] > difference.items:
        why = f"incomparable: {row['incomparable']:,} items have another prompt or task version"
        difference = replace(difference, lacking=why)
    kind, reason = ("not enough data", difference.lacking) if difference.lacking else words(row, difference, names)
    row |= {
        "items": difference.items,
        "clusters": difference.clusters,
        "value_a": difference.score_a,
        "value_b": difference.score_b,
        "effect": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "mde": difference.mde,
        "method": difference.method,
        "reading": kind,
        "reason": reason,
    }
