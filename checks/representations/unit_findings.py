"""Findings about the units of an activation index: moved, dead, drawn before a spike; experts by domain."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from corpus_audit.checks.representations.unit_records import DrawnUnits, MovedUnits, SpecialExperts, UnitAnalysis
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.schemas.run.findings import Effect, Evidence, Explanation, Finding, FindingWindow, Reading, State
from corpus_audit.schemas.tables.investigation.representation_tables import UNIT_TABLES

LEVEL = 0.05

LISTED = 5
"""Units that a claim names; the tables have all that differ."""

_EVIDENCE = 20
_PART = 0.5  # of a movement, of which the change at one mixture must be more for the mixture to be ruled out
_SD = "standard deviations of the activation over tokens"


def unit_findings(analysis: UnitAnalysis) -> list[Finding]:
    """``units.dead``, ``units.moved``, ``units.drawn.STEP`` and ``experts.domains``."""
    findings = []
    if analysis.dead is not None:
        findings.append(_dead(analysis))
    if analysis.moved is not None:
        findings.append(_moved(analysis, analysis.moved))
    for window in analysis.drawn or ():
        findings.append(_drawn(analysis, window))
    if analysis.drawn is None and analysis.not_drawn:
        findings.append(_unknown("units.drawn", _DRAWN_QUESTION.format("a spike"), analysis.not_drawn))
    if analysis.experts is not None or analysis.no_experts:
        findings.append(_experts(analysis, analysis.experts))
    return findings


_DRAWN_QUESTION = "Were strongest examples of units drawn before {}, more than at other steps?"


def _unknown(identity: str, question: str, why: str) -> Finding:
    return Finding(
        id=identity, bucket="representations", question=question, claim="this could not be tested",
        reading=Reading.NOT_ENOUGH, detail=why,
    )  # fmt: skip


def _dead(analysis: UnitAnalysis) -> Finding:
    dead = analysis.dead
    assert dead is not None
    count, units = len(dead.dead), len(analysis.units)
    names = ", ".join(analysis.units[i] for i in dead.dead[:LISTED].tolist()) + (", …" if count > LISTED else "")
    died = "" if dead.died is None else f"; {grouped(len(dead.died))} of them fired in the earlier index"
    return Finding(
        id="units.dead",
        bucket="representations",
        question=f"Are units of {analysis.index} dead?",
        claim=(
            f"{grouped(count)} of {plural(units, 'unit')} {agree(count, 'fires', 'fire')} on none of "
            f"{plural(dead.tokens, 'token')}: {names}"
            if count
            else f"units of {analysis.index} are dead"
        ),
        reading=Reading.SHOWN if count else Reading.NOT_SHOWN,
        detail=f"each on less than {dead.below:.2%} of tokens, at 95 %{died}" if count else f"at most 0 of {units}",
        effect=Effect(value=count / units if units else 0.0, unit="share of units"),
        n=units,
        test=f"activations above 0 in {plural(dead.documents, 'document')}, which are the clusters of the bound",
        limits=("a unit that fires on no token of this corpus may fire on other text",),
    )


def _moved(analysis: UnitAnalysis, moved: MovedUnits) -> Finding:
    what = "checkpoints" if moved.model_differs else "snapshots"
    question = f"Did units move between the two {what} {moved.before} and {analysis.index}?"
    known = np.isfinite(moved.q)
    if not known.any():
        return _unknown("units.moved", question, f"{moved.documents[0]} and {moved.documents[1]} documents are too few")
    scale = np.where(moved.deviation > 0, moved.deviation, np.inf)
    least = np.where(moved.low > 0, moved.low, np.where(moved.high < 0, moved.high, 0.0)) / scale
    certain = np.flatnonzero(known & (moved.q <= LEVEL))
    order = certain[np.argsort(-np.abs(least[certain]), kind="stable")]
    change = (moved.second - moved.first) / scale
    facts: dict[str, object] = {
        "n": int(known.sum()),
        "excluded": {"without an interval": int((~known).sum())} if not known.all() else {},
        "test": "difference of mean activations, delete-a-group jackknife with documents as clusters; "
        "Benjamini-Hochberg over the units",
        "q": float(np.nanmin(moved.q)),
        "family": f"units that moved, {plural(len(analysis.units), 'unit')}",
        "limits": _moved_limits(moved),
    }
    base = _unknown("units.moved", question, "")
    if not len(order):
        bound = float(np.nanmax(np.maximum(np.abs(moved.low), np.abs(moved.high)) / scale))
        claim = f"units moved between the two {what}"
        facts |= {"reading": Reading.NOT_SHOWN, "claim": claim, "detail": f"at most {bound:.2g} {_SD} in any unit"}
        return base.model_copy(update=facts)
    top = int(order[0])

    def words(i: int) -> str:
        low, high = moved.low[i] / scale[i], moved.high[i] / scale[i]
        return f"{analysis.units[i]} {change[i]:+.2g} ({low:+.2g} to {high:+.2g})"

    listed = ", ".join(words(i) for i in order[:LISTED].tolist())
    facts |= {
        "reading": Reading.SHOWN,
        "claim": f"{grouped(len(order))} of {plural(int(known.sum()), 'unit')} moved between the two {what}",
        "detail": f"most, in {_SD}: {listed}",
        "effect": Effect(
            value=float(change[top]), unit=_SD, low=float(moved.low[top] / scale[top]),
            high=float(moved.high[top] / scale[top]),
        ),
        "explanations": _of_movement(moved, top, analysis.units[top]),
        "evidence": tuple(
            Evidence(
                file=analysis.index, offset=rank, unit="rank", series="", step=0, value=float(change[i]), shown=words(i)
            )
            for rank, i in enumerate(order[:_EVIDENCE].tolist(), 1)
        ),
    }  # fmt: skip
    return base.model_copy(update=facts)


def _moved_limits(moved: MovedUnits) -> tuple[str, ...]:
    if not moved.model_differs:
        return ("with many documents small differences are certain: the size is what counts",)
    return (
        "units of one address are taken to be the same in both checkpoints",
        "almost every unit moves while a model is trained: the size is what counts",
    )


def _of_movement(moved: MovedUnits, top: int, name: str) -> tuple[Explanation, ...]:
    """What else the movement of the first unit could be."""
    total, within = float(moved.second[top] - moved.first[top]), float(moved.within[top])
    mixture = Explanation(
        what="other shares of domains, in each of which units act as before",
        state=State.RULED_OUT,
        figure="both indexes are of one snapshot",
    )
    if moved.corpus_differs:
        enough = np.isfinite(within) and within * np.sign(total) > _PART * abs(total)
        figure = f"within domains {name} changes by {within:+.3g} of {total:+.3g}"
        state = State.RULED_OUT if enough else State.NOT_RULED_OUT
        mixture = Explanation(what=f"{mixture.what}, which explains half of it or more", state=state, figure=figure)
    if not (moved.model_differs and moved.corpus_differs):
        return (mixture,)
    other = Explanation(
        what="the corpus, and not the model",
        state=State.NOT_RULED_OUT,
        figure="the two indexes differ in both; an index of the later model on the earlier snapshot would tell",
    )
    return mixture, other


def _drawn(analysis: UnitAnalysis, window: DrawnUnits) -> Finding:
    steps = f"steps {grouped(window.first)} to {grouped(window.step)} of {analysis.run}"
    identity, question = f"units.drawn.{window.step}", _DRAWN_QUESTION.format(f"the spike at the end of {steps}")
    where = FindingWindow(run=analysis.run, first=window.first, last=window.step)
    if window.why:
        return _unknown(identity, question, window.why).model_copy(update={"window": where})
    order = np.lexsort((np.arange(len(window.counts)), -(window.counts - window.expected), window.adjusted))
    names = [i for i in order.tolist() if window.counts[i] > window.expected[i]]
    certain = [i for i in names if window.adjusted[i] <= LEVEL]

    def words(i: int) -> str:
        of = f"{int(window.counts[i])} of {int(window.examples[i])} documents"
        return f"{analysis.units[i]} {of} ({window.expected[i]:.2g} expected)"

    shown = window.q <= LEVEL
    total, expected = int(window.counts.sum()), float(window.expected.sum())
    claim = f"strongest examples of units were drawn at {steps} more than in control windows"
    listed = ", ".join(words(i) for i in (certain or names)[:LISTED])
    most = float(window.counts.max()) if len(window.counts) else 0.0
    return Finding(
        id=identity,
        bucket="representations",
        question=question,
        claim=f"{claim}: {listed}" if shown and listed else claim,
        reading=Reading.SHOWN if shown else Reading.NOT_SHOWN,
        detail=f"{grouped(total)} in all, {expected:.3g} expected"
        if shown
        else f"at most {most:.0f} of the documents of a unit",
        effect=Effect(value=total - expected, unit="documents in the lists of examples"),
        n=len(window.counts),
        excluded={"documents of examples without an id": analysis.without_id} if analysis.without_id else {},
        test=(
            f"documents of the strongest examples that were drawn, largest score of a unit and all together, against "
            f"{window.controls} control windows of equal length; Benjamini-Hochberg over the windows"
        ),
        p=window.p,
        q=window.q,
        family="units drawn before spikes",
        window=where,
        explanations=(
            Explanation(
                what="other documents than these examples, which the index does not list",
                state=State.NOT_RULED_OUT,
                figure=f"lists hold at most {int(window.examples.max(initial=0))} documents of a unit",
            ),
        ),
        evidence=tuple(
            Evidence(
                file=analysis.index, offset=rank, unit="rank", series="", step=window.step,
                value=float(window.counts[i]), shown=words(i),
            )
            for rank, i in enumerate(certain[:_EVIDENCE], 1)
        ),
        limits=("that a unit fires on a document of the window does not say that it is the reason of a spike",),
    )  # fmt: skip


def _experts(analysis: UnitAnalysis, experts: SpecialExperts | None) -> Finding:
    question = f"Do experts of {analysis.model} take other shares of some domains than of the rest?"
    if experts is None:
        return _unknown("experts.domains", question, analysis.no_experts)
    known = np.isfinite(experts.q)
    if not known.any():
        return _unknown("experts.domains", question, "too few documents in the domains for intervals")
    least = np.where(experts.low > 0, experts.low, np.where(experts.high < 0, -experts.high, 0.0))
    certain = np.argwhere(known & (experts.q <= LEVEL))
    order = sorted(certain.tolist(), key=lambda at: -least[at[0], at[1]])
    balance = max(experts.balance, key=lambda row: row[1] if np.isfinite(row[1]) else -1.0, default=None)
    most = ""
    if balance is not None and np.isfinite(balance[1]):
        bounds = f" ({balance[2]:.3g} to {balance[3]:.3g})" if np.isfinite(balance[2]) else ""
        times = f"{balance[1]:.3g}{bounds} times the mean"
        most = f". The least balanced layer over all domains is {balance[0]}: its largest load is {times}"
    facts: dict[str, object] = {
        "n": int(known.sum()),
        "excluded": {"expert and domain without an interval": int((~known).sum())} if not known.all() else {},
        "test": "share of tokens in the domain less that in all others, jackknife with documents as clusters; "
        "Benjamini-Hochberg over experts and domains",
        "q": float(np.nanmin(experts.q)),
        "family": f"experts by domain, {plural(int(known.sum()), 'pair')}",
    }
    base = _unknown("experts.domains", question, "")
    if not order:
        bound = float(np.nanmax(np.maximum(np.abs(experts.low), np.abs(experts.high))))
        detail = f"at most {100 * bound:.2g} percentage points of the tokens of a domain{most}"
        claim = f"experts of {analysis.model} take other shares of some domains"
        return base.model_copy(update=facts | {"reading": Reading.NOT_SHOWN, "claim": claim, "detail": detail})

    def words(d: int, e: int) -> str:
        shares = f"{experts.load[d, e]:.1%} of {experts.domains[d]}, {experts.elsewhere[d, e]:.1%} of the rest"
        return f"{experts.names[e]} takes {shares}"

    d, e = order[0]
    distinct = len({at[1] for at in order})
    facts |= {
        "reading": Reading.SHOWN,
        "claim": (
            f"{grouped(distinct)} of {plural(len(experts.names), 'expert')} take other shares of some domains than of "
            "the rest"
        ),
        "detail": "; ".join(words(*at) for at in order[:LISTED]) + most,
        "effect": Effect(
            value=float(experts.difference[d, e]), unit="share of the tokens", low=float(experts.low[d, e]),
            high=float(experts.high[d, e]),
        ),
        "evidence": tuple(
            Evidence(
                file=analysis.index, offset=rank, unit="rank", series="", step=0,
                value=float(experts.difference[at[0], at[1]]), shown=words(*at),
            )
            for rank, at in enumerate(order[:_EVIDENCE], 1)
        ),
    }  # fmt: skip
    return base.model_copy(update=facts)


def unit_tables(analysis: UnitAnalysis) -> Iterator[tuple[str, pa.Table]]:
    """(name, table) with the schemas `UNIT_TABLES`: units that moved or are dead, units drawn, experts by domain."""
    moved, dead = analysis.moved, analysis.dead
    is_dead = np.zeros(len(analysis.units), bool)
    if dead is not None:
        is_dead[dead.dead] = True
    differs = np.zeros(len(analysis.units), bool) if moved is None else np.nan_to_num(moved.q, nan=1.0) <= LEVEL
    rows: list[dict[str, object]] = []
    for i in np.flatnonzero(is_dead | differs).tolist():
        row: dict[str, object] = {"unit": analysis.units[i], "dead": bool(is_dead[i])}
        if moved is not None:
            names = ("first", "second", "low", "high", "deviation", "q", "within")
            row |= {name: _number(float(getattr(moved, name)[i])) for name in names}
        rows.append(row)
    yield "units", pa.Table.from_pylist(rows, UNIT_TABLES["units"])
    drawn = [
        {
            "step": window.step, "first_step": window.first, "unit": analysis.units[i],
            "documents": int(window.counts[i]), "examples": int(window.examples[i]),
            "expected": float(window.expected[i]), "p": float(window.adjusted[i]),
        }
        for window in analysis.drawn or ()
        if not window.why
        for i in np.flatnonzero(window.counts).tolist()
    ]  # fmt: skip
    yield "drawn_units", pa.Table.from_pylist(drawn, UNIT_TABLES["drawn_units"])
    experts = analysis.experts
    listed = [] if experts is None else [
        {"expert": name, "domain": domain}
        | {
            column: _number(float(getattr(experts, column)[d, e]))
            for column in ("load", "elsewhere", "difference", "low", "high", "q")
        }
        for d, domain in enumerate(experts.domains)
        for e, name in enumerate(experts.names)
    ]  # fmt: skip
    yield "expert_domains", pa.Table.from_pylist(listed, UNIT_TABLES["expert_domains"])


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
