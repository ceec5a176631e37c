"""References of rules: the same figures in a pinned run, in the last signed run, or over the last runs.

A reference that is missing or not comparable has a reason and no value; its rule is then ``missing``.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from math import isfinite
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from corpus_audit.checks.history.history import History
from corpus_audit.checks.policy.judge import References, Row, rows_by_slice
from corpus_audit.checks.signoff.latest import last_signed as newest_signed
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.pipelines.drift.comparable import reading_key
from corpus_audit.pipelines.storage.run_directory import RunDirectory, open_run
from corpus_audit.schemas.errors import AuditError
from corpus_audit.schemas.run.results import RESULTS_FILE, LastSigned, PastJudgement, Reference, read_results
from corpus_audit.schemas.run.run_file import RUN_FILE, RunFile
from corpus_audit.schemas.spec.policy import Policy, ReferenceSpec
from corpus_audit.schemas.spec.slices import Pattern

MAD_TO_DEVIATION = 1.4826
"""The MAD of a normal distribution times this is its standard deviation (Rousseeuw and Croux 1993)."""


class NoReferenceError(Exception):
    """There is no such run, or it is not comparable; the message is one sentence for a reader of the report."""


class ReferenceRuns(Protocol):
    """Runs before the judged one; each method raises `NoReferenceError`."""

    def pinned(self, run: str) -> RunDirectory:
        """The run that a policy names."""

    def last_signed(self) -> tuple[RunDirectory, str]:
        """The newest signed run, and the SHA-256 of its sign-off."""

    def last(self, n: int) -> list[RunDirectory]:
        """The ``n`` newest complete and comparable runs, or as many as there are, oldest first."""


@dataclass(frozen=True)
class EarlierRuns:
    """The runs of an output folder as `ReferenceRuns`.

    Attributes:
        output: the folder.
        facts: run.json of the judged run.
        policy_base: the folder of the policy file, to which paths of pinned runs are relative; None if there is none.
        audit_base: the folder of audit.yaml, to which paths of baselines are relative; None if unknown.
        before: name of the judged run, if it is in the folder already.
    """

    output: Path
    facts: RunFile
    policy_base: Path | None
    audit_base: Path | None
    before: str | None = None

    def pinned(self, run: str) -> RunDirectory:
        """See `ReferenceRuns`."""
        if run == "baseline" or run.startswith("baseline="):
            return self._baseline(run.partition("=")[2])
        folders = [base / run for base in (self.policy_base, self.output) if base is not None]
        for folder in folders:
            if folder.is_dir():
                try:
                    return self._comparable(open_run(folder), f"The pinned run {run}")
                except AuditError as error:
                    raise NoReferenceError(f"The pinned run {run} cannot be read: {error}.") from None
        raise NoReferenceError(f"There is no run {run}, neither beside the policy nor in the output folder.")

    def _baseline(self, label: str) -> RunDirectory:
        known = {baseline.label: baseline for baseline in self.facts.baselines}
        if not known:
            raise NoReferenceError("The audit has no baseline.")
        if label and label not in known:
            raise NoReferenceError(f"The audit has no baseline {label}.")
        wanted = known[label] if label else next(iter(known.values()))
        spec = self.facts.spec["baseline"]
        specs = spec if isinstance(spec, list) else [spec]
        path = next(entry["run"] for entry in specs if entry["label"] == wanted.label)
        if self.audit_base is None:
            raise NoReferenceError(f"The folder of baseline {wanted.label} is unknown.")
        for folder in (self.audit_base / path, self.audit_base / path / wanted.run):
            if (folder / RUN_FILE).is_file():
                run = RunDirectory(folder)
                if run.facts.run == wanted.run:
                    return self._comparable(run, f"The baseline {wanted.label}")
        raise NoReferenceError(f"The run {wanted.run} of baseline {wanted.label} is missing.")

    def last_signed(self) -> tuple[RunDirectory, str]:
        """See `ReferenceRuns`; the sign-off is compared with the ledger and the run, but not verified."""
        try:
            newest = newest_signed(self.output, self.before)
        except AuditError as error:
            raise NoReferenceError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        if newest is None:
            raise NoReferenceError("No run before this one is signed.")
        name = newest.folder.name
        try:
            run = RunDirectory(newest.folder)
            digest = hashlib.sha256((newest.folder / RUN_FILE).read_bytes()).hexdigest()
        except (AuditError, OSError):
            raise NoReferenceError(f"The signed run {name} is missing or damaged.") from None
        if digest != newest.statement.digest_of(RUN_FILE):
            raise NoReferenceError(f"Run {name} differs from what was signed.")
        return self._comparable(run, f"The last signed run, {name},"), newest.envelope

    def last(self, n: int) -> list[RunDirectory]:
        """See `ReferenceRuns`."""
        with self._history() as history:
            return [RunDirectory(self.output / run.run) for run in history.last(n, self._reading, self.before)]

    def _history(self) -> History:
        try:
            return History.open(self.output)
        except AuditError as error:
            raise NoReferenceError(f"The history of runs cannot be used: {error}.") from None

    @cached_property
    def _reading(self) -> str:
        return reading_key(self.facts)

    def _comparable(self, run: RunDirectory, what: str) -> RunDirectory:
        if not run.facts.complete:
            raise NoReferenceError(f"{what} is incomplete.")
        if run.facts.tokenizer.sha256 != self.facts.tokenizer.sha256:
            raise NoReferenceError(f"{what} was counted with another tokenizer.")
        if reading_key(run.facts) != self._reading:
            raise NoReferenceError(f"{what} was read in another way (columns, filters, domains or sample).")
        return run


def resolve_references(policy: Policy, metrics: pa.Table, earlier: ReferenceRuns) -> References:
    """The references of every rule of a policy, for every slice that the run has.

    Args:
        policy: the rules.
        metrics: figures of the judged run.
        earlier: the runs before it.
    """
    compared = [rule for rule in policy.rules if rule.reference is not None]
    slices = rows_by_slice(metrics, {rule.metric for rule in compared})
    tables = _Tables({rule.metric for rule in compared})
    sources: dict[str, list[RunDirectory] | str] = {}
    references: dict[tuple[str, str], Reference] = {}
    for rule in compared:
        spec = rule.reference
        assert spec is not None
        key = f"{spec.kind} {spec.run} {spec.band_runs}"
        if key not in sources:
            sources[key] = _runs(spec, earlier)
        for name in Pattern(rule.slice).among(slices.get(rule.metric, {})):
            references[rule.id, name] = _reference(
                spec, sources[key], partial(tables.row, metric=rule.metric, slice_=name)
            )
    return References(references, last_signed(earlier))


def _runs(spec: ReferenceSpec, earlier: ReferenceRuns) -> list[RunDirectory] | str:
    try:
        if spec.kind == "pinned":
            return [earlier.pinned(spec.run or "")]
        if spec.kind == "last_signed":
            return [earlier.last_signed()[0]]
        return earlier.last(spec.band_runs)
    except NoReferenceError as error:
        return str(error)
    except AuditError as error:
        return f"The reference run cannot be read: {error}."


def _reference(
    spec: ReferenceSpec, runs: list[RunDirectory] | str, row_of: Callable[[RunDirectory], Row | str]
) -> Reference:
    if isinstance(runs, str):
        return Reference(kind=spec.kind, compare=spec.compare, reason=runs)
    rows = {run.facts.run: row_of(run) for run in runs}
    if spec.kind == "band":
        return _band(spec, [row["value"] for row in rows.values() if not isinstance(row, str)])
    name, row = next(iter(rows.items()))
    if isinstance(row, str):
        return Reference(kind=spec.kind, compare=spec.compare, run=name, reason=row)
    low, high = (end if end is None or isfinite(end) else None for end in (row["low"], row["high"]))
    return Reference(kind=spec.kind, compare=spec.compare, run=name, value=row["value"], low=low, high=high)


def _band(spec: ReferenceSpec, values: Iterable[float]) -> Reference:
    known = list(values)
    if len(known) < spec.band_minimum:
        runs = f"{plural(len(known), 'comparable earlier run')} {agree(len(known), 'has', 'have')}"
        reason = f"{runs} the figure; the band needs {spec.band_minimum}."
        return Reference(kind="band", compare=spec.compare, runs=len(known), reason=reason)
    median = statistics.median(known)
    spread = MAD_TO_DEVIATION * statistics.median(abs(value - median) for value in known)
    return Reference(
        kind="band",
        compare=spec.compare,
        value=median,
        low=median - spread,
        high=median + spread,
        runs=len(known),
    )


class _Tables:
    """Figures of earlier runs; the table of each run is read once."""

    def __init__(self, metrics: set[str]) -> None:
        self._metrics = metrics
        self._read: dict[Path, Mapping[str, dict[str, list[Row]]] | str] = {}

    def row(self, run: RunDirectory, metric: str, slice_: str) -> Row | str:
        """The row of a figure in a run, or the reason why there is none, as a sentence."""
        name = run.facts.run
        if run.folder not in self._read:
            try:
                if "tables/metrics.parquet" in run.damaged(("tables/metrics.parquet",)):
                    raise NoReferenceError(f"The table of metrics of run {name} is damaged.")
                self._read[run.folder] = rows_by_slice(run.table("metrics"), self._metrics)
            except (NoReferenceError, AuditError) as error:
                self._read[run.folder] = str(error)
        slices = self._read[run.folder]
        if isinstance(slices, str):
            return slices
        rows = slices.get(metric, {}).get(slice_, [])
        if len(rows) != 1:
            return f"Run {name} has {'no' if not rows else 'more than one'} such figure."
        if rows[0]["value"] is None or not isfinite(rows[0]["value"]):
            return f"The figure is empty in run {name}."
        return rows[0]


def last_signed(earlier: ReferenceRuns) -> LastSigned | None:
    """Totals and judgements of the last signed run; None if there is none, or if it was not judged."""
    try:
        run, envelope = earlier.last_signed()
        results = read_results((run.folder / RESULTS_FILE).read_bytes())
        metrics = rows_by_slice(run.table("metrics"), {"tokens"})
    except (NoReferenceError, AuditError, OSError):
        return None
    coverage = run.facts.coverage
    tokens = metrics.get("tokens", {}).get("all", [])
    return LastSigned(
        run=run.facts.run,
        envelope=envelope,
        snapshot=results.snapshot,
        policy=results.policy.sha256,
        shards=coverage.shards,
        documents=coverage.documents,
        tokens=int(tokens[0]["value"]) if len(tokens) == 1 and tokens[0]["value"] is not None else 0,
        judgements=tuple(
            PastJudgement(rule=past.rule, slice=past.slice, status=past.status, observed=past.observed)
            for past in results.judgements
        ),
    )
