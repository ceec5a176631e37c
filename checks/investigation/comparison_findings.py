"""Differences between two evaluations as findings, with what else could explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from corpus_audit.checks.investigation.evaluations.about import About
from corpus_audit.checks.investigation.evaluations.path_evidence import parting_evidence
from corpus_audit.checks.investigation.evaluations.run_noise import noise_explanations, noise_limits
from corpus_audit.checks.text.numbers import plural
from corpus_audit.schemas.run.findings import Effect, Explanation, Finding, Reading, State

_STRENGTH = {Reading.SHOWN: 0, Reading.NOT_SHOWN: 1, Reading.NOT_ENOUGH: 2}
_LIMITS = ("p and interval are for other items of the same kind, not for other seeds of the same training",)

Row = Mapping[str, Any]


def comparison_findings(tables: Mapping[str, pa.Table], about: About | None = None) -> tuple[Finding, ...]:
    """A finding for every task, metric and filter of a comparison; what is shown first, primary tasks first in each.

    Args:
        tables: those of `corpus_audit.pipelines.evaluations.comparison.compare`.
        about: how the findings are named; as of evaluations a and b by default.
    """
    names = ("task", "metric", "filter")
    leaks = tables["evaluation_leaks"].to_pylist() if "evaluation_leaks" in tables else []
    by_measure = {tuple(row[name] for name in names): row for row in leaks}
    partings = tables["evaluation_partings"].to_pylist() if "evaluation_partings" in tables else []
    findings = [
        _finding(row, by_measure.get(tuple(row[name] for name in names)), about or About(), partings)
        for row in tables["evaluation_differences"].to_pylist()
    ]
    return tuple(sorted(findings, key=lambda finding: (_STRENGTH[finding.reading], finding.family != "primary")))


def _finding(row: Row, leak: Row | None, about: About, partings: Sequence[Row]) -> Finding:
    name = f"{row['task']}:{row['metric']}" + (f",{row['filter']}" if row["filter"] not in ("", "none") else "")
    effect = None
    if row["difference"] is not None:
        effect = Effect(value=row["difference"], unit="score", low=row["low"], high=row["high"])
    reasons = {"only_a": f"only {about.a} has them", "only_b": f"only {about.b} has them"}
    reasons |= {"other_prompt": "another prompt", "other_version": _version_of(row)}
    excluded = {words: row[column] for column, words in reasons.items() if row[column]}
    limits: tuple[str, ...] = ()
    if row["p"] is not None:
        limits = (
            *(_LIMITS if row["error_seeds"] is None else ()),
            *_detectable(row),
            *noise_limits(row),
            *about.limits,
        )
    return Finding(
        id=f"{about.prefix}.{name}",
        bucket="capabilities",
        question=f"Does {about.b} score otherwise than {about.a} on {name}?",
        claim=f"{about.b} scores otherwise than {about.a} on {name}",
        reading=Reading(row["reading"]),
        detail=row["reason"],
        effect=effect,
        n=row["items"],
        excluded=excluded,
        test=row["method"],
        p=row["p"],
        q=row["q"],
        family=row["family"],
        window=about.window,
        explanations=_explanations(row, leak, about),
        limits=limits,
        evidence=parting_evidence(
            [p for p in partings if p["task"] == row["task"]], (about.a, about.b), flips_only=True
        )
        if row["p"] is not None
        else (),
    )


def _version_of(row: Row) -> str:
    """What the other version of a task is: version, number of examples or settings."""
    named: str = (row["incomparable"] or "").split("; ")[0]
    return named if named.startswith("another ") and named != "another prompt" else "another version of the task"


def _detectable(row: Row) -> tuple[str, ...]:
    if row["mde"] is None:
        return ()
    return (f"A difference of {row['mde']:.4g} would be detected with 80 % power (MDE), as if it were the only test",)


def _explanations(row: Row, leak: Row | None, about: About) -> tuple[Explanation, ...]:
    """What else a difference could come from than the models; none where no difference is judged."""
    if row["p"] is None:
        return ()
    options = about.options
    own = (_prompts(row), _dependence(row, options.cluster), _contamination(row, leak, options.contaminated))
    return (*own, *(noise_explanations(row) if about.of_runs else ()), *about.explanations)


def _prompts(row: Row) -> Explanation:
    what = "the prompts differ"
    if row["method"].startswith("aggregates"):
        return Explanation(what=what, state=State.UNTESTED, figure="the files hold aggregates, no items")
    if row["unknown_prompt"]:
        figure = f"the prompts of {plural(row['unknown_prompt'], 'item')} are not known on both sides"
        return Explanation(what=what, state=State.UNTESTED, figure=figure)
    figure = f"the prompts of all {plural(row['items'], 'item')} have the same hash"
    return Explanation(what=what, state=State.RULED_OUT, figure=figure)


def _dependence(row: Row, option: str) -> Explanation:
    what = "items depend on each other, which makes p too small"
    if row["clusters"] < row["items"]:
        figure = f"the error is that of {plural(row['clusters'], 'cluster')}"
        return Explanation(what=what, state=State.RULED_OUT, figure=figure)
    return Explanation(what=what, state=State.UNTESTED, figure=f"{option} names no field that groups items")


def _contamination(row: Row, leak: Row | None, option: str) -> Explanation:
    what = "the training data hold some of the items"
    if leak is None:
        return Explanation(what=what, state=State.UNTESTED, figure=f"{option} names no list of such items")
    if leak["reading"] == Reading.NOT_ENOUGH:
        return Explanation(what=what, state=State.UNTESTED, figure=leak["reason"])
    figure = f"they account for {leak['leak']:+.4g} (95 %: {leak['low']:+.4g} to {leak['high']:+.4g})"
    if leak["reading"] == Reading.SHOWN:
        return Explanation(what=what, state=State.NOT_RULED_OUT, figure=figure)
    # Ruled out is no more than that they explain all of it: a leak as large as the difference is excluded.
    most = max(abs(leak["low"]), abs(leak["high"]))
    state = State.RULED_OUT if most < abs(row["difference"]) else State.NOT_RULED_OUT
    return Explanation(what=f"{what}, which explains all of it", state=state, figure=figure)
