"""Adjusts the p of comparisons over all their tests, and makes the tables of differences and leaks with readings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.evaluations.difference import Difference
from corpus_audit.pipelines.evaluations.read_tables import table_of
from corpus_audit.pipelines.evaluations.wording import reading
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg, holm
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL


def adjust(rows: list[dict[str, Any]], leaks: list[dict[str, Any]]) -> None:
    """Put the adjusted p, as q, into rows of differences and of leaks."""
    p = np.array([row["difference_of"].p for row in rows])
    q = np.full(len(rows), np.nan)
    first = np.array([row["family"] == "primary" for row in rows], dtype=bool)
    q[first], q[~first] = holm(p[first]), benjamini_hochberg(p[~first])
    of_leaks = benjamini_hochberg([row.get("p", float("nan")) for row in leaks])
    for row, adjusted in zip([*rows, *leaks], [*q, *of_leaks], strict=True):
        row["q"] = float(adjusted)


def differences_table(rows: list[dict[str, Any]], names: tuple[str, str]) -> pa.Table:
    """Rows with their readings, primary ones first, with the schema `EVALUATION_DIFFERENCES`."""
    for row in rows:
        difference: Difference = row.pop("difference_of")
        kind, words = reading(difference, row["q"], row["higher_is_better"], names)
        row |= {
            "items": difference.items,
            "clusters": difference.clusters,
            "score_a": difference.score_a,
            "score_b": difference.score_b,
            "difference": difference.value,
            "low": difference.low,
            "high": difference.high,
            "error": difference.error,
            "p": difference.p,
            "mde": difference.mde,
            "method": difference.method,
            "reading": kind,
            "reason": words,
        }
    rows.sort(key=lambda row: (row["family"] != "primary", row["task"], row["metric"], row["filter"]))
    return table_of("evaluation_differences", rows)


def leaks_table(rows: list[dict[str, Any]], name: str) -> pa.Table:
    """Rows with their readings, with the schema `EVALUATION_LEAKS`; ``name`` is that of evaluation a."""
    for row in rows:
        lacking = row.pop("lacking")
        if lacking:
            row |= {"reading": "not enough data", "reason": lacking}
        elif row["q"] <= 1 - LEVEL:
            share = f"{row['leak']:+.4g} of {row['gain']:+.4g}"
            words = f"contaminated items account for {share} (95 %: {row['low']:+.4g} to {row['high']:+.4g})"
            row |= {"reading": "shown", "reason": words}
        else:
            most = max(abs(row["low"]), abs(row["high"]))
            row |= {"reading": "not shown", "reason": f"at most {most:.4g} in either direction (95 %)"}
        if row.get("at_ceiling", 0) >= 0.5:
            row["reason"] += (
                f"; {name} has {100 * row['at_ceiling']:.0f} % of the contaminated items at the highest score already"
            )
    return table_of("evaluation_leaks", rows)
