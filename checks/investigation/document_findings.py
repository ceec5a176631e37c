"""Findings about the documents that were drawn before spikes of the loss, and what they explain of these."""

from __future__ import annotations

import math

from corpus_audit.checks.investigation.drawn_windows import DrawnAnalysis, SpikeDocuments
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.spike_findings import NO_LOG
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.pipelines.sampling.log.comparison import DOMAINS, EXCESS, REPEATS, DrawnDocument, WindowComparison
from corpus_audit.pipelines.statistics.sampling.excess_loss import LEAST_CORRELATION, LEAST_STEPS
from corpus_audit.schemas.run.findings import Effect, Evidence, Explanation, Finding, FindingWindow, Reading, State

LEVEL = 0.05
"""Share of false findings among the windows that are called shown."""

_QUANTILE = 1.959964
_LISTED = 10
_PART = 0.5  # of a spike's rise, below which unusual documents do not explain it
_TEST = (
    "smallest p of domain shares by document, repeated documents and excess loss, as far as they are logged, against "
    "control windows of equal length; Benjamini-Hochberg over the windows"
)
_LIMITS = (
    "expected is the median of the same step and domain: a batch whose documents are all alike bad has no excess loss",
    "where the model as a whole is unstable, losses of hard documents may rise more than others, and read as excess",
    "near-duplicates and the text of the documents are not compared",
)


def document_findings(run: RunAnalysis, drawn: DrawnAnalysis) -> list[Finding]:
    """Whether the log's steps are those of the run, and a finding for the documents before every spike."""
    findings = [_offset(run, drawn)]
    if not drawn.spikes:
        findings.append(
            Finding(
                id=f"{run.spec.id}.documents", bucket="data", reading=Reading.NOT_ENOUGH,
                question=f"Are the documents before a spike of {run.spec.id} unlike those of other steps?",
                claim="this could not be tested", detail="the loss has no spike",
            )
        )  # fmt: skip
    return findings + [_window(run, drawn, spike) for spike in drawn.spikes.values()]


def family_of(drawn: DrawnAnalysis) -> str:
    """The family of tests of all findings about documents before spikes."""
    return f"documents before spikes, {grouped(len(drawn.spikes))} of {drawn.run}"


def document_explanations(run: RunAnalysis, drawn: DrawnAnalysis, steps: dict[int, float]) -> dict[int, Explanation]:
    """What became of the explanation by documents, by step of the peak.

    Args:
        run: the run.
        drawn: what it drew, or another one did.
        steps: the rise of the loss at the peak of every spike.
    """
    return {step: _explanation(run, drawn, step, rise) for step, rise in steps.items()}


def _explanation(run: RunAnalysis, drawn: DrawnAnalysis, step: int, rise: float) -> Explanation:
    def explanation(state: State, figure: str, what: str = NO_LOG.what) -> Explanation:
        return Explanation(what=what, state=state, figure=figure)

    if drawn.run != run.spec.id:
        return explanation(State.UNTESTED, f"the sampler's log is that of {drawn.run}")
    spike = drawn.spikes.get(step)
    if spike is None:
        return explanation(State.UNTESTED, f"only the {len(drawn.spikes)} highest spikes are compared with the log")
    comparison = spike.comparison
    if spike.why or comparison is None:
        return explanation(State.UNTESTED, spike.why)
    against = f"p {comparison.p:.2g}, q {spike.q:.2g} against {comparison.controls} control windows"
    if spike.q <= LEVEL:
        return explanation(State.NOT_RULED_OUT, f"{against}: {'; '.join(unusual(comparison))}")
    excess = comparison.excess
    fits = drawn.test is not None and drawn.test.best == drawn.offset and not run.summed
    if excess is None or not fits or not math.isfinite(excess.step_high):
        return explanation(State.NOT_RULED_OUT, f"{against}, but the log has no losses that move with those of the run")
    most = max(excess.step_high, 0.0)
    figure = f"documents unlike the others of their step raise its loss by at most {most:.2g} of {rise:.2g}"
    if excess.step_high >= _PART * rise:
        return explanation(State.NOT_RULED_OUT, f"{against}, but {figure}")
    return explanation(State.RULED_OUT, f"{against}; {figure}", "a few unusual documents of these steps")


