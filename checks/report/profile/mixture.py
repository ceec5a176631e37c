"""The shares of a corpus against the mixture that was intended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.report.profile.records import Deviation, MixtureComparison, ShareRow, Unit
from corpus_audit.schemas.tables.run_tables import OTHER_VALUES

TOP_DEVIATIONS = 5
"""Deviations that the summary names."""


def with_intended(
    rows: Sequence[ShareRow], proportions: pa.Table, facet: str, unit: Unit, intended: dict[str, float]
) -> list[ShareRow]:
    """The rows with intended share and difference; a value that is not in the mixture is intended to have 0."""
    selected = pc.and_(pc.equal(proportions["facet"], facet), pc.equal(proportions["unit"], unit))
    figures = {row["value"]: row for row in proportions.filter(selected).to_pylist()}
    not_empty = any(row.amount(unit).count for row in rows)  # shares of nothing differ from nothing
    compared = []
    for row in rows:
        figure = figures.get(OTHER_VALUES if row.folded else row.name, {})
        target = figure.get("intended")
        if target is None:
            target = 0.0 if row.folded else intended.get(row.name, 0.0)
        difference = figure.get("difference")
        if difference is None and not_empty:
            difference = row.amount(unit).share - target
        compared.append(
            replace(
                row,
                intended=target,
                difference=difference,
                difference_low=figure.get("difference_low"),
                difference_high=figure.get("difference_high"),
            )
        )
    return compared


def comparison(rows: Sequence[ShareRow], unit: Unit, metrics: pa.Table) -> MixtureComparison:
    """The corpus against the mixture: rows must have an intended share and a difference."""
    wanted = pc.and_(pc.equal(metrics["metric"], f"mixture_tvd_{unit}"), pc.equal(metrics["slice"], "all"))
    distance: dict[str, Any] = next(iter(metrics.filter(wanted).to_pylist()), {})
    not_empty = any(row.amount(unit).count for row in rows)
    if distance.get("value") is None and not_empty:
        distance = {"value": sum(abs(row.difference or 0.0) for row in rows) / 2}
    bounded = [row for row in rows if row.difference_low is not None and row.difference_high is not None]
    named = [row for row in rows if not row.folded]
    largest = sorted(named, key=lambda row: (-abs(row.difference or 0.0), row.name))[:TOP_DEVIATIONS]
    unplanned = [row for row in rows if not row.intended and row.amount(unit).count]
    return MixtureComparison(
        unit,
        distance.get("value"),
        distance.get("low"),
        distance.get("high"),
        tuple(
            Deviation(
                row.name,
                row.amount(unit).share,
                row.intended or 0.0,
                row.difference or 0.0,
                row.difference_low,
                row.difference_high,
            )
            for row in largest
            if row.difference
        ),
        sum(1 for row in bounded if not (row.difference_low or 0.0) <= 0.0 <= (row.difference_high or 0.0)),
        len(bounded),
        tuple(
            row.name for row in named if row.intended and not (row.amount(unit) if not_empty else row.documents).count
        ),
        tuple(row.name for row in unplanned if not row.folded),
        sum(row.amount(unit).share for row in unplanned),
    )
