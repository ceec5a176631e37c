"""Findings about spikes of the loss: their kind, and what else could explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from corpus_audit.checks.investigation.log_findings import not_enough
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.twin_findings import Twin
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.pipelines.statistics.telemetry.spikes import LEAD, LEAST_POINTS, Spike, SpikeKind, crossings
from corpus_audit.pipelines.statistics.telemetry.twins import SAME_ORDER, InTwin, in_twin
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, FindingWindow, Reading, State
from corpus_audit.schemas.spec.investigation import Event

MOST_SPIKES = 50
"""Spikes that are findings of their own, the highest; the table has all."""

_QUANTILE = 1.959964

_FAR = 1.5
"""Times the largest dip of a run that a spike must reach for chance to be ruled out."""

NO_LOG = Explanation(
    what="what the documents of these steps are",
    state=State.UNTESTED,
    figure="no log of the sampler is part of the investigation",
)
"""The explanation by documents where there is no log of them."""

CHANCE = "chance"
INSTABILITY = "an instability that began before this step"
LEARNING_RATE = "a change of the learning rate"
"""Competing explanations that two runs of one recipe can have in common."""

_TEST = "robust score against the median of 50 points on either side, the point left out"


def spikes_within(run: RunAnalysis, windows: Sequence[tuple[int, int]]) -> list[Spike]:
    """Spikes of the loss that peak in one of the windows, the highest first; without windows all of them."""
    loss = run.loss
    if loss is None:
        return []
    spikes = [s for s in run.spikes if not windows or any(a <= loss.step[s.peak] <= b for a, b in windows)]
    return sorted(spikes, key=lambda spike: -spike.z)


def spike_findings(
    run: RunAnalysis,
    twins: Sequence[Twin],
    events: Sequence[Event],
    windows: Sequence[tuple[int, int]],
    documents: Mapping[int, Explanation] | None = None,
) -> list[Finding]:
    """A finding a spike, or one that says that there is none.

    Args:
        run: the run.
        twins: its twins.
        events: what is known to have happened to it.
        windows: steps that findings are limited to; none is all.
        documents: by step of the peak, what the documents before it explain.
    """
    question = f"Does the loss of {run.spec.id} spike?"
    loss, scores = run.loss, run.scores
    if loss is None or scores is None or int(np.isfinite(scores.z).sum()) < LEAST_POINTS:
        n = 0 if loss is None else len(loss.step)
        return [not_enough(run, "spikes", question, f"{plural(n, 'point')}; at least {LEAST_POINTS} are needed")]
    spikes = spikes_within(run, windows)
    if not spikes:
        return [_none(run, question)]
    return [
        _finding(run, spike, question, len(spikes), twins, events, documents or {}) for spike in spikes[:MOST_SPIKES]
    ]


def _none(run: RunAnalysis, question: str) -> Finding:
    loss, scores = run.loss, run.scores
    assert loss is not None and scores is not None
    top = int(np.nanargmax(scores.z))
    rise = float(loss.value[top] - scores.median[top])
    usable = int(np.isfinite(scores.z).sum())
    return Finding(
        id=f"{run.spec.id}.spikes",
        bucket="training",
        question=question,
        claim=f"the loss of {run.spec.id} has no spike",
        reading=Reading.NOT_SHOWN,
        detail=(
            f"at most {rise:.3g} above the local median, {scores.z[top]:.1f} robust standard deviations, at step "
            f"{grouped(int(loss.step[top]))}; spikes begin at {run.threshold:g}"
        ),
        effect=Effect(value=rise, unit=_unit(run)),
        n=usable,
        excluded={"not a number, or without local scatter": len(loss.step) - usable},
        test=_TEST,
        evidence=(run.evidence(loss, top),),
    )


def _finding(
    run: RunAnalysis,
    spike: Spike,
    question: str,
    count: int,
    twins: Sequence[Twin],
    events: Sequence[Event],
    documents: Mapping[int, Explanation],
) -> Finding:
    loss, scores = run.loss, run.scores
    assert loss is not None and scores is not None
    name, step = run.spec.id, int(loss.step[spike.peak])
    margin = _QUANTILE * float(scores.scale[spike.peak])
    at = f", after {step * run.spec.tokens_per_step:.3g} tokens" if run.spec.tokens_per_step else ""
    limits = [] if count <= MOST_SPIKES else [f"{count - MOST_SPIKES} further spikes are in the table only"]
    if run.summed:
        limits.append("the loss is too large for a mean per token: it may be a sum, and its unit is unknown")
    return Finding(
        id=f"{name}.spike.{step}",
        bucket="training",
        question=question,
        claim=(
            f"the loss of {name} rises by {spike.rise:.3g} to {loss.value[spike.peak]:.4g} at step "
            f"{grouped(step)}{at}: {_KINDS[spike.kind]}"
        ),
        reading=Reading.SHOWN,
        effect=Effect(value=spike.rise, unit=_unit(run), low=spike.rise - margin, high=spike.rise + margin),
        n=int(np.isfinite(scores.z).sum()),
        test=f"{_TEST}; above {run.threshold:g} ({spike.z:.1f} here)",
        window=FindingWindow(run=name, first=int(loss.step[spike.first]), last=int(loss.step[spike.last])),
        explanations=(
            *_twin_explanations(spike, step, twins),
            _chance(run, spike),
            _gradient(spike),
            _learning_rate(run, step),
            _resume(run, spike),
            *_events(run, step, events),
            documents.get(step, NO_LOG),
        ),
        evidence=tuple(run.evidence(loss, i) for i in range(spike.first, min(spike.last, spike.first + 9) + 1)),
        limits=tuple(limits),
    )  # fmt: skip


_KINDS = {
    SpikeKind.BATCH_OUTLIER: "a batch outlier, of one or two points with a gradient norm as usual before",
    SpikeKind.INSTABILITY: "an instability, as the gradient norm rose before the loss did",
    SpikeKind.UNDETERMINED: "of undetermined kind",
}


def _unit(run: RunAnalysis) -> str:
    return "as logged" if run.summed else "nats per token"


def _twin_explanations(spike: Spike, step: int, twins: Sequence[Twin]) -> list[Explanation]:
    batch = "the batch of this step"
    if not twins:
        return [Explanation(what=batch, state=State.UNTESTED, figure="no run with the same order of the data is named")]
    results = []
    for twin in twins:
        comparison = twin.comparison
        if comparison is None or twin.other.scores is None or twin.other.loss is None:
            figure = f"{twin.other.spec.id} has too few steps in common"
            results.append(Explanation(what=batch, state=State.UNTESTED, figure=figure))
            continue
        if comparison.low <= SAME_ORDER:
            figure = f"{twin.other.spec.id} does not share the order: correlation {comparison.correlation:.3f}"
            results.append(Explanation(what=batch, state=State.UNTESTED, figure=figure))
            continue
        presence, z = in_twin(step, twin.threshold, twin.other.loss.step, twin.other.scores)
        expected = comparison.slope * spike.rise
        figure = (
            f"{twin.other.spec.id} drew the same batch (correlation {comparison.correlation:.3f}) and scores {z:.1f} "
            f"at this step; a batch that explains the rise would raise its loss by about {expected:.2g}"
        )
        states = {
            InTwin.ABSENT: (f"{batch} alone", State.RULED_OUT),
            InTwin.PRESENT: (batch, State.NOT_RULED_OUT),
            InTwin.UNCLEAR: (batch, State.NOT_RULED_OUT),
        }
        if presence is InTwin.NOT_LOGGED:
            figure = f"{twin.other.spec.id} has no number at this step"
        what, state = states.get(presence, (batch, State.UNTESTED))
        results.append(Explanation(what=what, state=state, figure=figure))
        if presence is InTwin.PRESENT:
            only = "something that only this run met, such as its hardware"
            figure = f"{twin.other.spec.id} has the spike too (score {z:.1f})"
            results.append(Explanation(what=only, state=State.RULED_OUT, figure=figure))
    return results


def _chance(run: RunAnalysis, spike: Spike) -> Explanation:
    """Scatter that is as large upwards as downwards: the largest dip of the run says how large it is."""
    assert run.scores is not None
    up, down = crossings(run.scores.z, run.threshold)
    dip = max(-float(np.nanmin(run.scores.z)), 0.0)
    state = State.RULED_OUT if down == 0 and spike.z > _FAR * dip else State.NOT_RULED_OUT
    figure = (
        f"{plural(up, 'point')} above {run.threshold:g} and {grouped(down)} below {-run.threshold:g} in this run, "
        f"whose largest dip scores {-dip:.1f}"
    )
    return Explanation(what=CHANCE, state=state, figure=figure)


def _gradient(spike: Spike) -> Explanation:
    what = INSTABILITY
    if spike.precursor_z is None:
        figure = f"no gradient norm with scatter is logged in the {LEAD} points before"
        return Explanation(what=what, state=State.UNTESTED, figure=figure)
    figure = f"largest score of the gradient norm in the {LEAD} points before: {spike.precursor_z:.1f}"
    state = State.NOT_RULED_OUT if spike.precursor_points else State.RULED_OUT
    return Explanation(what=what, state=state, figure=figure)


def _learning_rate(run: RunAnalysis, step: int) -> Explanation:
    what = LEARNING_RATE
    rate = run.curves.get(Quantity.LEARNING_RATE)
    near = np.abs(rate.step - step) <= LEAD * max(run.usual_distance, 1) if rate is not None else np.zeros(0, bool)
    values = rate.value[near] if rate is not None else np.empty(0)
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) < 2:
        return Explanation(what=what, state=State.UNTESTED, figure="no learning rate is logged around this step")
    ratio = float(values.max() / values.min())
    steady = ratio < 1.5
    return Explanation(
        what=what,
        state=State.RULED_OUT if steady else State.NOT_RULED_OUT,
        figure=f"{values.min():.3g} to {values.max():.3g} within {LEAD} points",
    )


def _resume(run: RunAnalysis, spike: Spike) -> Explanation:
    loss = run.loss
    assert loss is not None
    segments = loss.segment[max(spike.first - 5 * LEAD, 0) : spike.last + 1]
    resumed = len(np.unique(segments)) > 1
    return Explanation(
        what="a resume from a checkpoint",
        state=State.NOT_RULED_OUT if resumed else State.RULED_OUT,
        figure=f"{'a' if resumed else 'no'} segment begins within the {5 * LEAD} points before",
    )


def _events(run: RunAnalysis, step: int, events: Sequence[Event]) -> list[Explanation]:
    reach = 5 * LEAD * max(run.usual_distance, 1)
    return [
        Explanation(
            what=event.what, state=State.NOT_RULED_OUT,
            figure=f"at step {grouped(event.step)}, {plural(abs(step - event.step), 'step')} away",
        )
        for event in events
        if abs(event.step - step) <= reach
    ]  # fmt: skip
