"""Findings about the balance of a mixture of experts, from series that a training run logged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from corpus_audit.checks.representations.expert_analysis import (
    RECENT,
    ExpertAnalysis,
    LayerAnalysis,
    ShiftOfBalance,
)
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.pipelines.statistics.telemetry.level_shifts import LEAST_POINTS
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, FindingWindow, Reading, State
from corpus_audit.schemas.spec.investigation import Event
from corpus_audit.schemas.tables.investigation.representation_tables import EXPERT_TABLES

LEVEL = 0.05

MOST_LAYERS = 20
"""Layers with a shift that are findings of their own, the largest shifts; the table has all."""

_PART = 0.5  # of a shift, below which the change of the mixture does not explain it
_NEAR = 50  # points around a shift in which events are named
_VIOLATION = "largest load over the mean - 1"


def expert_findings(
    analysis: ExpertAnalysis, events: Sequence[Event], windows: Sequence[tuple[int, int]] = ()
) -> list[Finding]:
    """``now.experts``, ``now.experts.dead``, ``now.experts.shift.LAYER.STEP``, ``now.experts.mixture``.

    Args:
        analysis: of a run.
        events: what is known to have happened to it.
        windows: steps that shifts are limited to; none is all.
    """
    name = analysis.run
    if not analysis.layers:
        reasons = "; ".join(f"{tag}: {why}" for tag, why in list(analysis.refused.items())[:3])
        why = f"no series that matches {analysis.pattern!r} is a load of an expert or a measure of a layer"
        return [
            Finding(
                id=f"{name}.experts", bucket="representations", reading=Reading.NOT_ENOUGH,
                question=f"How evenly are the experts of {name} used?", claim="this could not be tested",
                detail=why + (f" ({reasons})" if reasons else ""),
            )
        ]  # fmt: skip
    return [*_dead(analysis), *_shifts(analysis, events, windows), *_mixture(analysis)]


def _label(layer: LayerAnalysis) -> str:
    number = layer.series.layer
    what = "" if layer.series.experts else f" ({layer.series.name})"
    return (layer.series.name if number is None else f"layer {number}") + (what if number is not None else "")


def _excluded(analysis: ExpertAnalysis) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for why in analysis.refused.values():
        reasons[f"series: {why}"] = reasons.get(f"series: {why}", 0) + 1
    return reasons


def _dead(analysis: ExpertAnalysis) -> list[Finding]:
    layers = [each for each in analysis.layers if each.balance is not None and each.least is not None]
    if not layers:
        return []
    name = analysis.run
    dead = [each for each in layers if each.dead]
    experts = sum(len(each.series.experts) for each in layers)
    count = sum(len(each.dead) for each in dead)
    worst = max(layers, key=_recent_violation)
    times = f"{1 + _recent_violation(worst):.3g} times the mean load"
    busiest = f"{_label(worst)} is the least balanced: its busiest expert has {times}"
    listed = "; ".join(f"{_label(each)}: {', '.join(map(str, each.dead[:8]))}" for each in dead[:8])
    least = min(layers, key=lambda each: each.least or 0.0)
    claim = f"{plural(count, 'expert')} of {name} are sent no token in the last tenth of its steps: {listed}"
    return [
        Finding(
            id=f"{name}.experts.dead",
            bucket="representations",
            question=f"Are experts of {name} dead?",
            claim=claim if dead else f"experts of {name} are sent no token in the last tenth of its steps",
            reading=Reading.SHOWN if dead else Reading.NOT_SHOWN,
            detail=busiest
            if dead
            else f"at most 0: the least load is {least.least:.3g} of the mean, in {_label(least)}; {busiest}",
            effect=Effect(value=float(count), unit="experts"),
            n=experts,
            excluded=_excluded(analysis),
            test=f"load of every expert over the last {RECENT:.0%} of the logged steps, all layers",
            limits=("steps that were not logged are not seen",),
        )
    ]


def _recent_violation(layer: LayerAnalysis) -> float:
    return _median(layer.balance.violation, last=True) if layer.balance is not None else 0.0


def _median(values: np.ndarray, last: bool) -> float:
    count = max(int(RECENT * len(values)), 1)
    part = values[-count:] if last else values[:count]
    part = part[np.isfinite(part)]
    return float(np.median(part)) if len(part) else float("nan")


def _shifts(analysis: ExpertAnalysis, events: Sequence[Event], windows: Sequence[tuple[int, int]]) -> list[Finding]:
    name = analysis.run
    tested = [
        (layer, shift)
        for layer in analysis.layers
        for shift in layer.shifts
        if not windows or any(a <= layer.series.step[shift.window.position] <= b for a, b in windows)
    ]
    shown = sorted((pair for pair in tested if pair[1].q <= LEVEL), key=lambda pair: -abs(pair[1].window.shift.size))
    question = f"Did the balance of the experts of {name} shift?"
    claim = f"the balance of the experts of {name} shifts"
    if not tested:
        why = f"no stretch of at least {LEAST_POINTS} points after the first tenth" + (
            ", in windows" if windows else ""
        )
        return [
            Finding(
                id=f"{name}.experts.shifts", bucket="representations", question=question, claim=claim,
                reading=Reading.NOT_ENOUGH, detail=why, excluded=_excluded(analysis),
            )
        ]  # fmt: skip
    if shown:
        return [_shift(analysis, layer, shift, question, events, len(tested)) for layer, shift in shown[:MOST_LAYERS]]
    layer, top = max(tested, key=lambda pair: max(abs(pair[1].window.shift.low), abs(pair[1].window.shift.high)))
    bound = max(abs(top.window.shift.low), abs(top.window.shift.high))
    return [
        Finding(
            id=f"{name}.experts.shifts",
            bucket="representations",
            question=question,
            claim=claim,
            reading=Reading.NOT_SHOWN,
            detail=f"at most {bound:.2g} in any of {plural(len(tested), 'window')}: {_what(layer)} of {_label(layer)}",
            n=sum(each.window.shift.n for _, each in tested),
            excluded=_excluded(analysis),
            test=_SHIFT_TEST,
            p=min(each.window.shift.p for _, each in tested),
            q=min(each.q for _, each in tested),
            family=f"balance of experts, {plural(len(tested), 'window')}",
            limits=_SHIFT_LIMITS,
        )
    ]


_SHIFT_TEST = (
    "largest t statistic of a step on a smooth trend, prewhitened, of every layer; Benjamini-Hochberg over layers and "
    "windows"
)
_SHIFT_LIMITS = ("the first tenth of the steps is not tested",)


def _what(layer: LayerAnalysis) -> str:
    return _VIOLATION if layer.series.experts else "measure"


def _shift(
    analysis: ExpertAnalysis,
    layer: LayerAnalysis,
    shift: ShiftOfBalance,
    question: str,
    events: Sequence[Event],
    windows: int,
) -> Finding:
    window, steps = shift.window, layer.series.step
    step = int(steps[window.position])
    size = window.shift.size
    number = layer.series.name if layer.series.layer is None else layer.series.layer
    own = "" if layer.series.experts else f".{layer.series.name}"
    usual = float(np.median(np.diff(steps))) if len(steps) > 1 else 1.0
    near = [event for event in events if abs(event.step - step) <= _NEAR * max(usual, 1.0)]
    return Finding(
        id=f"{analysis.run}.experts.shift.{number}{own}.{step}",
        bucket="representations",
        question=question,
        claim=(
            f"the {_what(layer)} of {_label(layer)} of {analysis.run} shifts by {size:+.3g} at about step "
            f"{grouped(step)}"
        ),
        reading=Reading.SHOWN,
        effect=Effect(value=size, unit="times the mean load" if layer.series.experts else "as logged",
                      low=window.shift.low, high=window.shift.high),
        n=window.shift.n,
        excluded={"steps at which some experts are missing": layer.series.left_out} if layer.series.left_out else {},
        test=_SHIFT_TEST,
        p=window.shift.p,
        q=shift.q,
        family=f"balance of experts, {plural(windows, 'window')}",
        window=FindingWindow(run=analysis.run, first=int(steps[window.start]), last=int(steps[window.stop - 1])),
        explanations=(
            _by_mixture(analysis, shift),
            *(
                Explanation(
                    what=event.what, state=State.NOT_RULED_OUT,
                    figure=f"at step {grouped(event.step)}, {plural(abs(step - event.step), 'step')} away",
                )
                for event in near
            ),
        ),
        limits=_SHIFT_LIMITS,
    )  # fmt: skip


def _by_mixture(analysis: ExpertAnalysis, shift: ShiftOfBalance) -> Explanation:
    """Whether the change of what was drawn there explains a shift."""
    what = "a change of the mixture that was drawn"
    expected, size = shift.mixture, shift.window.shift.size
    if expected is None:
        why = analysis.no_mixture or "the log has too few steps that were logged here too"
        return Explanation(what=what, state=State.UNTESTED, figure=why)
    figure = (
        f"it lets expect {expected.value:+.3g} ({expected.low:+.3g} to {expected.high:+.3g}) of {size:+.3g}, by how "
        "the layer moves with the mixture from step to step"
    )
    most = max(expected.high * np.sign(size), expected.low * np.sign(size))
    if most < _PART * abs(size):
        return Explanation(what=f"{what}, which explains half of it or more", state=State.RULED_OUT, figure=figure)
    return Explanation(what=what, state=State.NOT_RULED_OUT, figure=figure)


def _mixture(analysis: ExpertAnalysis) -> list[Finding]:
    """Whether the balance moves with the mixture, so that it has to be compared at the same one."""
    name = analysis.run
    layers = [each for each in analysis.layers if each.effect is not None]
    finding = Finding(
        id=f"{name}.experts.mixture",
        bucket="representations",
        question=f"Does the balance of the experts of {name} move with the mixture that was drawn?",
        claim=f"the balance of the experts of {name} moves with the mixture that was drawn",
        reading=Reading.NOT_ENOUGH,
        detail=analysis.no_mixture or "too few steps are in the sampler's log and in the series",
        family=f"balance of experts and mixture, {plural(len(layers), 'layer')}",
    )
    if not layers:
        return [finding]
    top = min(layers, key=lambda each: (each.effect.p, -each.effect.explained) if each.effect else (1.0, 0.0))
    effect = top.effect
    assert effect is not None
    order = np.argsort(effect.slopes)
    low, high = (analysis.domains[int(order[i])] for i in (0, -1))
    change = float(effect.slopes[order[-1]] - effect.slopes[order[0]]) / 10
    facts: dict[str, object] = {
        "effect": Effect(value=effect.explained, unit="share of the variance from step to step"),
        "n": effect.steps,
        "test": "regression on the shares of domains, deviations from local medians of both; p by circular shifts; "
        "Benjamini-Hochberg over layers",
        "p": effect.p,
        "q": top.effect_q,
        "limits": ("a mixture that changes slowly is in the local medians, and is not part of this",),
    }
    where = f"{_label(top)}: {effect.explained:.1%} of its variance from step to step"
    if top.effect_q > LEVEL:
        most = max(layers, key=lambda each: each.effect.explained if each.effect else 0.0)
        bound = most.effect.explained if most.effect else 0.0
        detail = f"at most {bound:.1%} of the variance of a layer, {_label(most)}"
        return [finding.model_copy(update=facts | {"reading": Reading.NOT_SHOWN, "detail": detail})]
    detail = f"{where}; 10 points more of {high} in place of {low} change its {_what(top)} by {change:+.3g}"
    return [finding.model_copy(update=facts | {"reading": Reading.SHOWN, "detail": detail})]


def expert_tables(analysis: ExpertAnalysis) -> Iterator[tuple[str, pa.Table]]:
    """(name, table) with the schemas `EXPERT_TABLES`."""
    rows: list[dict[str, object]] = []
    shifts: list[dict[str, object]] = []
    for layer in analysis.layers:
        here: dict[str, object] = {
            "run": analysis.run,
            "series": layer.series.name,
            "layer": layer.series.layer,
        }
        row = here | {
            "experts": len(layer.series.experts), "points": len(layer.series.step), "left_out": layer.series.left_out,
        }  # fmt: skip
        if layer.balance is not None:
            balance = layer.balance
            row |= {"violation_first": _number(_median(balance.violation, last=False)), "dead": len(layer.dead)}
            for measure in ("violation", "variation", "entropy"):
                row[measure] = _number(_median(getattr(balance, measure), last=True))
        if layer.effect is not None:
            row |= {"explained": layer.effect.explained, "explained_p": layer.effect.p, "explained_q": layer.effect_q}
        rows.append(row)
        steps = layer.series.step
        for each in layer.shifts:
            window, expected = each.window, each.mixture
            shifts.append(
                here | {
                    "first_step": int(steps[window.start]), "last_step": int(steps[window.stop - 1]),
                    "step": int(steps[window.position]), "size": window.shift.size, "low": window.shift.low,
                    "high": window.shift.high, "p": window.shift.p, "q": each.q,
                    "mixture": None if expected is None else expected.value,
                    "mixture_low": None if expected is None else expected.low,
                    "mixture_high": None if expected is None else expected.high,
                }
            )  # fmt: skip
    yield "expert_layers", pa.Table.from_pylist(rows, EXPERT_TABLES["expert_layers"])
    yield "expert_shifts", pa.Table.from_pylist(shifts, EXPERT_TABLES["expert_shifts"])


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
