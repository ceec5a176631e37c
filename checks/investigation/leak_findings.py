"""Gain or leak: what contaminated items account for, how many items could be looked up, and the order without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from corpus_audit.checks.investigation.evaluation_findings import StepComparison
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.pipelines.evaluations.contaminated import FEWEST_DIRTY, ContaminatedItems
from corpus_audit.pipelines.evaluations.leaks.audited_items import TaskJoin
from corpus_audit.pipelines.evaluations.leaks.exposure import ItemDraws
from corpus_audit.pipelines.evaluations.leaks.ranks import PairOrder, Ranking
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, FindingWindow, Reading, State
from corpus_audit.schemas.spec.investigation import StepEvaluation
from corpus_audit.schemas.tables.investigation.contamination_tables import CONTAMINATION_JOIN_TABLES

LEVEL = 0.05

_TEST = (
    "share of contaminated items x (their mean gain - that of clean items), paired, clustered errors; "
    "Benjamini-Hochberg over all comparisons"
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ContaminationAnalysis:
    """What is known of contaminated items besides the comparisons.

    Attributes:
        listed: the items.
        joins: of every task; none where the list has contaminated items only.
        ranked: the last evaluation of every run; empty for a single run.
        rankings: of these.
        draws: of the documents behind contaminated items, by benchmark; None where that is not known.
        drawn_by: the run whose sampler's log that is, and step of the run minus step of the log.
    """

    listed: ContaminatedItems
    joins: tuple[TaskJoin, ...] = ()
    ranked: tuple[StepEvaluation, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    draws: Mapping[str, ItemDraws] | None = None
    drawn_by: tuple[str, int] = ("", 0)


def leak_findings(comparisons: Sequence[StepComparison], analysis: ContaminationAnalysis) -> list[Finding]:
    """``contamination.TASK``, ``now.leak.34000.TASK:METRIC``, ``twin.leak.against.now.…`` and ``order.TASK:METRIC``.

    The last three of tasks that the list has.
    """
    findings = [_join(join) for join in analysis.joins]
    for each in comparisons:
        table = each.result.tables.get("evaluation_leaks")
        rows = [] if table is None else table.to_pylist()
        findings += [_leak(each, row, analysis) for row in rows if analysis.listed.has(row["task"])]
    names = [run.run for run in analysis.ranked]
    ranked = [each for each in analysis.rankings if analysis.listed.has(each.measured.task)]
    return findings + [_order(ranking, names, analysis) for ranking in ranked]


def _measure(task: str, metric: str, filter_: str) -> str:
    return f"{task}:{metric}" + (f",{filter_}" if filter_ not in ("", "none") else "")


def _join(join: TaskJoin) -> Finding:
    """Whether all items of a task are known to be clean or contaminated."""
    reasons = {
        "the rule cannot judge them": join.untestable,
        "their only id is a number, which may be a position in a file": join.numbered,
        "the audit has no such item": join.missing,
    }
    excluded = {reason: count for reason, count in reasons.items() if count}
    parts = [f"{plural(count, 'item')}: {reason}" for reason, count in excluded.items()]
    counts = f"{grouped(join.contaminated)} contaminated, {grouped(join.clean)} clean"
    ways = f"{grouped(join.by_hash)} by hash, {grouped(join.by_id)} by id"
    limits = []
    if join.unused:
        limits.append(f"{plural(join.unused, 'item')} of the benchmark {join.benchmark} are in no evaluation")
    lost = join.items - join.known
    finding = Finding(
        id=f"contamination.{join.task}",
        bucket="capabilities",
        question=f"Is it known of all items of {join.task} whether the training data hold them?",
        claim=f"it is not known of some items of {join.task} whether the training data hold them",
        reading=Reading.NOT_SHOWN,
        detail=f"0 of {grouped(join.items)}: {counts} ({ways})",
        effect=Effect(value=lost / join.items, unit="share of items"),
        n=join.items,
        excluded=excluded,
        test=f"items of the evaluations looked up in the list of items ({ways})",
        limits=tuple(limits),
    )
    if join.benchmark is None:
        why = f"the list has no benchmark {join.task!r}; benchmarks under contamination says what it is called there"
        return finding.model_copy(update={"reading": Reading.NOT_ENOUGH, "detail": why})
    if not join.known:
        return finding.model_copy(update={"reading": Reading.NOT_ENOUGH, "detail": "; ".join(parts)})
    if lost:
        some = f"{grouped(lost)} of {plural(join.items, 'item')} of {join.task}"
        claim = f"of {some} it is not known whether the training data hold them"
        detail = f"{'; '.join(parts)}. Of the others {counts}"
        return finding.model_copy(update={"reading": Reading.SHOWN, "claim": claim, "detail": detail})
    return finding


def _leak(each: StepComparison, row: Row, analysis: ContaminationAnalysis) -> Finding:
    a, b = each.a, each.b
    name = _measure(row["task"], row["metric"], row["filter"])
    name_a, name_b = (f"{side.run} at step {grouped(side.step)}" for side in (a, b))
    effect, detail = None, row["reason"]
    if row["leak"] is not None:
        effect = Effect(value=row["leak"], unit="score", low=row["low"], high=row["high"])
        detail += (
            f". The difference of {row['gain']:+.4g} is {row['gain_clean']:+.4g} as on clean items, and "
            f"{row['leak']:+.4g} that contaminated ones add; on these alone it is {row['gain_contaminated']:+.4g}"
        )
    return Finding(
        id=f"{b.run}.leak.{b.step}.{name}" if each.same_run else f"{b.run}.leak.against.{a.run}.{name}",
        bucket="capabilities",
        question=f"Do items of {name} that the training data hold make a difference between {name_a} and {name_b}?",
        claim=f"contaminated items make a part of the difference between {name_a} and {name_b} on {name}",
        reading=Reading(row["reading"]),
        detail=detail,
        effect=effect,
        n=row["items"],
        excluded={"not known to be clean or contaminated": row["untestable"]} if row["untestable"] else {},
        test=_TEST if row["p"] is not None else "",
        p=row["p"],
        q=row["q"],
        family="leaks",
        window=FindingWindow(run=b.run, first=a.step, last=b.step) if each.same_run else None,
        explanations=(*_explanations(row, each), _exposure(row, each, analysis)) if row["p"] is not None else (),
        limits=(*_ceiling(row, name_a), *analysis.listed.limits),
    )


def _explanations(row: Row, each: StepComparison) -> tuple[Explanation, ...]:
    chance = Explanation(
        what="chance in which items are contaminated",
        state=State.UNTESTED,
        figure="items depend on each other, so that labels cannot be exchanged",
    )
    if row["p_permuted"] is not None:
        state = State.RULED_OUT if row["p_permuted"] <= LEVEL else State.NOT_RULED_OUT
        chance = Explanation(what=chance.what, state=state, figure=f"p {row['p_permuted']:.2g} of exchanged labels")
    what = "these items gain otherwise than others in any case, as they did in the steps before"
    if row["beyond_placebo"] is None:
        why = f"no earlier evaluation of {each.a.run} is among evals" if each.same_run else "the two are different runs"
        return chance, Explanation(what=what, state=State.UNTESTED, figure=why)
    low, high = row["beyond_placebo_low"], row["beyond_placebo_high"]
    figure = f"beyond the change before, they account for {row['beyond_placebo']:+.4g} ({low:+.4g} to {high:+.4g})"
    state = State.RULED_OUT if low > 0 or high < 0 else State.NOT_RULED_OUT
    return chance, Explanation(what=what, state=state, figure=figure)


def _exposure(row: Row, each: StepComparison, analysis: ContaminationAnalysis) -> Explanation:
    """Whether documents with these items were drawn between the two steps."""
    what = "none of the contaminated items was drawn between the two"
    run, offset = analysis.drawn_by
    draws = None if analysis.draws is None else analysis.draws.get(analysis.listed.benchmark(row["task"]))
    if not each.same_run or draws is None or run != each.b.run or not draws.items:
        why = "the two are different runs"
        if each.same_run:
            why = f"a sampler's log of {each.b.run} with ids of documents, and an audit that names them, would tell"
        return Explanation(what=what, state=State.UNTESTED, figure=why)
    inside, before, never = draws.between(each.a.step - offset, each.b.step - offset)
    figure = (
        f"documents of {grouped(inside)} of {grouped(draws.items)} contaminated items were drawn there, of "
        f"{grouped(before)} before only, of {grouped(never)} never"
    )
    if draws.without:
        figure += f"; {plural(draws.without, 'further item')} without a document that has an id"
    return Explanation(what=what, state=State.RULED_OUT if inside else State.NOT_RULED_OUT, figure=figure)


def _ceiling(row: Row, name: str) -> tuple[str, ...]:
    if not row["at_ceiling"]:
        return ()
    return (
        f"{name} has {row['at_ceiling']:.0%} of the contaminated items at the highest score: these cannot gain, so "
        "that the leak is underestimated",
    )


def _order(ranking: Ranking, names: Sequence[str], analysis: ContaminationAnalysis) -> Finding:
    name = _measure(*ranking.measured)
    finding = Finding(
        id=f"order.{name}",
        bucket="capabilities",
        question=f"Is the order of the runs on {name} another one without contaminated items?",
        claim=f"the order of the runs on {name} is another one without contaminated items",
        reading=Reading.NOT_ENOUGH,
        n=ranking.items,
        excluded={"not known to be clean or contaminated": ranking.left_out} if ranking.left_out else {},
        family="order of runs",
        limits=analysis.listed.limits,
    )
    if not ranking.pairs:
        clean = ranking.items - ranking.contaminated
        few = f"{grouped(ranking.contaminated)} contaminated and {grouped(clean)} clean items"
        return finding.model_copy(update={"detail": f"{few}, and {FEWEST_DIRTY} of either are needed"})
    changed = [pair for pair in ranking.pairs if pair.reversed]
    certain = [pair for pair in changed if pair.q <= LEVEL]
    shown = sorted(certain or changed or ranking.pairs, key=lambda pair: pair.leak.p)
    top = shown[0]
    facts: dict[str, object] = {
        "effect": Effect(value=top.leak.leak.value, unit="score", low=top.leak.leak.low, high=top.leak.leak.high),
        "test": f"{_TEST} of two runs, on the items that all runs have",
        "p": _number(top.leak.p),
        "q": _number(top.q),
    }
    if certain:
        swaps = "; ".join(_words(pair, names) for pair in certain)
        facts |= {"reading": Reading.SHOWN, "claim": f"{finding.claim}: {swaps}"}
    elif changed:
        facts |= {
            "reading": Reading.NOT_SHOWN,
            "detail": f"two change places, and contaminated items account for no certain part: {_words(top, names)}",
        }
    else:
        facts |= {"reading": Reading.NOT_SHOWN, "detail": "at most 0 runs change places"}
    return finding.model_copy(update=facts)


def _words(pair: PairOrder, names: Sequence[str]) -> str:
    leak, first, second = pair.leak, names[pair.first], names[pair.second]
    return (
        f"{second} scores {leak.gain.mean:+.4g} against {first} on all items and {leak.clean.mean:+.4g} "
        f"({leak.clean.low:+.4g} to {leak.clean.high:+.4g}) on clean ones, q {pair.q:.2g}"
    )


def _number(value: float) -> float | None:
    return value if value == value else None


def leak_tables(analysis: ContaminationAnalysis) -> Iterator[tuple[str, pa.Table]]:
    """(name, table) with the schemas `CONTAMINATION_JOIN_TABLES`."""
    columns = CONTAMINATION_JOIN_TABLES["evaluation_joins"].names
    joins = [{name: getattr(join, name) for name in columns} for join in analysis.joins]
    yield "evaluation_joins", pa.Table.from_pylist(joins, CONTAMINATION_JOIN_TABLES["evaluation_joins"])
    rows = [
        dict(ranking.measured._asdict()) | {
            "run": each.run, "step": each.step, "items": ranking.items, "contaminated": ranking.contaminated,
            "score": float(ranking.scores[i]), "clean": float(ranking.clean[i]), "rank": int(ranking.ranks[i]),
            "clean_rank": int(ranking.clean_ranks[i]),
        }
        for ranking in analysis.rankings
        if ranking.pairs
        for i, each in enumerate(analysis.ranked)
    ]  # fmt: skip
    yield "evaluation_ranks", pa.Table.from_pylist(rows, CONTAMINATION_JOIN_TABLES["evaluation_ranks"])