def unusual(comparison: WindowComparison) -> list[str]:
    """What is unusual about a window, the smallest p first."""
    words = {}
    if comparison.shares:
        top = comparison.shares[0]
        words[DOMAINS] = f"{top.domain} is {top.share:.1%} of its documents against {top.control_share:.1%}"
    if comparison.repeated is not None and comparison.control_repeated is not None:
        words[REPEATS] = (
            f"{comparison.repeated:.1%} of its draws repeat a document against {comparison.control_repeated:.1%}"
        )
    if comparison.excess is not None:
        value = comparison.excess.window - comparison.excess.control
        top_document = f", most in {comparison.top[0].document}" if comparison.top else ""
        words[EXCESS] = f"excess loss of {value:.3g} nats per token{top_document}"
    least = min(comparison.each.values())
    ordered = sorted(comparison.each, key=lambda name: comparison.each[name])
    return [f"{words[name]} (p {comparison.each[name]:.2g})" for name in ordered
            if comparison.each[name] <= max(LEVEL, least)]  # fmt: skip


def _most(comparison: WindowComparison) -> list[str]:
    """What effects are at most, by the scatter of the control windows."""
    parts = []
    if comparison.shares:
        bound = max(abs(each.share - each.control_share) + _QUANTILE * each.scatter for each in comparison.shares)
        parts.append(f"{100 * min(bound, 1.0):.2g} percentage points in the share of a domain")
    if comparison.repeated is not None:
        parts.append(f"{comparison.repeated:.2%} of the draws repeat a document")
    if comparison.excess is not None and math.isfinite(comparison.excess.high):
        parts.append(f"{max(comparison.excess.high, 0.0):.2g} nats per token of excess loss")
    return parts


def _window(run: RunAnalysis, drawn: DrawnAnalysis, spike: SpikeDocuments) -> Finding:
    name, comparison = run.spec.id, spike.comparison
    steps = f"steps {grouped(spike.first)} to {grouped(spike.step)}"
    question = f"Are the documents of {name} at {steps}, before its spike, unlike those of other steps?"
    identity = f"{name}.documents.{spike.step}"
    window = FindingWindow(run=name, first=spike.first, last=spike.step)
    if spike.why or comparison is None:
        return Finding(
            id=identity, bucket="data", question=question, claim="this could not be tested",
            reading=Reading.NOT_ENOUGH, detail=spike.why, window=window,
        )  # fmt: skip
    shown = spike.q <= LEVEL
    excess = comparison.excess
    effect = None
    if excess is not None and math.isfinite(excess.high):
        value = excess.window - excess.control
        effect = Effect(value=value, unit="nats per token", low=2 * value - excess.high, high=excess.high)
    elif comparison.shares:
        top = comparison.shares[0]
        value, margin = top.share - top.control_share, _QUANTILE * top.scatter
        effect = Effect(value=value, unit="share of documents", low=value - margin, high=value + margin)
    limits = list(_LIMITS)
    if spike.neighbours:
        other = ", ".join(f"{by:+d} {p:.2g}" for by, p in spike.neighbours.items())
        limits.insert(0, f"no loss confirms the offset of {drawn.offset:+d}; with another one p would be: {other}")
    return Finding(
        id=identity,
        bucket="data",
        question=question,
        claim=(
            f"the documents of {name} at {steps} are unlike those of control windows: {'; '.join(unusual(comparison))}"
            if shown
            else f"the documents of {name} at {steps} are unlike those of control windows"
        ),
        reading=Reading.SHOWN if shown else Reading.NOT_SHOWN,
        detail="" if shown else f"at most {', '.join(_most(comparison))}",
        effect=effect,
        n=comparison.documents,
        test=f"{_TEST} ({comparison.controls} control windows)",
        p=comparison.p,
        q=spike.q,
        family=family_of(drawn),
        window=window,
        explanations=(
            Explanation(
                what="a change of the mixture that was intended, as in a curriculum", state=State.UNTESTED,
                figure="the sampling audit of this log tests its mixture over all steps",
            ),
        ) if shown else (),
        evidence=tuple(_row(drawn, spike, rank, each) for rank, each in enumerate(comparison.top[:_LISTED], 1)),
        limits=tuple(limits),
    )  # fmt: skip


def _row(drawn: DrawnAnalysis, spike: SpikeDocuments, rank: int, document: DrawnDocument) -> Evidence:
    words = [plural(document.draws, "draw")]
    if document.excess is not None:
        words.append(f"{document.excess:.4g} nats of excess loss in {plural(document.tokens, 'token')}")
    if document.domain is not None:
        words.append(document.domain)
    return Evidence(
        file=drawn.log,
        offset=rank,
        unit="rank",
        series="",
        step=spike.step,
        value=document.excess if document.excess is not None else float(document.draws),
        shown=f"document {document.document}: {', '.join(words)}",
    )


