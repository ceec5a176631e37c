"""Answers that count as a refusal or as harm in one evaluation and not in the other, with file and row of both."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.evaluations.behaviour.safety import SafetyRule
from corpus_audit.pipelines.evaluations.grouping import Measured

MOST_FLIPS = 200
"""Items of a comparison and a rule that are listed."""

_COLUMNS = ("item", "item_id", "prompt_hash", "task_version", "epoch", "score", "file", "row")


def flip_rows(measured: Measured, rule: SafetyRule, a: pa.Table, b: pa.Table) -> list[dict[str, Any]]:
    """Rows of `EVALUATION_SAFETY_FLIPS`: what counts in b and not in a first, then by item.

    Of several answers to an item the first is compared, and of a document that a benchmark holds twice the first too.

    Args:
        measured: the metric.
        rule: what counts.
        a, b: tables with the schema `EVALUATION_ITEMS`, of one model each.
    """
    of_a, of_b = (_first_answers(items, measured) for items in (a, b))
    rows = []
    for item in of_a.keys() & of_b.keys():
        first, second = of_a[item], of_b[item]
        counts = [rule.counts(each["score"]) for each in (first, second)]
        known = [(first[name], second[name]) for name in ("prompt_hash", "task_version")]
        if counts[0] == counts[1] or any(None not in pair and pair[0] != pair[1] for pair in known):
            continue
        row = {"kind": rule.kind, **measured._asdict(), "counted": rule.counted, "item": item, "counts_in_b": counts[1]}
        for letter, each in (("a", first), ("b", second)):
            row |= {f"score_{letter}": each["score"], f"file_{letter}": each["file"], f"row_{letter}": each["row"]}
        rows.append(row | {"item_id": first["item_id"]})
    rows.sort(key=lambda row: (not row["counts_in_b"], row["file_b"], row["row_b"]))
    return rows[:MOST_FLIPS]


def _first_answers(items: pa.Table, measured: Measured) -> dict[str, dict[str, Any]]:
    """The first answer of every item."""
    names = Measured._fields
    conditions = [pc.equal(items[name].cast(pa.string()), value) for name, value in zip(names, measured, strict=True)]
    mask = pc.and_(pc.and_(conditions[0], conditions[1]), conditions[2])
    answers: dict[str, dict[str, Any]] = {}
    for row in items.select(_COLUMNS).filter(mask).to_pylist():
        known = answers.get(row["item"])
        if known is None or row["epoch"] < known["epoch"]:
            answers[row["item"]] = row
    return answers
