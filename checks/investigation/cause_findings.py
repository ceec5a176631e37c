"""Whether the cause of a spike is in what was drawn: a twin run and the sampler's log, read together.

A cause is named only where both agree: a twin that drew the same batches has the spike too, and the documents before it
are unlike those of control windows. One of them alone can rule the data out, and cannot show that they did it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corpus_audit.checks.investigation.document_findings import LEVEL, unusual
from corpus_audit.checks.investigation.drawn_windows import DrawnAnalysis, SpikeDocuments
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.spike_findings import spikes_within
from corpus_audit.checks.investigation.twin_findings import Twin
from corpus_audit.checks.text.numbers import grouped
from corpus_audit.pipelines.sampling.log.comparison import WindowComparison
from corpus_audit.pipelines.statistics.telemetry.spikes import Spike
from corpus_audit.pipelines.statistics.telemetry.twins import SAME_ORDER, InTwin, in_twin
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, FindingWindow, Reading, State

MOST_SPIKES = 20
"""Spikes whose cause is a finding, the highest."""

NO_CAUSE = "no cause in the data"
"""How the detail of a finding begins where the data are ruled out."""


def cause_findings(
    run: RunAnalysis,
    twins: Sequence[Twin],
    drawn: DrawnAnalysis | None,
    windows: Sequence[tuple[int, int]],
    documents: Mapping[int, Explanation],
) -> list[Finding]:
    """A finding for each of the highest spikes; none without a twin that shares the order and without a log.

    Args:
        run: the run.
        twins: its twins.
        drawn: what the sampler of a run drew, of this one or another.
        windows: steps that findings are limited to; none is all.
        documents: what the documents explain, by step of the peak.
    """
    loss = run.loss
    own = drawn if drawn is not None and drawn.run == run.spec.id else None
    twin = next((each for each in twins if each.comparison is not None and each.comparison.low > SAME_ORDER), None)
    if loss is None or (own is None and twin is None):
        return []
    return [
        _cause(run, spike, twin, own.spikes.get(int(loss.step[spike.peak])) if own else None, documents)
        for spike in spikes_within(run, windows)[:MOST_SPIKES]
    ]


def _cause(
    run: RunAnalysis,
    spike: Spike,
    twin: Twin | None,
    window: SpikeDocuments | None,
    documents: Mapping[int, Explanation],
) -> Finding:
    loss = run.loss
    assert loss is not None
    name, step = run.spec.id, int(loss.step[spike.peak])
    presence, same = _twin(twin, step)
    comparison = window.comparison if window is not None and not window.why else None
    tested = comparison is not None
    unlike = window is not None and tested and window.q <= LEVEL
    explained = documents.get(step)
    excluded = explained is not None and explained.state is State.RULED_OUT
    drawn = _drawn(comparison, unlike) if comparison is not None else "no log of the sampler covers these steps"
    both = f"{same}, and {drawn}"
    if presence is InTwin.PRESENT and unlike:
        reading, detail = Reading.SHOWN, both
    elif presence is InTwin.ABSENT and not unlike:
        reading, detail = Reading.NOT_SHOWN, f"{NO_CAUSE}{'' if tested else ' alone'}: {both}"
    elif excluded and presence in (None, InTwin.NOT_LOGGED) and explained is not None:
        reading, detail = Reading.NOT_SHOWN, f"{NO_CAUSE}: {explained.figure}"
    elif presence is InTwin.ABSENT:
        reading, detail = Reading.NOT_ENOUGH, f"twin and log disagree: {both}"
    else:
        reading, detail = Reading.NOT_ENOUGH, both
    return Finding(
        id=f"{name}.cause.{step}",
        bucket="data",
        question=f"Is the cause of the spike of {name} at step {grouped(step)} in what was drawn?",
        claim=(
            f"what was drawn caused the spike of {name} at step {grouped(step)}"
            if reading is Reading.SHOWN
            else f"the cause of the spike of {name} at step {grouped(step)} is in what was drawn"
        ),
        reading=reading,
        detail=detail,
        effect=Effect(value=spike.rise, unit="as logged" if run.summed else "nats per token"),
        n=0 if comparison is None else comparison.documents,
        test="a twin with the same batches, and control windows of the sampler's log; shown where both agree",
        p=None if comparison is None else comparison.p,
        q=None if comparison is None or window is None else window.q,
        window=FindingWindow(run=name, first=window.first if window else step, last=step),
        limits=_limits(presence, tested),
    )


def _twin(twin: Twin | None, step: int) -> tuple[InTwin | None, str]:
    """Whether the twin has the spike, None without a twin; and the words for it."""
    if twin is None or twin.other.loss is None or twin.other.scores is None:
        return None, "no run with the same order of the data says whether it is the batch"
    name = twin.other.spec.id
    presence, z = in_twin(step, twin.threshold, twin.other.loss.step, twin.other.scores)
    words = {
        InTwin.PRESENT: f"{name} drew the same batches and has the spike too (score {z:.1f})",
        InTwin.ABSENT: f"{name} drew the same batches and has no spike at this step (score {z:.1f})",
        InTwin.UNCLEAR: f"{name} drew the same batches and rises less clearly at this step (score {z:.1f})",
    }
    return presence, words.get(presence, f"{name} has no number at this step")


def _drawn(comparison: WindowComparison, unlike: bool) -> str:
    if unlike:
        return f"the documents before it are unlike others: {'; '.join(unusual(comparison))}"
    against = f"p {comparison.p:.2g} against {comparison.controls} control windows"
    return f"the documents before it are like those of other steps ({against})"


def _limits(presence: InTwin | None, tested: bool) -> tuple[str, ...]:
    limits = []
    if presence is InTwin.ABSENT:
        limits.append("documents that hurt only in the state that this run was in are not ruled out by a twin")
    if presence is None and tested:
        limits.append("a batch whose documents are all alike bad shows in a twin only")
    return tuple(limits)
