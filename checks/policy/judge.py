"""From a policy and a run's figures to judgements and a verdict: pure, without files, network or Great Expectations.

Every verdict comes from `judge`. `recompute` judges a run again from the files of its directory.
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

from corpus_audit.checks.policy.basis import Judging, has_no_interval
from corpus_audit.checks.policy.bounds import Figure, Outcome, compared, judged
from corpus_audit.checks.policy.empty_figures import too_little_to_test
from corpus_audit.checks.policy.integrity import integrity_judgements
from corpus_audit.checks.policy.not_judged import not_judged
from corpus_audit.checks.policy.waivers import apply_waivers
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import (
    FORMAT,
    FORMAT_1,
    POLICY_FILE,
    RESULTS_FILE,
    Format,
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


@dataclass(frozen=True)
class Identity:
    """What is judged: its name, the name of its directory, and the digest of its data."""

    name: str
    run: str
    snapshot: str


def judge(
    policy: LoadedPolicy,
    metrics: pa.Table,
    facts: RunFile,
    references: References,
    today: date,
    version: Format = FORMAT,
) -> Results:
    """Judge a run.

    Args:
        policy: the rules.
        metrics: the run's figures, in the schema METRICS.
        facts: contents of its run.json.
        references: what its figures are compared with; what is not there is ``missing``.
        today: the day on which waivers have to be in force, UTC.
        version: of the results; a run that an earlier release judged is judged again as that release did.

    Returns:
        Judgements in order: integrity rules, the policy's rules as it lists them (slices in the order of the table),
        then waivers that cover nothing.

    Raises:
        StoreError: the table is not one of metrics.
    """
    integrity = list(integrity_judgements(facts, policy.policy.coverage, policy.coverage_line))
    of = Identity(facts.name, facts.run, facts.snapshot.digest)
    return judge_figures(policy, metrics, of, integrity, Judging.of(policy.policy, facts, version), references, today)


def judge_figures(
    policy: LoadedPolicy,
    metrics: pa.Table,
    of: Identity,
    integrity: Sequence[Judgement],
    judging: Judging,
    references: References,
    today: date,
) -> Results:
    """Judge figures, of a run or of something else that has a table of metrics.

    Args:
        policy, metrics, references, today: as for `judge`.
        of: what is judged.
        integrity: judgements that come before the policy's rules.
        judging: how rules are applied; it names the version of the results.

    Raises:
        StoreError: the table is not one of metrics.
    """
    version = judging.version
    rows = rows_by_slice(metrics, {rule.metric for rule in policy.policy.rules})
    ruled: list[Judgement] = []
    for rule, line in zip(policy.policy.rules, policy.rule_lines, strict=True):
        ruled += rule_judgements(rule, rows.get(rule.metric, {}), references.figures, line, judging)
    judgements, waivers = apply_waivers(
        [*integrity, *ruled], policy.policy.waivers, policy.waiver_lines, today, version
    )
    counts = Counter(judgement.status for judgement in judgements)
    return Results(
        schema=version,
        name=of.name,
        run=of.run,
        snapshot=of.snapshot,
        judged_on=today.isoformat(),
        policy=policy.facts,
        verdict=verdict_of(judgements, version),
        counts=dict(counts),
        judgements=tuple(judgements),
        waivers=waivers,
        not_judged=() if version == FORMAT_1 else not_judged(policy.policy, metrics),
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
    policy = read_policy(data, str(folder / POLICY_FILE))
    return judge(policy, run.table("metrics"), run.facts, references, day, before.schema_)


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
    selected = metrics.filter(pc.is_in(metrics["metric"], value_set=pa.array(sorted(wanted), pa.string())))
    by_metric: dict[str, Slices] = {}
    for row in selected.select(names).to_pylist():
        by_metric.setdefault(row["metric"], {}).setdefault(row["slice"], []).append(row)
    return by_metric


def rule_judgements(
    rule: Rule,
    slices: Slices,
    references: Mapping[tuple[str, str], Reference],
    line: int | None,
    judging: Judging,
) -> Iterator[Judgement]:
    """What a rule says of each slice that it names, before waivers; at least one judgement.

    Args:
        rule: the rule.
        slices: rows of its metric, by slice.
        references: what figures are compared with, by rule and slice.
        line: where the rule stands.
        judging: how rules are applied to the run.
    """
    named = Pattern(rule.slice).among(slices)
    if not named:
        what = f"no slice {rule.slice}" if slices else "no figure at all"
        reason = f"The run has {what} of metric {rule.metric}."
        yield _judgement(rule, rule.slice, Outcome(Status.MISSING, reason), None, None, line, judging)
    for name in named:
        reference = None
        if rule.reference is not None:
            reference = references.get((rule.id, name)) or Reference(
                kind=rule.reference.kind, compare=rule.reference.compare, reason="What it is compared with is absent."
            )
        try:
            outcome = _outcome(rule, slices[name], reference, judging)
        except Exception as error:  # a fault of one rule leaves the others judged, and itself not passed
            outcome = Outcome(Status.ERROR, f"The rule crashed: {type(error).__name__}.")
        row = slices[name][0] if len(slices[name]) == 1 else None
        yield _judgement(rule, name, outcome, row, reference, line, judging)


def _outcome(rule: Rule, rows: Sequence[Row], reference: Reference | None, judging: Judging) -> Outcome:
    if len(rows) > 1:
        return Outcome(Status.ERROR, f"The metric is ambiguous: the run has {len(rows)} rows of it for this slice.")
    row = rows[0]
    old = judging.version == FORMAT_1
    if row["value"] is None:
        return _empty(row, old)
    figure: Figure | Outcome = Figure(row["value"], row["low"], row["high"])
    assert isinstance(figure, Figure)
    if not figure.finite:
        return Outcome(Status.ERROR, "The figure or one of its bounds is not a finite number.")
    certain = row.get("reason") == SAME_DOCUMENTS  # no number of documents is too small to say that nothing changed
    if row["n"] is None or (row["n"] < rule.minimum_n and not certain):
        n = "unknown" if row["n"] is None else f"{row['n']:,}"
        observed = None if old else figure.value
        return Outcome(Status.INSUFFICIENT, f"n is {n}; the rule needs {rule.minimum_n:,}.", observed)
    which, _ = judging.figure(rule)
    if which != "value" and not old and not certain and has_no_interval(rule):
        return Outcome(Status.ERROR, f"{rule.metric} has no 95 % interval; say 'judged: value' in the rule.")
    if which == "value" and not old:
        figure = Figure(figure.value, figure.value, figure.value)
    enough: int | None = row["n"]
    if reference is not None:
        enough = None  # how much data of both runs would be enough cannot be said from one of them
        figure = compared(figure, reference)
        if isinstance(figure, Outcome):
            no_ratio = old and figure.status is Status.ERROR and reference.value == 0
            return Outcome(Status.INSUFFICIENT, figure.reason) if no_ratio else figure
    return judged(figure, rule, which, "" if reference is not None and reference.unitless else row["unit"], enough)


def _empty(row: Row, old: bool) -> Outcome:
    """The outcome of a row without a value."""
    reason = row.get("reason") or "no reason is recorded"
    if not old and too_little_to_test(row.get("reason"), row["slice"]):
        return Outcome(Status.INSUFFICIENT, f"Not enough data to test: {reason}.")
    return Outcome(Status.MISSING, f"The figure has no value: {reason}.")


def _judgement(
    rule: Rule,
    slice_: str,
    outcome: Outcome,
    row: Row | None,
    reference: Reference | None,
    line: int | None,
    judging: Judging,
) -> Judgement:
    figure = None if row is None or row["value"] is None else Figure(row["value"], row["low"], row["high"])
    shown = figure if figure is not None and figure.finite else None
    which, because = judging.figure(rule)
    old = judging.version == FORMAT_1
    return Judgement(
        rule=rule.id,
        kind="rule",
        title=rule.title,
        metric=rule.metric,
        slice=slice_,
        status=outcome.status,
        reason=outcome.reason,
        judged=which,
        judged_because=because,
        observed=outcome.judged_value if old and which in ("low", "high") else outcome.observed,
        judged_value=None if old else outcome.judged_value,
        value=shown.value if shown else None,
        low=shown.low if shown else None,
        high=shown.high if shown else None,
        n=row["n"] if row else None,
        unit=row["unit"] if row else "",
        warn=rule.warn.bound if rule.warn else None,
        fail=rule.fail.bound if rule.fail else None,
        minimum_n=rule.minimum_n,
        insufficient=judging.effect(rule),
        reference=reference,
        owner=rule.owner,
        rationale=rule.rationale,
        next_step="" if outcome.status is Status.PASS else rule.next_step or f"Ask {rule.owner}, who owns the rule.",
        line=line,
    )
