"""Sources of noise in a difference of scores, and the difference that is detectable with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.grouping import Measured, Scores
from corpus_audit.pipelines.statistics.evaluations.noise import seed_deviation
from corpus_audit.pipelines.statistics.evaluations.power import detectable_from_error

FEWEST_SEEDS = 3
"""Seeds below which their noise is not estimated."""

NOISE_COLUMNS = ("error_answers", "error_seeds", "freedom_seeds", "error_checkpoints", "freedom_checkpoints", "mde_all")


def noise_of_sides(row: Mapping[str, Any], a: Scores, b: Scores) -> dict[str, Any]:
    """What answering again, and seeds that the files name, contribute to a difference; both need several of them.

    Miller (2024, arXiv 2411.00640, section 5): of the variance (w^2 + s_A^2 / K_A + s_B^2 / K_B) / n of a difference
    the last two terms are those of answering again. That of seeds comes on top: a difference over items says nothing
    of it.

    Args:
        row: of `EVALUATION_DIFFERENCES`.
        a, b: scores of the two sides.
    """
    result: dict[str, Any] = {}
    if not row["items"]:
        return result
    again = [_again(each) for each in (a, b)]
    if not np.isnan(again).all():
        result["error_answers"] = float(np.sqrt(np.nansum(again) / row["items"]))
    variances = []
    for each in (a, b):
        seeds = len(np.unique(each.rows_seed))
        if seeds >= FEWEST_SEEDS:
            try:
                deviation, freedom = seed_deviation(each.rows_score, each.rows_item, each.rows_seed)
            except ValueError:  # no item that every seed answered
                continue
            variances.append((deviation**2 / seeds, freedom))
    if len(variances) == 2:
        result["error_seeds"] = float(np.sqrt(variances[0][0] + variances[1][0]))
        result["freedom_seeds"] = float(min(variances[0][1], variances[1][1]))
    return result


def _again(scores: Scores) -> float:
    """Mean over items of s^2 / K: variance that answering again gives to an item's score; NaN with one answer."""
    spare = int((scores.answers - 1).sum())
    if spare < 1:
        return float("nan")
    within = float(((scores.rows_score - scores.score[scores.rows_item]) ** 2).sum()) / spare
    return within * float((1 / scores.answers).mean())


def with_noise(differences: pa.Table, noise: Mapping[Measured, Mapping[str, Any]]) -> pa.Table:
    """A table of differences with what is known of their noise, and what is detectable with all of it.

    Args:
        differences: with the schema `EVALUATION_DIFFERENCES`, or with further columns before it.
        noise: by measure, some of `NOISE_COLUMNS`; what is in the table already stays.
    """
    rows = differences.to_pylist()
    for row in rows:
        row |= noise.get(Measured(row["task"], row["metric"], row["filter"]), {})
        further = [row[name] for name in ("error_seeds", "error_checkpoints") if row[name] is not None]
        if row["error"] is not None and row["mde"] is not None and further:
            row["mde_all"] = detectable_from_error(float(np.sqrt(row["error"] ** 2 + np.square(further).sum())))
    return pa.Table.from_pylist(rows, schema=differences.schema)
