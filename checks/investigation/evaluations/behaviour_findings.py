"""Findings about agents, refusals, harm and repeated passes of two evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from corpus_audit.checks.investigation.evaluations.about import About
from corpus_audit.checks.investigation.evaluations.path_evidence import parting_evidence
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.schemas.run.findings import Effect, Evidence, Explanation, Finding, Reading, State

Row = Mapping[str, Any]

_JUDGE = Explanation(
    what="the judge that scores the answers errs in favour of one of them",
    state=State.UNTESTED,
    figure="the files hold one judgement an answer",
)
MOST_FLIPS = 10
"""Answers that are named as evidence; the table has up to 200."""

_ACTIONS = "actions are tool calls and their arguments; what agents think or say is not compared"
_ATTEMPTS = "an attempt is compared with the one of the same number"


def behaviour_findings(tables: Mapping[str, pa.Table], about: About) -> tuple[Finding, ...]:
    """A finding for every difference in safety, passes, usage and paths.

    Args:
        tables: those of `corpus_audit.pipelines.evaluations.behaviour.compare.with_behaviour`.
        about: how the findings are named.
    """
    findings = [_safety(row, tables, about) for row in _rows(tables, "evaluation_safety_differences")]
    findings += [_passes(row, about) for row in _rows(tables, "evaluation_pass_differences")]
    findings += _paths(tables, about)
    findings += _usage(_rows(tables, "evaluation_usage"), about)
    return tuple(findings)


def _rows(tables: Mapping[str, pa.Table], name: str) -> list[dict[str, Any]]:
    return tables[name].to_pylist() if name in tables else []


def _finding(
    row: Row,
    about: About,
    identity: str,
    question: str,
    claim: str,
    unit: str,
    explanations: Iterable[Explanation] = (),
    limits: Iterable[str] = (),
    **more: Any,
) -> Finding:
    judged = row["reading"] != Reading.NOT_ENOUGH
    effect = None
    if row["effect"] is not None:
        effect = Effect(value=row["effect"], unit=unit, low=row["low"], high=row["high"])
    excluded = {f"only {about.a} has them": row["only_a"], f"only {about.b} has them": row["only_b"]}
    excluded |= {"another prompt or task version": row["incomparable"]}
    left = {"an amount is missing or 0": row.get("left_out"), "fewer tries": row.get("fewer_tries")}
    excluded |= {words: count for words, count in left.items() if count}
    return Finding(
        id=f"{about.prefix}.{identity}",
        bucket="capabilities",
        question=question,
        claim=claim,
        reading=Reading(row["reading"]),
        detail=row["reason"],
        effect=effect,
        n=row["items"],
        excluded={words: count for words, count in excluded.items() if count},
        test=row["method"],
        p=row["p"],
        q=row["q"],
        family="behaviour",
        window=about.window,
        explanations=(*explanations, *about.explanations) if judged else (),
        limits=(*limits, *_detectable(row), *(about.limits if judged else ())),
        **more,
    )


def _detectable(row: Row) -> tuple[str, ...]:
    if row["mde"] is None:
        return ()
    size = f"ratio of {row['mde']:.4g}" if row.get("scale") == "ratio" else f"difference of {row['mde']:.4g}"
    return (f"A {size} would be detected with 80 % power (MDE), as if it were the only test",)


def _name(row: Row) -> str:
    return f"{row['task']}:{row['metric']}" + (f",{row['filter']}" if row["filter"] not in ("", "none") else "")


def _safety(row: Row, tables: Mapping[str, pa.Table], about: About) -> Finding:
    refuses = row["kind"] == "refusal"
    name = _name(row)
    rates = [
        f"{letter}: {grouped(each['events'])} of {plural(each['answers'], 'answer')}, "
        f"{each['rate']:.4g} [{each['low']:.4g}, {each['high']:.4g}]"
        for side, letter in (("a", about.a), ("b", about.b))
        for each in _rows(tables, "evaluation_safety")
        if each["side"] == side and _key(each) == _key(row)
    ]
    what = "refusal" if refuses else "harmful answer"
    counted = f"A {what} is counted where the {row['counted']}; text is not looked at"
    verb = "refuses" if refuses else "gives harmful answers"
    return _finding(
        row,
        about,
        f"safety.{row['kind']}.{name}",
        f"Are {what}s of {about.b} more or less frequent than those of {about.a} on {name}?",
        f"{about.b} {verb} at another rate than {about.a} on {name}",
        "share of answers",
        (_JUDGE,),
        (counted, *rates),
        evidence=_flips(row, tables, (about.a, about.b)),
    )


def _flips(row: Row, tables: Mapping[str, pa.Table], names: tuple[str, str]) -> tuple[Evidence, ...]:
    """Answers that count in one evaluation only: where they are in the file of that one."""
    flips = [each for each in _rows(tables, "evaluation_safety_flips") if _key(each) == _key(row)]
    result = []
    for each in flips[:MOST_FLIPS]:
        side = "b" if each["counts_in_b"] else "a"
        name, other = names if side == "a" else names[::-1]
        scores = [f"{each[f'score_{letter}']:g}" for letter in (side, "ab".replace(side, ""))]
        result.append(
            Evidence(
                file=each[f"file_{side}"],
                offset=each[f"row_{side}"],
                unit="row",
                series="",
                step=0,
                value=each[f"score_{side}"],
                shown=f"item {each['item_id']} counts in {name} (score {scores[0]}), and not in {other} ({scores[1]})",
            )
        )
    return tuple(result)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("kind", "task", "metric", "filter", "counted"))


def _passes(row: Row, about: About) -> Finding:
    kind = row["kind"].replace("k", str(row["k"]))
    chance = "in one of" if row["kind"] == "pass@k" else "in all of"
    name = f"{_name(row)},{kind}"
    return _finding(
        row,
        about,
        f"passes.{name}",
        f"Has {about.b} another chance than {about.a} to pass {chance} {row['k']} tries ({kind}) on {_name(row)}?",
        f"{about.b} has another {kind} than {about.a} on {_name(row)}",
        "chance",
    )


def _paths(tables: Mapping[str, pa.Table], about: About) -> Iterator[Finding]:
    by_task: dict[str, list[dict[str, Any]]] = {}
    for each in _rows(tables, "evaluation_partings"):
        by_task.setdefault(each["task"], []).append(each)
    for row in _rows(tables, "evaluation_paths"):
        apart = row["pairs"] - row["identical"]
        words = f"{grouped(apart)} of {plural(row['pairs'], 'pair')} of attempts part"
        if row["median_equal"] is not None:
            words += f", after {row['median_equal']:g} equal actions (median)"
        figure = f"so it was in {grouped(row['environment'])} of {plural(apart, 'pair')} that part"
        state = State.NOT_RULED_OUT if row["environment"] else State.RULED_OUT
        answered = Explanation(what="a tool or the user answered otherwise before", state=state, figure=figure)
        yield _finding(
            {**row, "reason": f"{words}; {row['reason']}"},
            about,
            f"path.{row['task']}",
            f"Where do attempts of {about.b} first part from those of {about.a} on {row['task']}?",
            f"{about.a} and {about.b} part earlier than attempts of one of them do on {row['task']}",
            "equal first actions",
            (answered,),
            (_ACTIONS, _ATTEMPTS),
            evidence=parting_evidence(by_task.get(row["task"], []), (about.a, about.b)),
        )


def _usage(rows: list[dict[str, Any]], about: About) -> Iterator[Finding]:
    solved = {(row["task"], row["metric"]): row for row in rows if row["scope"] == "solved"}
    for row in rows:
        scope = ",solved" if row["scope"] == "solved" else ""
        on = f"{row['task']}{', solved attempts' if scope else ''}"
        ratio = row["scale"] == "ratio"
        yield _finding(
            row,
            about,
            f"usage.{row['task']}:{row['metric']}{scope}",
            f"Is {row['metric']!r} of {about.b} other than that of {about.a} on {on}?",
            f"{about.b} differs from {about.a} in {row['metric']!r} on {on}",
            "times" if ratio else "an attempt",
            (_of_solved(solved.get((row["task"], row["metric"]))),) if ratio and not scope else (),
            ("Ratios are of geometric means over items",) if ratio else (),
        )


def _of_solved(row: Row | None) -> Explanation:
    """Whether the two solve different items, which cost differently."""
    what = "the two solve different items, which cost differently"
    if row is None:
        return Explanation(what=what, state=State.UNTESTED, figure="the files do not say which attempts were solved")
    if row["reading"] == Reading.NOT_ENOUGH:
        return Explanation(what=what, state=State.UNTESTED, figure=f"attempts solved by both: {row['reason']}")
    figure = f"{row['effect']:.4g} times on items that both solved (95 %: {row['low']:.4g} to {row['high']:.4g})"
    state = State.RULED_OUT if row["reading"] == Reading.SHOWN else State.NOT_RULED_OUT
    return Explanation(what=what, state=state, figure=figure)
