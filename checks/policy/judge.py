"""From a policy and a run's figures to judgements and a verdict: pure, without files, network or Great Expectations.

`judge` is the one place where a verdict comes from. `recompute` does it again from what a run directory holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.policy.bounds import Figure, Outcome, compared, judged
from corpus_audit.checks.policy.integrity import integrity_judgements
from corpus_audit.checks.policy.waivers import apply_waivers
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import (
    POLICY_FILE,
    RESULTS_FILE,
    Judgement,
    LastSigned,
    Reference,
    Results,
    Status,
    read_results,
    verdict_of,
)
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.policy import Rule
from corpus_audit.schemas.spec.policy_file import LoadedPolicy, read_policy
from corpus_audit.schemas.spec.slices import Pattern
from corpus_audit.schemas.tables.run_tables import METRICS, SAME_DOCUMENTS

Row = dict[str, Any]
Slices = dict[str, list[Row]]

_LATER = ("reason",)
"""Columns of the table of metrics that runs of earlier versions have not."""


@dataclass(frozen=True)
class References:
    """What figures are compared with: by rule and slice, and the last signed run as a whole."""

    figures: Mapping[tuple[str, str], Reference] = field(default_factory=dict)
    last_signed: LastSigned | None = None


def judge(
    policy: LoadedPolicy,
    metrics: pa.Table,
    facts: RunFile,
    references: References,
    today: date,
) -> Results:
    """Judge a run.

    Args:
        policy: the rules.
        metrics: the run's figures, in the schema METRICS.
        facts: contents of its run.json.
        references: what its figures are compared with; what is not there is ``missing``.
        today: the day against which waivers are held, UTC.

    Returns:
        Judgements in order: integrity rules, the policy's rules as it lists them (slices in the order of the table),
        then waivers that cover nothing.

    Raises:
        StoreError: the table is not one of metrics.
    """
    integrity = list(integrity_judgements(facts, policy.policy.coverage, policy.coverage_line))
    found = rows_by_slice(metrics, {rule.metric for rule in policy.policy.rules})
    ruled: list[Judgement] = []
    for rule, line in zip(policy.policy.rules, policy.rule_lines, strict=True):
        ruled += rule_judgements(rule, found.get(rule.metric, {}), references.figures, line)
    judgements, waivers = apply_waivers([*integrity, *ruled], policy.policy.waivers, policy.waiver_lines, today)
    counts = Counter(judgement.status for judgement in judgements)
    return Results(
        name=facts.name,
        run=facts.run,
        snapshot=facts.snapshot.digest,
        judged_on=today.isoformat(),
        policy=policy.facts,
        verdict=verdict_of(counts.elements()),
        counts=dict(counts),
        judgements=tuple(judgements),
        waivers=waivers,
        last_signed=references.last_signed,
    )


def recompute(folder: Path) -> Results:
    """Judge a run again from its own metrics, run.json and policy, and from the references and the day that its
    results.json names; without network or any other run.

    Raises:
        StoreError: a file is missing or damaged.
        SpecError: the policy is wrong.
    """
    run = RunDirectory(folder)
    try:
        known, data = (folder / RESULTS_FILE).read_bytes(), (folder / POLICY_FILE).read_bytes()
    except OSError as error:
        raise StoreError(f"{folder} cannot be judged again: {error}") from error
    before = read_results(known, str(folder / RESULTS_FILE))
    try:
        day = date.fromisoformat(before.judged_on)
    except ValueError:
        raise StoreError(f"{folder / RESULTS_FILE}: {before.judged_on!r} is not a day") from None
    figures = {(one.rule, one.slice): one.reference for one in before.judgements if one.reference is not None}
    references = References(figures, before.last_signed)
    return judge(read_policy(data, str(folder / POLICY_FILE)), run.table("metrics"), run.facts, references, day)


def rows_by_slice(metrics: pa.Table, wanted: set[str]) -> dict[str, Slices]:
    """Metric -> slice -> its rows, of the metrics that are wanted.

    Raises:
        StoreError: the table lacks a column, has one twice or of another type, or a row without metric or slice.
    """
    names = [name for name in METRICS.names if name not in _LATER or name in metrics.schema.names]
    for name in names:
        if metrics.schema.names.count(name) != 1 or metrics.schema.field(name).type != METRICS.field(name).type:
            raise StoreError(f"the table of metrics has no column {name} of type {METRICS.field(name).type}")
    if metrics["metric"].null_count or metrics["slice"].null_count:
        raise StoreError("the table of metrics has a row without metric or slice")
    chosen = metrics.filter(pc.is_in(metrics["metric"], value_set=pa.array(sorted(wanted), pa.string())))
    found: dict[str, Slices] = {}
    for row in chosen.select(names).to_pylist():
        found.setdefault(row["metric"], {}).setdefault(row["slice"], []).append(row)
    return found


def rule_judgements(
    rule: Rule, slices: Slices, references: Mapping[tuple[str, str], Reference], line: int | None
) -> Iterator[Judgement]:
    """What a rule says of each slice that it names, before waivers; at least one judgement.

    Args:
        rule: the rule.
        slices: rows of its metric, by slice.
        references: what figures are compared with, by rule and slice.
        line: where the rule stands.
    """
    named = Pattern(rule.slice).among(slices)
    if not named:
        what = f"no slice {rule.slice}" if slices else "no figure at all"
        reason = f"The run has {what} of metric {rule.metric}."
        yield _judgement(rule, rule.slice, Outcome(Status.MISSING, reason), None, None, line)
    for name in named:
        reference = None
        if rule.reference is not None:
            reference = references.get((rule.id, name)) or Reference(
                kind=rule.reference.kind, compare=rule.reference.compare, reason="What it is compared with is absent."
            )
        try:
            outcome = _outcome(rule, slices[name], reference)
        except Exception as error:
            outcome = Outcome(Status.ERROR, f"The rule crashed: {type(error).__name__}.")
        yield _judgement(rule, name, outcome, slices[name][0] if len(slices[name]) == 1 else None, reference, line)


def _outcome(rule: Rule, rows: Sequence[Row], reference: Reference | None) -> Outcome:
    if len(rows) > 1:
        return Outcome(Status.ERROR, f"The metric is ambiguous: the run has {len(rows)} rows of it for this slice.")
    row = rows[0]
    if row["value"] is None:
        return Outcome(Status.MISSING, f"The metric is null: {row.get('reason') or 'there is nothing to divide by'}.")
    figure: Figure | Outcome = Figure(row["value"], row["low"], row["high"])
    assert isinstance(figure, Figure)
    if not figure.finite:
        return Outcome(Status.ERROR, "The figure or one of its bounds is not a finite number.")
    certain = row.get("reason") == SAME_DOCUMENTS  # a fact: no number of documents is too small for it
    if row["n"] is None or (row["n"] < rule.minimum_n and not certain):
        seen = "unknown" if row["n"] is None else f"{row['n']:,}"
        return Outcome(Status.INSUFFICIENT, f"n is {seen}; the rule needs {rule.minimum_n:,}.")
    if reference is not None:
        figure = compared(figure, reference)
        if isinstance(figure, Outcome):
            return figure
    return judged(figure, rule, "" if reference is not None and reference.unitless else row["unit"])


def _judgement(
    rule: Rule, slice_: str, outcome: Outcome, row: Row | None, reference: Reference | None, line: int | None
) -> Judgement:
    figure = None if row is None or row["value"] is None else Figure(row["value"], row["low"], row["high"])
    shown = figure if figure is not None and figure.finite else None
    return Judgement(
        rule=rule.id,
        kind="rule",
        title=rule.title,
        metric=rule.metric,
        slice=slice_,
        status=outcome.status,
        reason=outcome.reason,
        judged=rule.judged,
        observed=outcome.observed,
        value=shown.value if shown else None,
        low=shown.low if shown else None,
        high=shown.high if shown else None,
        n=row["n"] if row else None,
        unit=row["unit"] if row else "",
        warn=rule.warn.bound if rule.warn else None,
        fail=rule.fail.bound if rule.fail else None,
        minimum_n=rule.minimum_n,
        reference=reference,
        owner=rule.owner,
        rationale=rule.rationale,
        next_step="" if outcome.status is Status.PASS else rule.next_step or f"Ask {rule.owner}, who owns the rule.",
        line=line,
    )
