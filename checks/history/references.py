"""What figures are compared with: the same figures in a pinned run, in the last signed run, or over the last runs.

Whatever is absent or not comparable is a reference without a value and with the reason: its rule is then ``missing``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from math import isfinite
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from corpus_audit.checks.history.history import History
from corpus_audit.checks.policy.judge import References, Row, rows_by_slice
from corpus_audit.checks.policy.proposals import robust_band
from corpus_audit.checks.signoff.latest import last_signed as newest_signed
from corpus_audit.pipelines.drift.comparable import reading_key
from corpus_audit.pipelines.storage.run_directory import RunDirectory, open_run
from corpus_audit.schemas.errors import AuditError
from corpus_audit.schemas.run.results import RESULTS_FILE, LastSigned, PastJudgement, Reference, read_results
from corpus_audit.schemas.run.run_file import RUN_FILE, RunFile
from corpus_audit.schemas.spec.policy import Policy, ReferenceSpec
from corpus_audit.schemas.spec.slices import Pattern


class Absent(Exception):
    """There is no such run, or it cannot be compared with; the message is one sentence for people."""


class Earlier(Protocol):
    """Runs before the one that is judged; each method raises `Absent`."""

    def pinned(self, run: str) -> RunDirectory:
        """The run that a policy names."""

    def last_signed(self) -> tuple[RunDirectory, str]:
        """The newest signed run, and the SHA-256 of its sign-off."""

    def last(self, n: int) -> list[RunDirectory]:
        """The ``n`` newest complete and comparable runs, or as many as there are, oldest first."""


@dataclass(frozen=True)
class EarlierRuns:
    """The runs of an output folder.

    Attributes:
        output: the folder.
        facts: run.json of the run that is judged.
        policy_base: the folder of the policy file, against which pinned runs resolve; None: none.
        audit_base: the folder of audit.yaml, against which its baselines resolve.
        before: name of the judged run, if it lies in the folder already.
    """

    output: Path
    facts: RunFile
    policy_base: Path | None
    audit_base: Path | None
    before: str | None = None

    def pinned(self, run: str) -> RunDirectory:
        """See `Earlier`."""
        if run == "baseline" or run.startswith("baseline="):
            return self._baseline(run.partition("=")[2])
        places = [base / run for base in (self.policy_base, self.output) if base is not None]
        for place in places:
            if place.is_dir():
                try:
                    return self._comparable(open_run(place), f"The pinned run {run}")
                except AuditError as error:
                    raise Absent(f"The pinned run {run} cannot be read: {error}.") from None
        raise Absent(f"There is no run {run}, neither beside the policy nor in the output folder.")

    def _baseline(self, label: str) -> RunDirectory:
        known = {one.label: one for one in self.facts.baselines}
        if not known:
            raise Absent("The audit names no baseline.")
        if label and label not in known:
            raise Absent(f"The audit names no baseline {label}.")
        wanted = known[label] if label else next(iter(known.values()))
        spec = self.facts.spec["baseline"]
        specs = spec if isinstance(spec, list) else [spec]
        place = next(one["run"] for one in specs if one["label"] == wanted.label)
        if self.audit_base is None:
            raise Absent(f"The folder of baseline {wanted.label} is not known here.")
        for folder in (self.audit_base / place, self.audit_base / place / wanted.run):
            if (folder / RUN_FILE).is_file():
                found = RunDirectory(folder)
                if found.facts.run == wanted.run:
                    return self._comparable(found, f"The baseline {wanted.label}")
        raise Absent(f"The run {wanted.run} of baseline {wanted.label} is gone.")

    def last_signed(self) -> tuple[RunDirectory, str]:
        """See `Earlier`; the sign-off is held against the ledger and the run, `verify` says whether it verifies."""
        try:
            newest = newest_signed(self.output, self.before)
        except AuditError as error:
            raise Absent(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        if newest is None:
            raise Absent("No run before this one is signed.")
        name = newest.folder.name
        try:
            run = RunDirectory(newest.folder)
            digest = hashlib.sha256((newest.folder / RUN_FILE).read_bytes()).hexdigest()
        except (AuditError, OSError):
            raise Absent(f"Run {name} is signed, and gone or damaged.") from None
        if digest != newest.statement.digest_of(RUN_FILE):
            raise Absent(f"Run {name} is not what was signed.")
        return self._comparable(run, f"The last signed run, {name},"), newest.envelope

    def last(self, n: int) -> list[RunDirectory]:
        """See `Earlier`."""
        with self._history() as history:
            return [RunDirectory(self.output / run.run) for run in history.last(n, self._reading, self.before)]

    def _history(self) -> History:
        try:
            return History.open(self.output)
        except AuditError as error:
            raise Absent(f"The history of runs cannot be used: {error}.") from None

    @cached_property
    def _reading(self) -> str:
        return reading_key(self.facts)

    def _comparable(self, run: RunDirectory, what: str) -> RunDirectory:
        if not run.facts.complete:
            raise Absent(f"{what} is incomplete.")
        if run.facts.tokenizer.sha256 != self.facts.tokenizer.sha256:
            raise Absent(f"{what} was counted with another tokenizer.")
        if reading_key(run.facts) != self._reading:
            raise Absent(f"{what} was read in another way (columns, filters, domains or sample).")
        return run


def gather(policy: Policy, metrics: pa.Table, earlier: Earlier) -> References:
    """What every rule of a policy compares with, for every slice that the run has.

    Args:
        policy: the rules.
        metrics: figures of the run that is judged.
        earlier: the runs before it.
    """
    compared = [rule for rule in policy.rules if rule.reference is not None]
    slices = rows_by_slice(metrics, {rule.metric for rule in compared})
    tables = _Tables({rule.metric for rule in compared})
    sources: dict[str, list[RunDirectory] | str] = {}
    found: dict[tuple[str, str], Reference] = {}
    for rule in compared:
        spec = rule.reference
        assert spec is not None
        key = f"{spec.kind} {spec.run} {spec.band_runs}"
        if key not in sources:
            sources[key] = _runs(spec, earlier)
        for name in Pattern(rule.slice).among(slices.get(rule.metric, {})):
            found[rule.id, name] = _reference(spec, sources[key], partial(tables.row, metric=rule.metric, slice_=name))
    return References(found, last_signed(earlier))


def _runs(spec: ReferenceSpec, earlier: Earlier) -> list[RunDirectory] | str:
    try:
        if spec.kind == "pinned":
            return [earlier.pinned(spec.run or "")]
        if spec.kind == "last_signed":
            return [earlier.last_signed()[0]]
        return earlier.last(spec.band_runs)
    except Absent as error:
        return str(error)
    except AuditError as error:
        return f"What it is compared with cannot be read: {error}."


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
        runs = "comparable run before this one has" if len(known) == 1 else "comparable runs before this one have"
        reason = f"{len(known)} {runs} the figure; the band needs {spec.band_minimum}."
        return Reference(kind="band", compare=spec.compare, runs=len(known), reason=reason, too_few_runs=True)
    median, spread = robust_band(known)
    return Reference(
        kind="band",
        compare=spec.compare,
        value=median,
        low=median - spread,
        high=median + spread,
        runs=len(known),
    )


class _Tables:
    """Figures of earlier runs, each run's table read once."""

    def __init__(self, metrics: set[str]) -> None:
        self._metrics = metrics
        self._read: dict[Path, Mapping[str, dict[str, list[Row]]] | str] = {}

    def row(self, run: RunDirectory, metric: str, slice_: str) -> Row | str:
        """The figure in a run, or why there is none."""
        name = run.facts.run
        if run.folder not in self._read:
            try:
                if "tables/metrics.parquet" in run.damaged(("tables/metrics.parquet",)):
                    raise Absent(f"The table of metrics of run {name} is damaged.")
                self._read[run.folder] = rows_by_slice(run.table("metrics"), self._metrics)
            except (Absent, AuditError) as error:
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


def last_signed(earlier: Earlier) -> LastSigned | None:
    """What the signers of the last signed run saw; None if there is none, or if it was not judged."""
    try:
        run, envelope = earlier.last_signed()
        results = read_results((run.folder / RESULTS_FILE).read_bytes())
        metrics = rows_by_slice(run.table("metrics"), {"tokens"})
    except (Absent, AuditError, OSError):
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
            PastJudgement(rule=one.rule, slice=one.slice, status=one.status, observed=one.observed)
            for one in results.judgements
        ),
    )
