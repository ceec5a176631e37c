"""Recomputes what evaluation files claim from the items that they hold, and says where they differ."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.grouping import Measured, Scores, rows_by, scores_of
from corpus_audit.pipelines.evaluations.records.items import Claim, Evaluation
from corpus_audit.pipelines.statistics.evaluations.aggregates import pooled_error, published_error
from corpus_audit.schemas.tables.investigation.evaluation_tables import EVALUATION_CLAIMS

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d.:\-]+\d")
_CLOSE = 1e-6
_CLOSE_ERROR = 1e-4

_Key = tuple[str, str, Measured]
_ByMeasure = dict[tuple[str, Measured], dict[str, Scores]]


def claims_table(evaluation: Evaluation, side: str) -> pa.Table:
    """Every claim of an evaluation beside what its items give: a table with the schema `EVALUATION_CLAIMS`.

    A claim is compared with the items of its own file or, where a program writes results and samples apart, with those
    of the files beside it (of the same time stamp, if there are such).
    """
    scores = _scores_by_file(evaluation.items) if evaluation.claims else {}
    by_measure: _ByMeasure = {}
    for (file, model, measured), computed in scores.items():
        by_measure.setdefault((model, measured), {})[file] = computed
    rows = [_row(claim, side, by_measure) for claim in evaluation.claims]
    rows.sort(key=lambda row: (row["file"], row["task"], row["metric"], row["filter"]))
    return pa.Table.from_pylist(rows, schema=EVALUATION_CLAIMS)


def _scores_by_file(items: pa.Table) -> dict[_Key, Scores]:
    """Scores of items by file, model and measure."""
    return {
        (file, model, Measured(*names)): scores_of(items, rows)
        for (file, model, *names), rows in rows_by(items, ("file", "model", *Measured._fields))
    }


def _row(claim: Claim, side: str, scores: _ByMeasure) -> dict[str, Any]:
    row = {
        "side": side,
        "file": claim.file,
        "task": claim.task,
        "metric": claim.metric,
        "filter": claim.filter,
        "claimed": claim.value,
        "claimed_error": claim.error,
        "claimed_items": claim.items,
        "items": 0,
        "outcome": "not recomputed",
    }
    if not claim.mean:
        return row | {"reason": "not known to be a mean of item scores"}
    parts = [_items_of(claim, task, scores) for task in claim.parts or (claim.task,)]
    if any(part is None for part in parts):
        return row | {"reason": "no items of it were read"}
    values = [part.score for part in parts if part is not None]
    total = sum(map(len, values))
    # Inspect counts every answer to an item as a sample.
    counts = {total, sum(int(part.answers.sum()) for part in parts if part is not None)}
    if claim.parts:
        means, sizes = [float(part.mean()) for part in values], [len(part) for part in values]
        candidates = [float(np.average(means, weights=sizes)), float(np.mean(means))]
        error = pooled_error([published_error(part) for part in values], sizes)
    else:
        candidates, error = [float(values[0].mean())], published_error(values[0])
    value = min(candidates, key=lambda candidate: abs(candidate - claim.value))
    reasons = []
    if not _agrees(claim.value, value):
        reasons.append(f"the file states {claim.value:.6g}, its items give {value:.6g}")
    if claim.items is not None and claim.items not in counts:
        reasons.append(f"the file states {claim.items:,} items, {total:,} were read")
    elif claim.error is not None and not np.isnan(error) and abs(claim.error - error) > _CLOSE_ERROR * max(error, 1e-9):
        reasons.append(f"the file states a standard error of {claim.error:.4g}, its items give {error:.4g}")
    known = None if np.isnan(error) else error
    outcome = "differs" if reasons else "agrees"
    row |= {"recomputed": value, "recomputed_error": known, "items": total, "outcome": outcome}
    return row | {"reason": "; ".join(reasons) or None}


def _agrees(claimed: float, value: float) -> bool:
    """Whether two values are equal but for rounding: to a millionth, or to the three or more decimals of the claim."""
    if abs(claimed - value) <= _CLOSE * max(abs(claimed), 1.0):
        return True
    decimals = len(repr(claimed).partition(".")[2])
    return 3 <= decimals <= 6 and "e" not in repr(claimed) and abs(claimed - value) <= 0.5000001 * 10.0**-decimals


def _items_of(claim: Claim, task: str, scores: _ByMeasure) -> Scores | None:
    same = scores.get((claim.model, Measured(task, claim.metric, claim.filter)), {})
    if claim.file in same:
        return same[claim.file]
    folder, stamp = claim.file.rpartition("/")[0], _STAMP.search(claim.file)
    beside = {file: computed for file, computed in same.items() if file.rpartition("/")[0] == folder}
    if stamp is not None and (stamped := {file: computed for file, computed in beside.items() if stamp[0] in file}):
        beside = stamped
    return next(iter(beside.values())) if len(beside) == 1 else None
