"""The balance of a run's experts by layer: measures, dead experts, level shifts, and what goes with the mixture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from corpus_audit.checks.representations.expert_series import LayerSeries, expert_series
from corpus_audit.pipelines.sampling.log.mixture_by_step import StepMixture
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate
from corpus_audit.pipelines.statistics.telemetry.expert_balance import (
    ExpertBalance,
    MixtureEffect,
    expert_balance,
    mixture_effect,
)
from corpus_audit.pipelines.statistics.telemetry.level_shifts import WindowShift, windowed_shifts
from corpus_audit.pipelines.statistics.telemetry.spikes import local_scores, spike_threshold
from corpus_audit.pipelines.telemetry.segments import RunTelemetry

RECENT = 0.1
"""Share of the steps, the last ones, over which a layer is described and an expert without tokens is dead."""

AROUND = 100
"""Steps on either side of a shift whose mixtures are compared."""


@dataclass(frozen=True, slots=True)
class ShiftOfBalance:
    """A tested window: its shift, q, and the shift that the change of the mixture lets expect, if it is known."""

    window: WindowShift
    q: float
    mixture: Estimate | None


@dataclass(frozen=True, slots=True)
class LayerAnalysis:
    """A layer.

    Attributes:
        series: its loads, or its measure.
        tested: what is tested for shifts: the violation, or the measure, float64 [S].
        balance: of the loads; None for a measure.
        dead: numbers of experts without a token in the last steps.
        least: smallest load over the mean one in the last steps; None for a measure.
        shifts: of all its windows.
        effect: how it moves with the mixture; None where that is not known.
        effect_q: Benjamini-Hochberg over the layers.
    """

    series: LayerSeries
    tested: np.ndarray
    balance: ExpertBalance | None
    dead: tuple[int, ...]
    least: float | None
    shifts: tuple[ShiftOfBalance, ...] = ()
    effect: MixtureEffect | None = None
    effect_q: float = float("nan")


@dataclass(frozen=True, slots=True)
class ExpertAnalysis:
    """The layers of a run.

    Attributes:
        run: its id.
        pattern: of the tags.
        layers: by number.
        refused: tags that are neither loads nor measures, with the reason.
        domains: of the mixture; empty without one.
        no_mixture: why the mixture is not known; empty if it is.
    """

    run: str
    pattern: str
    layers: tuple[LayerAnalysis, ...]
    refused: dict[str, str]
    domains: tuple[str, ...]
    no_mixture: str


def analyse_experts(
    run: str, telemetry: RunTelemetry, pattern: str, mixture: StepMixture | None, offset: int, no_mixture: str
) -> ExpertAnalysis:
    """Analyse the layers whose series match a glob.

    Args:
        run: id of the run.
        telemetry: of the run.
        pattern: of the tags.
        mixture: what was drawn at every step of the log; None where that is not known.
        offset: step of the run minus step of the log.
        no_mixture: why it is not known.
    """
    read = expert_series(telemetry, pattern)
    layers = [_layer(each) for each in read.layers]
    if mixture is not None:
        layers = [_with_mixture(each, mixture, offset) for each in layers]
    shifts = iter(benjamini_hochberg([s.window.shift.p for each in layers for s in each.shifts]).tolist())
    effects = benjamini_hochberg([np.nan if each.effect is None else each.effect.p for each in layers]).tolist()
    layers = [
        replace(each, shifts=tuple(replace(shift, q=next(shifts)) for shift in each.shifts), effect_q=q)
        for each, q in zip(layers, effects, strict=True)
    ]
    domains = () if mixture is None else mixture.domains
    return ExpertAnalysis(run, pattern, tuple(layers), read.refused, domains, "" if mixture is not None else no_mixture)


def _layer(series: LayerSeries) -> LayerAnalysis:
    if not series.experts:
        return _shifted(LayerAnalysis(series, series.values[:, 0], None, (), None))
    balance = expert_balance(series.values)
    recent = series.values[_recent(len(series.step))].sum(axis=0)
    dead = tuple(expert for expert, load in zip(series.experts, recent.tolist(), strict=True) if load == 0)
    least = float(recent.min() / recent.mean()) if len(recent) and recent.sum() > 0 else None
    return _shifted(LayerAnalysis(series, balance.violation, balance, dead if least is not None else (), least))


def _recent(points: int) -> slice:
    return slice(points - max(int(RECENT * points), 1), None)


def _shifted(layer: LayerAnalysis) -> LayerAnalysis:
    scores = local_scores(layer.tested)
    with np.errstate(invalid="ignore"):
        calm = np.where(np.abs(scores.z) > spike_threshold(scores.z), scores.median, layer.tested)
    windows = windowed_shifts(layer.series.step, calm)
    return replace(layer, shifts=tuple(ShiftOfBalance(window, float("nan"), None) for window in windows))


def _with_mixture(layer: LayerAnalysis, mixture: StepMixture, offset: int) -> LayerAnalysis:
    steps = mixture.step + offset
    at = np.minimum(np.searchsorted(steps, layer.series.step), len(steps) - 1)
    both = steps[at] == layer.series.step
    shares = mixture.shares[at[both]]
    effect = mixture_effect(layer.tested[both], shares)
    if effect is None:
        return layer
    position = np.cumsum(both) - 1
    shifts = []
    for shift in layer.shifts:
        here = int(position[shift.window.position])
        before, after = shares[max(here - AROUND, 0) : here], shares[here : here + AROUND]
        expected = None
        if len(before) and len(after):
            expected = effect.change(before.mean(axis=0), after.mean(axis=0))
        shifts.append(replace(shift, mixture=expected))
    return replace(layer, shifts=tuple(shifts), effect=effect)
