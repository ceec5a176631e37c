"""What several answers an item tell: where the noise of a score comes from, and chances to pass in k tries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.grouping import Measured, Scores
from corpus_audit.pipelines.statistics.evaluations.noise import noise_parts
from corpus_audit.pipelines.statistics.evaluations.passes import mean_over_tasks, pass_at_k, pass_hat_k
from corpus_audit.schemas.tables.investigation.evaluation_tables import EVALUATION_NOISE, EVALUATION_PASSES

_MOST_TRIES = 10


class Repeats:
    """Collects what measures with several answers an item tell."""

    def __init__(self) -> None:
        self._noise: list[dict[str, Any]] = []
        self._passes: list[dict[str, Any]] = []

    def add(self, side: str, measured: Measured, scores: Scores) -> None:
        """Take the scores of one measure; those with one answer an item tell nothing."""
        if scores.answers.max() < 2:
            return
        row = {"side": side, **measured._asdict()}
        self._noise += _noise(row, scores)
        if np.isin(scores.rows_score, (0.0, 1.0)).all():
            self._passes += _passes(row, scores)

    def tables(self) -> dict[str, pa.Table]:
        """The tables of noise and of passes; empty where no item has several answers."""
        for rows in (self._noise, self._passes):
            rows.sort(key=lambda row: (row["side"], row["task"], row["metric"], row["filter"]))
        return {
            "evaluation_noise": _table(self._noise, EVALUATION_NOISE),
            "evaluation_passes": _table(self._passes, EVALUATION_PASSES),
        }


def _noise(row: dict[str, Any], scores: Scores) -> list[dict[str, Any]]:
    try:
        parts = noise_parts(scores.rows_score, scores.rows_item, scores.rows_seed)
    except ValueError:  # no two items that every seed answered
        return []
    total = parts.mean_items + parts.mean_epochs + (0.0 if np.isnan(parts.mean_seeds) else parts.mean_seeds)
    return [
        row
        | {
            "items": parts.items_used,
            "variance_items": parts.items,
            "variance_epochs": parts.epochs,
            "variance_seeds": parts.seeds,
            "error": float(np.sqrt(total)),
            "error_items": float(np.sqrt(parts.mean_items)),
            "error_epochs": float(np.sqrt(parts.mean_epochs)),
            "error_seeds": float(np.sqrt(parts.mean_seeds)),
        }
    ]


def _passes(row: dict[str, Any], scores: Scores) -> list[dict[str, Any]]:
    passed = np.rint(scores.score * scores.answers)
    rows = []
    for k in range(1, min(int(scores.answers.max()), _MOST_TRIES) + 1):
        for kind, estimates in (
            ("pass@k", pass_at_k(scores.answers, passed, k)),
            ("pass^k", pass_hat_k(scores.answers, passed, k)),
        ):
            estimate = mean_over_tasks(estimates)
            low, high = max(estimate.low, 0.0), min(estimate.high, 1.0)
            figures = {
                "rate": estimate.mean,
                "error": estimate.error,
                "low": low,
                "high": high,
                "items": estimate.items,
            }
            rows.append(row | {"kind": kind, "k": k} | figures)
    return rows


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    cleaned = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(cleaned, schema=schema)
