"""Series of a mixture of experts among those of a run: loads by layer and expert, and measures by layer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from corpus_audit.pipelines.telemetry.segments import RunTelemetry, Series

MOST_VALUES = 100_000_000
"""Steps times experts of a layer that are read."""

_LAYER = re.compile(r"(?<![a-z])(?:layers?|blocks?|blk)[ ._/:\[-]*0*(\d{1,6})", re.IGNORECASE)
_EXPERT = re.compile(r"(?<![a-z])(?:experts?)[ ._/:\[-]*0*(\d{1,6})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LayerSeries:
    """Loads of the experts of a layer, or one measure of it.

    Attributes:
        name: the tag, with the number of the expert as ``*``.
        layer: its number; None if the tag has none.
        experts: numbers of the experts, ascending; empty for a measure.
        step: steps at which all of them were logged, int64 [S].
        values: loads float64 [S, E], or the measure float64 [S, 1].
        left_out: steps at which some are missing.
    """

    name: str
    layer: int | None
    experts: tuple[int, ...]
    step: np.ndarray
    values: np.ndarray
    left_out: int


@dataclass(frozen=True, slots=True)
class ExpertSeries:
    """All series that match, and the tags that are neither loads nor measures, with the reason."""

    layers: tuple[LayerSeries, ...]
    refused: dict[str, str]


def expert_series(telemetry: RunTelemetry, pattern: str) -> ExpertSeries:
    """The series whose tag matches a glob, by the numbers of layer and expert in it (``layer_3/expert_7``)."""
    loads: dict[tuple[str, int | None], dict[int, Series]] = {}
    measures: list[LayerSeries] = []
    refused: dict[str, str] = {}
    for series in telemetry.series:
        if not fnmatchcase(series.tag, pattern):
            continue
        layer, expert = _LAYER.search(series.tag), _EXPERT.search(series.tag)
        number = None if layer is None else int(layer[1])
        if expert is not None:
            name = series.tag[: expert.start(1)].rstrip("0") + "*" + series.tag[expert.end(1) :]
            group = loads.setdefault((name, number), {})
            if int(expert[1]) in group:
                refused[series.tag] = f"expert {int(expert[1])} of this layer has another series"
            else:
                group[int(expert[1])] = series
        elif number is not None:
            rows = series.rows
            measures.append(
                LayerSeries(series.tag, number, (), series.step[rows], series.value[rows].reshape(-1, 1), 0)
            )
        else:
            refused[series.tag] = "the tag has neither a layer nor an expert"
    layers = []
    for (name, number), by_expert in loads.items():
        joined = _joined(name, number, by_expert)
        if isinstance(joined, str):
            refused[name] = joined
        else:
            layers.append(joined)
    ordered = sorted([*layers, *measures], key=lambda each: (each.layer is None, each.layer or 0, each.name))
    return ExpertSeries(tuple(ordered), refused)


def _joined(name: str, layer: int | None, by_expert: dict[int, Series]) -> LayerSeries | str:
    """The loads of a layer at the steps that all experts have, or why there are none."""
    experts = tuple(sorted(by_expert))
    if len(experts) < 2:
        return "one expert says nothing of balance"
    parts: Sequence[tuple[np.ndarray, np.ndarray]] = [
        (by_expert[expert].step[rows], by_expert[expert].value[rows])
        for expert in experts
        for rows in (by_expert[expert].rows,)
    ]
    common, union = parts[0][0], parts[0][0]
    for step, _ in parts[1:]:
        common, union = np.intersect1d(common, step), np.union1d(union, step)
    if len(common) * len(experts) > MOST_VALUES:
        return f"more than {MOST_VALUES:,} values"
    values = np.stack([value[np.searchsorted(step, common)] for step, value in parts], axis=1)
    finite = np.isfinite(values).all(axis=1)
    if (values[finite] < 0).any():
        return "it has negative values, which loads have not"
    return LayerSeries(name, layer, experts, common[finite], values[finite], len(union) - int(finite.sum()))
