"""Findings about lasting changes: level shifts of the loss, divergence, and the speed of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from corpus_audit.checks.investigation.log_findings import not_enough
from corpus_audit.checks.investigation.run_analysis import RATES, RunAnalysis
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.telemetry.interruptions import LEAST_POINTS as LEAST_FOR_DIVERGENCE
from corpus_audit.pipelines.statistics.telemetry.level_shifts import LEAST_POINTS, WindowShift
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, FindingWindow, Reading, State

LEVEL = 0.05
"""Share of false findings among the level shifts that are called shown."""

_NAMES = {Quantity.STEP_TIME: "time of a step", Quantity.THROUGHPUT: "throughput"}


def adjusted(runs: Mapping[str, RunAnalysis]) -> dict[str, list[float]]:
    """q of every tested window of every run: one family of all windows."""
    q = iter(benjamini_hochberg([window.shift.p for run in runs.values() for window in run.shifts]).tolist())
    return {name: [next(q) for _ in run.shifts] for name, run in runs.items()}


NO_LOG = "no log of the sampler is part of the investigation"


def change_findings(
    run: RunAnalysis, q: Sequence[float], windows: Sequence[tuple[int, int]], data: str = NO_LOG
) -> list[Finding]:
    """Level shifts, divergence and speed of one run.

    Args:
        run: the run.
        q: of its windows.
        windows: steps that shifts are limited to; none is all.
        data: why a change of the data was not tested as an explanation of shifts.
    """
    return [*_shifts(run, q, windows, data), _divergence(run), *_speed(run)]


def _shifts(run: RunAnalysis, q: Sequence[float], windows: Sequence[tuple[int, int]], data: str) -> list[Finding]:
    name, loss = run.spec.id, run.loss
    question = f"Did the level of the loss of {name} shift?"
    if loss is None or not run.shifts:
        why = f"no stretch of at least {LEAST_POINTS} points after the first tenth"
        return [not_enough(run, "shifts", question, why)]
    within = [
        (window, value)
        for window, value in zip(run.shifts, q, strict=True)
        if not windows or any(a <= loss.step[window.position] <= b for a, b in windows)
    ]
    shown = [(window, value) for window, value in within if value <= LEVEL]
    family = f"level shifts of the loss, {plural(len(run.shifts), 'window')} of this run"
    test = "largest t statistic of a step on a smooth trend, prewhitened; Benjamini-Hochberg over all windows"
    if not shown:
        bound = max((max(abs(w.shift.low), abs(w.shift.high)) for w, _ in within), default=0.0)
        return [
            Finding(
                id=f"{name}.shifts", bucket="training", question=question,
                claim=f"the level of the loss of {name} did not shift", reading=Reading.NOT_SHOWN,
                detail=f"at most {bound:.2g} in any of {plural(len(within), 'window')}",
                n=sum(w.shift.n for w, _ in within), test=test, family=family,
                p=min((w.shift.p for w, _ in within), default=None), q=min((v for _, v in within), default=None),
                limits=("the first tenth of the steps, where a loss falls fast, is not tested",),
            )
        ]  # fmt: skip
    return [_shift(run, window, value, question, test, family, data) for window, value in shown]


def _shift(
    run: RunAnalysis, window: WindowShift, q: float, question: str, test: str, family: str, data: str
) -> Finding:
    loss = run.loss
    assert loss is not None
    shift, step = window.shift, int(loss.step[window.position])
    rate = run.curves.get(Quantity.LEARNING_RATE)
    explanation = Explanation(
        what="a change of the learning rate", state=State.UNTESTED, figure="no learning rate is logged in the window"
    )
    if rate is not None:
        near = rate.value[np.abs(rate.step - step) <= 50 * max(run.usual_distance, 1)]
        near = near[np.isfinite(near) & (near > 0)]
        if len(near) > 1:
            state = State.RULED_OUT if near.max() / near.min() < 1.5 else State.NOT_RULED_OUT
            figure = f"{near.min():.3g} to {near.max():.3g} within 50 points"
            explanation = Explanation(what="a change of the learning rate", state=state, figure=figure)
    return Finding(
        id=f"{run.spec.id}.shift.{step}",
        bucket="training",
        question=question,
        claim=f"the loss of {run.spec.id} shifts by {shift.size:+.3g} at about step {grouped(step)}",
        reading=Reading.SHOWN,
        effect=Effect(value=shift.size, unit="nats per token", low=shift.low, high=shift.high),
        n=shift.n,
        test=test,
        p=shift.p,
        q=q,
        family=family,
        window=FindingWindow(
            run=run.spec.id, first=int(loss.step[window.start]), last=int(loss.step[window.stop - 1])
        ),
        explanations=(
            explanation,
            Explanation(
                what="a change of the data", state=State.UNTESTED,
                figure=data,
            ),
        ),
        evidence=(run.evidence(loss, window.position),),
        limits=("the step is the one that fits best; the interval is of all steps that fit about as well",),
    )  # fmt: skip


def _divergence(run: RunAnalysis) -> Finding:
    name, loss, last_rise = run.spec.id, run.loss, run.divergence
    question = f"Did the loss of {name} diverge?"
    finite = 0 if loss is None else int(np.isfinite(loss.value).sum())
    if loss is None or finite < LEAST_FOR_DIVERGENCE:
        why = f"{plural(finite, 'point')}; at least {LEAST_FOR_DIVERGENCE} are needed"
        return not_enough(run, "divergence", question, why)
    test = "smoothed loss of the end against its lowest: six standard deviations and 2 %"
    if last_rise is None:
        return Finding(
            id=f"{name}.divergence", bucket="training", question=question,
            claim=f"the loss of {name} did not rise for good", reading=Reading.NOT_SHOWN,
            detail="at its end it is within six standard deviations or 2 % of its lowest", n=finite, test=test,
            excluded={"not a number": len(loss.step) - finite},
        )  # fmt: skip
    margin = 1.959964 * last_rise.noise
    return Finding(
        id=f"{name}.divergence",
        bucket="training",
        question=question,
        claim=(
            f"the loss of {name} rose from {last_rise.lowest:.4g} to {last_rise.level:.4g} from step "
            f"{grouped(int(loss.step[last_rise.first]))} on and did not return"
        ),
        reading=Reading.SHOWN,
        effect=Effect(
            value=last_rise.rise, unit="nats per token", low=last_rise.rise - margin, high=last_rise.rise + margin
        ),
        n=finite,
        excluded={"not a number": len(loss.step) - finite},
        test=test,
        window=FindingWindow(run=name, first=int(loss.step[last_rise.first]), last=int(loss.step[-1])),
        evidence=(run.evidence(loss, last_rise.first),),
    )


def _speed(run: RunAnalysis) -> list[Finding]:
    findings = []
    for quantity in RATES:
        if quantity not in run.rates:
            continue
        curve = run.curves[quantity]
        changes, tests = run.rates[quantity]
        name, what = run.spec.id, _NAMES[quantity]
        question = f"Did the {what} of {name} change?"
        positive = curve.value[np.isfinite(curve.value) & (curve.value > 0)]
        if not tests:
            why = f"{plural(len(positive), 'positive value')}; at least {LEAST_POINTS} are needed"
            findings.append(not_enough(run, quantity.value, question, why))
            continue
        usual = float(np.median(positive))
        unit = "s" if quantity is Quantity.STEP_TIME else "tokens/s"
        level = f"{usual:.4g} {unit} in the median" + _flops(run, quantity, usual)
        steps = ", ".join(
            f"by {change.ratio - 1:+.0%} [{change.low - 1:+.0%}, {change.high - 1:+.0%}] at step "
            f"{grouped(int(curve.step[change.position]))}"
            for change in changes[:5]
        )
        least = min((change.p for change in changes), default=None)
        largest = max(changes, key=lambda change: abs(np.log(change.ratio)), default=None)
        findings.append(
            Finding(
                id=f"{name}.{quantity.value}",
                bucket="training",
                question=question,
                claim=f"the {what} of {name} changed {steps}" if changes else f"the {what} of {name} did not change",
                reading=Reading.SHOWN if changes else Reading.NOT_SHOWN,
                detail=level if changes else f"by at most 5 %, or not beyond chance; {level}",
                effect=(
                    Effect(value=largest.ratio, unit="ratio", low=largest.low, high=largest.high) if largest else None
                ),
                n=len(positive),
                excluded={"not positive": len(curve.value) - len(positive)},
                test=f"binary segmentation of logarithms, {plural(tests, 'test')} at 1 % in all (Bonferroni)",
                p=least,
                q=None if least is None else min(least * tests, 1.0),
                family=f"{what} of {name}, {plural(tests, 'test')}",
                evidence=tuple(run.evidence(curve, change.position) for change in changes[:10]),
            )
        )
    return findings


def _flops(run: RunAnalysis, quantity: Quantity, usual: float) -> str:
    """Floating-point operations a second, at 6 for each parameter and token (Kaplan et al. 2020)."""
    parameters, batch = run.spec.parameters, run.spec.tokens_per_step
    if parameters is None or quantity is not Quantity.STEP_TIME or batch is None:
        return ""
    return f", {batch / usual:.3g} tokens/s, {6 * parameters * batch / usual:.2g} FLOP/s"