def _offset(run: RunAnalysis, drawn: DrawnAnalysis) -> Finding:
    name, test = run.spec.id, drawn.test
    finding = Finding(
        id=f"{name}.documents.offset",
        bucket="data",
        question=f"Are the steps of the sampler's log those of {name}?",
        claim=f"the stated offset of {drawn.offset:+d} is used and could not be tested",
        reading=Reading.NOT_ENOUGH,
    )
    if test is None or test.best is None:
        if test is not None:
            why = (
                f"at no offset of {test.offsets[0]:+d} to {test.offsets[-1]:+d} do the losses of the log move with "
                f"those of the run (correlation of at least {LEAST_CORRELATION:g} over {LEAST_STEPS} steps)"
            )
        else:
            why = "the log has no losses of documents" if drawn.spikes else "no spike, so no part of the log was read"
        return finding.model_copy(update={"detail": why})
    best, stated = test.correlation(test.best), test.correlation(test.stated)
    facts: dict[str, object] = {
        "effect": Effect(value=float(test.best), unit="steps"),
        "n": int(test.steps[test.offsets == test.best][0]),
        "test": (
            "correlation of the mean loss of the documents of a step with the loss of the run, both against local "
            f"medians, at offsets {test.offsets[0]:+d} to {test.offsets[-1]:+d}"
        ),
    }
    if test.differs:
        at = "is not defined" if math.isnan(stated) else f"is {stated:.2f}"
        claim = (
            f"the log of the sampler fits {name} at an offset of {test.best:+d} steps (correlation {best:.2f}), which "
            f"is used; at the stated {test.stated:+d} it {at}"
        )
        return finding.model_copy(update=facts | {"claim": claim, "reading": Reading.SHOWN})
    claim = f"the log of the sampler does not fit {name} at the stated offset of {test.stated:+d}"
    if test.best == test.stated:
        detail = f"at most 0 steps off: the correlation is highest there ({best:.2f})"
        return finding.model_copy(update=facts | {"claim": claim, "reading": Reading.NOT_SHOWN, "detail": detail})
    detail = f"correlations of {stated:.2f} there and {best:.2f} at {test.best:+d} do not differ beyond chance"
    return finding.model_copy(update=facts | {"claim": claim, "detail": detail})


def table_rows(drawn: DrawnAnalysis) -> dict[str, list[dict[str, object]]]:
    """Rows of `schemas.tables.investigation.drawn_tables` by table."""
    rows: dict[str, list[dict[str, object]]] = {"drawn_windows": [], "drawn_domains": [], "drawn_documents": []}
    for spike in drawn.spikes.values():
        comparison = spike.comparison
        if comparison is None:
            continue
        here = {"run": drawn.run, "step": spike.step}
        excess = comparison.excess
        rows["drawn_windows"].append(
            here | {
                "first_step": spike.first, "last_step": spike.step, "offset": drawn.offset,
                "documents": comparison.documents, "tokens": comparison.tokens, "controls": comparison.controls,
                "p_domains": comparison.each.get(DOMAINS), "p_repeats": comparison.each.get(REPEATS),
                "p_excess": comparison.each.get(EXCESS), "p": _finite(comparison.p), "q": _finite(spike.q),
                "repeated": comparison.repeated, "control_repeated": comparison.control_repeated,
                "excess": _finite(excess.window - excess.control) if excess else None,
                "excess_high": _finite(excess.high) if excess else None,
                "step_excess": _finite(excess.step) if excess else None,
                "step_excess_high": _finite(excess.step_high) if excess else None,
            }
        )  # fmt: skip
        rows["drawn_domains"] += [
            here | {
                "domain": each.domain, "documents": each.documents, "share": each.share,
                "control_share": _finite(each.control_share), "z": each.z,
            }
            for each in comparison.shares
        ]  # fmt: skip
        rows["drawn_documents"] += [
            here | {
                "rank": rank, "document": each.document, "domain": each.domain, "draws": each.draws,
                "tokens": each.tokens, "excess": each.excess, "excess_per_token": each.excess_per_token,
            }
            for rank, each in enumerate(comparison.top, 1)
        ]  # fmt: skip
    return rows


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
