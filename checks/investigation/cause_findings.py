"""Whether documents caused a spike: said only where a run with the same batches and matched windows agree.

A twin that has the spike too, at the same step, leaves what the two have in common: the batches, and the recipe.
Control windows of the sampler's log say whether the documents of these steps are unlike others, and losses of documents
by how much these raise the loss of a step. Neither alone is enough: a twin shares an unstable recipe, and unusual
documents are drawn before steps without a spike as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from corpus_audit.checks.investigation.document_findings import LEVEL, document_explanations, family_of
from corpus_audit.checks.investigation.drawn_windows import DrawnAnalysis, SpikeDocuments
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.spike_findings import CHANCE, INSTABILITY, LEARNING_RATE
from corpus_audit.checks.investigation.twin_findings import Twin
from corpus_audit.checks.text.numbers import grouped
from corpus_audit.pipelines.sampling.log.comparison import EXCESS, WindowComparison
from corpus_audit.pipelines.statistics.telemetry.twins import SAME_ORDER, InTwin, in_twin
from corpus_audit.schemas.run.findings import Effect, Evidence, Finding, FindingWindow, Reading, State
from corpus_audit.schemas.spec.investigation import Event

NO_CAUSE = "no cause in the data"
"""How the detail of a finding begins where the data are ruled out."""

PART = 0.5
"""Share of the rise that documents must account for, by the lower bound of their excess loss."""

_LISTED = 10
_CAUSED, _IS_CAUSE = " caused ", " are the cause of "
_TEST = (
    "a run with the same batches has the spike at the same step; and, against control windows, the excess loss of the "
    f"documents is unusual (q and p at most {LEVEL:g}) and accounts for {PART:.0%} of the rise by its lower bound"
)


class Agreement(StrEnum):
    """What one of the two kinds of evidence says of documents as the cause."""

    FOR = "for"
    AGAINST = "against"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Evidence:
    says: Agreement
    words: str


def cause_findings(
    run: RunAnalysis,
    spikes: Sequence[Finding],
    twins: Sequence[Twin],
    drawn: DrawnAnalysis | None,
    common_events: Sequence[Event],
) -> list[Finding]:
    """``now.cause.STEP`` for every spike that a twin or the sampler's log says something of.

    Args:
        run: the run.
        spikes: its `spike_findings`.
        twins: its twins.
        drawn: what was drawn before its spikes.
        common_events: events that are not of one run alone, so that a twin shares them.
    """
    findings = []
    for spike in spikes:
        if spike.window is None or spike.effect is None:
            continue
        step = int(spike.id.rpartition(".")[2])
        documents = None if drawn is None or drawn.run != run.spec.id else drawn.spikes.get(step)
        same = [twin for twin in twins if twin.comparison is not None and twin.comparison.low > SAME_ORDER]
        if not same and documents is None:
            continue
        rise = spike.effect.value
        windows = _windows(run, drawn, documents, step, rise)
        common = [event.what for event in common_events]
        finding = _finding(run, spike, step, _of_twins(same, step), windows, documents, common)
        if drawn is not None and documents is not None and documents.comparison is not None:
            finding = finding.model_copy(update={"family": family_of(drawn)})  # p and q are those of the documents
        findings.append(finding)
    return findings


def without_caused(finding: Finding) -> Finding:
    """A finding about a cause that is not shown after all: its claim does not say "caused"."""
    return finding.model_copy(update={"claim": finding.claim.replace(_CAUSED, _IS_CAUSE)})


def _of_twins(twins: Sequence[Twin], step: int) -> _Evidence:
    """Whether all runs with the same batches have the spike."""
    if not twins:
        return _Evidence(Agreement.UNKNOWN, "no run that drew the same batches is part of the investigation")
    words, says = [], []
    for twin in twins:
        loss, scores, name = twin.other.loss, twin.other.scores, twin.other.spec.id
        assert loss is not None and scores is not None
        presence, z = in_twin(step, twin.threshold, loss.step, scores)
        if presence is InTwin.NOT_LOGGED:
            says.append(Agreement.UNKNOWN)
            words.append(f"{name} has no number at this step")
            continue
        at = int(np.searchsorted(loss.step, step))
        rise = float(loss.value[at] - scores.median[at])
        says.append({InTwin.PRESENT: Agreement.FOR, InTwin.ABSENT: Agreement.AGAINST}.get(presence, Agreement.UNKNOWN))
        moves = "rises" if rise >= 0 else "falls"
        words.append(f"{name}, which drew the same batches, {moves} by {abs(rise):.3g} (score {z:.1f})")
    worst = next((each for each in (Agreement.AGAINST, Agreement.UNKNOWN) if each in says), Agreement.FOR)
    return _Evidence(worst, "; ".join(words))


def _windows(
    run: RunAnalysis, drawn: DrawnAnalysis | None, documents: SpikeDocuments | None, step: int, rise: float
) -> _Evidence:
    """Whether documents before the spike are unlike those of control windows, and by how much they raise the loss."""
    if drawn is None or documents is None:
        return _Evidence(Agreement.UNKNOWN, "the documents of these steps are not compared with control windows")
    known = document_explanations(run, drawn, {step: rise})[step]
    if documents.comparison is None or known.state is State.UNTESTED:
        return _Evidence(Agreement.UNKNOWN, known.figure)
    if known.state is State.RULED_OUT:
        return _Evidence(Agreement.AGAINST, known.figure)
    if documents.q > LEVEL:
        return _Evidence(Agreement.UNKNOWN, known.figure)
    return _size(run, drawn, documents.comparison, rise, known.figure)


def _size(run: RunAnalysis, drawn: DrawnAnalysis, comparison: WindowComparison, rise: float, figure: str) -> _Evidence:
    """Whether documents that are unusual account for the rise."""
    bounds = _excess(comparison)
    if run.summed:
        return _Evidence(Agreement.UNKNOWN, f"{figure}; but the loss of the run may be a sum")
    if drawn.test is None or drawn.test.best != drawn.offset:
        return _Evidence(Agreement.UNKNOWN, f"{figure}; but no loss confirms the offset of the log")
    if bounds is None:
        return _Evidence(Agreement.UNKNOWN, f"{figure}; but losses of documents do not say what these add")
    value, low = bounds
    amount = f"documents unlike the others of their step add {value:.3g} (at least {low:.3g}) of {rise:.3g}"
    enough = comparison.each[EXCESS] <= LEVEL and low >= PART * rise
    return _Evidence(Agreement.FOR if enough else Agreement.UNKNOWN, f"{figure}; {amount}")


def _excess(comparison: WindowComparison) -> tuple[float, float] | None:
    """Excess loss of the highest step of the window, and its lower 95 % bound, nats per token."""
    excess = comparison.excess
    if excess is None or EXCESS not in comparison.each or not math.isfinite(excess.step_high):
        return None
    return excess.step, 2 * excess.step - excess.step_high


def _finding(
    run: RunAnalysis,
    spike: Finding,
    step: int,
    twins: _Evidence,
    windows: _Evidence,
    documents: SpikeDocuments | None,
    common_events: Sequence[str],
) -> Finding:
    name = run.spec.id
    comparison = None if documents is None else documents.comparison
    steps = f"at steps {grouped(documents.first)} to {grouped(step)}" if documents is not None else "before it"
    claim = "documents that {} drew {}{}its spike at step {}".format
    shared = {CHANCE, INSTABILITY, LEARNING_RATE, *common_events}
    others = [each for each in spike.explanations if each.what in shared]
    open_ones = [f"{each.what} ({each.figure})" for each in others if each.state is State.NOT_RULED_OUT]
    finding = Finding(
        id=f"{name}.cause.{step}",
        bucket="data",
        question=f"Are documents the cause of the spike of {name} at step {grouped(step)}?",
        claim=claim(name, steps, _IS_CAUSE, grouped(step)),
        reading=Reading.NOT_ENOUGH,
        test=_TEST,
        window=spike.window if documents is None else FindingWindow(run=name, first=documents.first, last=step),
        explanations=tuple(others),
        limits=(
            "that the batches are the same is inferred from the correlation of the losses",
            "a cause of this spike in runs of this recipe; another model may not have it with the same documents",
        ),
    )
    bounds = None if comparison is None else _excess(comparison)
    if documents is not None and comparison is not None:
        facts = {"n": comparison.documents, "p": _number(comparison.p), "q": _number(documents.q)}
        finding = finding.model_copy(update=facts)
    if bounds is not None:
        value, low = bounds
        effect = Effect(value=value, unit="nats per token", low=low, high=2 * value - low)
        finding = finding.model_copy(update={"effect": effect})
    both = f"{twins.words}; and {windows.words}"
    if Agreement.AGAINST in (twins.says, windows.says):
        return finding.model_copy(
            update={"reading": Reading.NOT_SHOWN, "detail": f"{_not_caused(windows, documents)}: {both}"}
        )
    if twins.says is Agreement.FOR and windows.says is Agreement.FOR:
        if open_ones:
            also = f"both speak for it, and not ruled out is {'; '.join(open_ones)}. {both}"
            return finding.model_copy(update={"detail": also})
        shown = {"claim": claim(name, steps, _CAUSED, grouped(step)), "reading": Reading.SHOWN, "detail": both}
        return finding.model_copy(update=shown | {"evidence": _documents(step, comparison)})
    missing = "; ".join(
        f"{what} {'speaks for it' if each.says is Agreement.FOR else 'does not say'}"
        for what, each in (("the twin", twins), ("the comparison of windows", windows))
    )
    return finding.model_copy(update={"detail": f"both are needed: {missing}. {both}"})


def _not_caused(windows: _Evidence, documents: SpikeDocuments | None) -> str:
    """How much is ruled out where the twin or the windows speak against documents as the cause."""
    if windows.says is Agreement.AGAINST:
        return NO_CAUSE
    if documents is None or documents.comparison is None:
        return f"{NO_CAUSE} alone"
    return NO_CAUSE if documents.q > LEVEL else "at most a part of the cause is in the data"


def _documents(step: int, comparison: WindowComparison | None) -> tuple[Evidence, ...]:
    """Documents of highest excess loss."""
    return tuple(
        Evidence(
            file="drawn_documents",
            offset=rank,
            unit="rank",
            series="",
            step=step,
            value=each.excess,
            shown=f"document {each.document}: {each.excess:.4g} nats of excess loss",
        )
        for rank, each in enumerate(comparison.top[:_LISTED] if comparison is not None else (), 1)
        if each.excess is not None
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
