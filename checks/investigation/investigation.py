"""All findings of an investigation, and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpus_audit.checks.investigation.cause_findings import cause_findings, without_caused
from corpus_audit.checks.investigation.chance import beyond_chance
from corpus_audit.checks.investigation.change_findings import NO_LOG, adjusted, change_findings
from corpus_audit.checks.investigation.claim_findings import claim_findings
from corpus_audit.checks.investigation.document_findings import (
    document_explanations,
    document_findings,
    table_rows,
)
from corpus_audit.checks.investigation.drawn_windows import DrawnAnalysis
from corpus_audit.checks.investigation.evaluation_findings import (
    StepComparison,
    evaluation_findings,
    evaluation_tables,
)
from corpus_audit.checks.investigation.leak_findings import ContaminationAnalysis, leak_findings, leak_tables
from corpus_audit.checks.investigation.log_findings import log_findings
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.scaling_findings import (
    ScalingAnalysis,
    scaling_finding,
    scaling_tables,
    unique_finding,
)
from corpus_audit.checks.investigation.spike_findings import spike_findings
from corpus_audit.checks.investigation.twin_findings import Twin, twin_findings, twins_of
from corpus_audit.checks.representations.expert_analysis import ExpertAnalysis
from corpus_audit.checks.representations.expert_findings import expert_findings, expert_tables
from corpus_audit.checks.representations.unit_findings import unit_findings, unit_tables
from corpus_audit.checks.representations.unit_records import UnitAnalysis
from corpus_audit.pipelines.statistics.telemetry.twins import in_twin
from corpus_audit.pipelines.telemetry.points import encodable
from corpus_audit.schemas.run.findings import Finding, Reading
from corpus_audit.schemas.spec.investigation import InvestigationSpec
from corpus_audit.schemas.tables.investigation.drawn_tables import DRAWN_TABLES
from corpus_audit.schemas.tables.investigation.telemetry_tables import TELEMETRY_TABLES

_PIECE = 1_000_000
_SPIKES_ONLY = "the sampler's log is compared before spikes only; the sampling audit tests it over all steps"
_ORDER = {Reading.SHOWN: 0, Reading.CHANCE: 1, Reading.NOT_ENOUGH: 2, Reading.NOT_SHOWN: 3}


@dataclass(frozen=True, slots=True)
class Investigation:
    """What was found out.

    Attributes:
        findings: shown ones first, then those that are not beyond chance among all questions, then those without enough
            data; in each primary tasks first, then runs with their largest spikes first, then all other tasks.
        runs: the analyses by run.
        twins: of every run.
        q: of every tested window of every run.
        comparisons: of evaluations.
        scaling: the law of a team's runs.
        drawn: what the sampler of a run drew; None without a log.
        contamination: which items of evaluations are contaminated; None where that is not known.
        experts: the balance of a run's experts, from series of its telemetry.
        units: of an activation index.
        questions: how many questions were tested.
    """

    findings: tuple[Finding, ...]
    runs: Mapping[str, RunAnalysis]
    twins: Mapping[str, list[Twin]]
    q: Mapping[str, list[float]]
    comparisons: tuple[StepComparison, ...] = ()
    scaling: ScalingAnalysis | None = None
    drawn: DrawnAnalysis | None = None
    contamination: ContaminationAnalysis | None = None
    experts: ExpertAnalysis | None = None
    units: UnitAnalysis | None = None
    questions: int = 0


def windows_of(spec: InvestigationSpec) -> list[tuple[int, int]]:
    """First and last steps that findings are limited to; none is all."""
    return [] if isinstance(spec.windows, str) else [(window.first, window.last) for window in spec.windows]


def investigate(
    spec: InvestigationSpec,
    runs: Mapping[str, RunAnalysis],
    comparisons: Sequence[StepComparison] = (),
    scaling: ScalingAnalysis | None = None,
    drawn: DrawnAnalysis | None = None,
    contamination: ContaminationAnalysis | None = None,
    experts: ExpertAnalysis | None = None,
    units: UnitAnalysis | None = None,
) -> Investigation:
    """Ask every question of every run, and of evaluations and the scaling law where they were computed.

    Args:
        spec: of the investigation.
        runs: by id.
        comparisons: of evaluations.
        scaling: the law of a team's runs.
        drawn: what the sampler of one of the runs drew, if its log is part of the investigation.
        contamination: which items of the evaluations are contaminated, where that is known.
        experts: the balance of the experts of one of the runs.
        units: what activation indexes say.
    """
    twins, q = twins_of(runs), adjusted(runs)
    windows = windows_of(spec)
    findings: list[Finding] = []
    for name, run in runs.items():
        events = [event for event in spec.events if event.run in (None, name)]
        rises = {} if run.loss is None else {int(run.loss.step[spike.peak]): spike.rise for spike in run.spikes}
        documents = document_explanations(run, drawn, rises) if drawn is not None else {}
        spikes = spike_findings(run, twins[name], events, windows, documents)
        findings += spikes
        findings += cause_findings(run, spikes, twins[name], drawn, [event for event in events if event.run is None])
        if drawn is not None and drawn.run == name:
            findings += document_findings(run, drawn)
        findings += change_findings(run, q[name], windows, NO_LOG if drawn is None else _SPIKES_ONLY)
        findings += twin_findings(run, twins[name])
        findings += log_findings(run)
        findings += expert_findings(experts, events, windows) if experts is not None and experts.run == name else []
    if scaling is not None:
        unique = unique_finding(scaling)
        findings += [scaling_finding(scaling), *([] if unique is None else [unique])]
    findings += evaluation_findings(comparisons) + claim_findings(comparisons)
    findings += [] if contamination is None else leak_findings(comparisons, contamination)
    findings += [] if units is None else unit_findings(units)
    judged, questions = beyond_chance(findings)
    weakened = [without_caused(each) if each.reading is Reading.CHANCE else each for each in judged]
    ordered = tuple(sorted(weakened, key=lambda f: (_ORDER[f.reading], f.family != "primary")))
    return Investigation(
        ordered, runs, twins, q, tuple(comparisons), scaling, drawn, contamination, experts, units, questions
    )


def tables(investigation: Investigation) -> Iterator[tuple[str, Iterable[pa.Table]]]:
    """(name, pieces) of every table; the points are made piece by piece."""
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TELEMETRY_TABLES if name != "telemetry_points"}
    for name, run in investigation.runs.items():
        _file_rows(name, run, rows)
        rows["telemetry_series"] += _series_rows(name, run)
        rows["telemetry_spikes"] += _spike_rows(name, run, investigation.twins[name])
        rows["telemetry_shifts"] += _shift_rows(name, run, investigation.q[name])
        rows["telemetry_twins"] += [
            {
                "run": name, "twin": twin.other.spec.id, "steps": c.steps, "left_out": c.left_out,
                "correlation": c.correlation, "low": c.low, "high": c.high, "slope": c.slope,
            }
            for twin in investigation.twins[name]
            if (c := twin.comparison) is not None
        ]  # fmt: skip
    if investigation.drawn is not None:
        drawn = table_rows(investigation.drawn)
        for table, schema in DRAWN_TABLES.items():
            yield table, [pa.Table.from_pylist(drawn[table], schema)]
    for table, schema in TELEMETRY_TABLES.items():
        pieces = _points(investigation) if table == "telemetry_points" else [pa.Table.from_pylist(rows[table], schema)]
        yield table, pieces
    for table, rows_of_all in evaluation_tables(investigation.comparisons):
        yield table, [rows_of_all]
    if investigation.experts is not None:
        for table, rows_of_all in expert_tables(investigation.experts):
            yield table, [rows_of_all]
    if investigation.units is not None:
        for table, rows_of_all in unit_tables(investigation.units):
            yield table, [rows_of_all]
    if investigation.contamination is not None:
        for table, rows_of_all in leak_tables(investigation.contamination):
            yield table, [rows_of_all]
    if investigation.scaling is not None:
        for table, rows_of_all in scaling_tables(investigation.scaling):
            yield table, [rows_of_all]


def _file_rows(name: str, run: RunAnalysis, rows: dict[str, list[dict[str, object]]]) -> None:
    for file in run.telemetry.files:
        account = file.account
        rows["telemetry_files"].append(
            {
                "run": name, "file": encodable(str(file.path)), "format": file.kind, "entries": account.entries,
                "used": account.used, "other": account.other, "refused": account.refused, "values": account.values,
                "values_refused": account.values_refused, "notes": "; ".join(account.notes),
            }
        )  # fmt: skip
        rows["telemetry_dead_letters"] += [
            {
                "run": name, "file": encodable(str(file.path)), "offset": letter.offset, "reason": letter.reason.value,
                "detail": letter.detail,
            }
            for letter in account.dead_letters
        ]  # fmt: skip
    counts = ("entries", "used", "other", "refused", "values", "values_refused")
    rows["telemetry_files"] += [
        {
            "run": name,
            "file": encodable(str(file.path)),
            "not_read": file.reason,
            "notes": "",
            **dict.fromkeys(counts, 0),
        }
        for file in run.unread
    ]


def _series_rows(name: str, run: RunAnalysis) -> list[dict[str, object]]:
    main = {id(curve.series) for curve in run.curves.values()}
    return [
        {
            "run": name, "series": number, "tag": series.tag,
            "quantity": series.mapped.quantity.value if series.mapped else None,
            "certainty": series.mapped.certainty.value if series.mapped else None,
            "unit": series.mapped.unit if series.mapped else None,
            "scale": series.mapped.scale if series.mapped else 1.0, "main": id(series) in main,
            "points": len(series), "superseded": int(series.superseded.sum()), "equal": series.equal,
            "not_finite": int((~np.isfinite(series.value)).sum()), "segments": int(series.segment.max()) + 1,
            "ordered": series.ordered, "first_step": int(series.step.min()), "last_step": int(series.step.max()),
        }
        for number, series in enumerate(run.telemetry.series)
    ]  # fmt: skip


def _spike_rows(name: str, run: RunAnalysis, twins: list[Twin]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for spike in run.spikes:
        assert run.loss is not None
        step = int(run.loss.step[spike.peak])
        row: dict[str, object] = {
            "run": name, "first_step": int(run.loss.step[spike.first]), "step": step,
            "last_step": int(run.loss.step[spike.last]), "z": spike.z, "rise": spike.rise, "kind": spike.kind.value,
            "precursor_z": spike.precursor_z,
        }  # fmt: skip
        for twin in twins[:1]:
            if twin.other.loss is not None and twin.other.scores is not None:
                presence, z = in_twin(step, twin.threshold, twin.other.loss.step, twin.other.scores)
                row |= {"twin": twin.other.spec.id, "in_twin": presence.value, "twin_z": z if z == z else None}
        rows.append(row)
    return rows


def _shift_rows(name: str, run: RunAnalysis, q: list[float]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    if run.loss is not None:
        step = run.loss.step
        rows += [
            {
                "run": name, "quantity": "loss", "first_step": int(step[w.start]), "last_step": int(step[w.stop - 1]),
                "step": int(step[w.position]), "size": w.shift.size, "low": w.shift.low, "high": w.shift.high,
                "p": w.shift.p, "q": value, "n": w.shift.n,
            }
            for w, value in zip(run.shifts, q, strict=True)
        ]  # fmt: skip
    for quantity, (changes, tests) in run.rates.items():
        curve = run.curves[quantity]
        rows += [
            {
                "run": name, "quantity": str(quantity), "first_step": int(curve.step[0]),
                "last_step": int(curve.step[-1]), "step": int(curve.step[change.position]), "size": change.ratio,
                "low": change.low, "high": change.high, "p": change.p, "q": min(change.p * tests, 1.0), "n": change.n,
            }
            for change in changes
        ]  # fmt: skip
    return rows


def _points(investigation: Investigation) -> Iterator[pa.Table]:
    schema = TELEMETRY_TABLES["telemetry_points"]
    # One dictionary for all pieces: Arrow does not merge chunks that have their own.
    names = pa.array(list(investigation.runs), pa.string())
    paths = pa.array(
        [encodable(str(f.path)) for run in investigation.runs.values() for f in run.telemetry.files], pa.string()
    )
    before = 0
    for position, run in enumerate(investigation.runs.values()):
        for number, series in enumerate(run.telemetry.series):
            for start in range(0, len(series), _PIECE):
                rows = slice(start, start + _PIECE)
                n = len(series.step[rows])
                columns = {
                    "run": pa.DictionaryArray.from_arrays(pa.array(np.full(n, position, np.int32)), names),
                    "series": pa.array(np.full(n, number, np.int32)),
                    "segment": pa.array(series.segment[rows]),
                    "superseded": pa.array(series.superseded[rows]),
                    "step": pa.array(series.step[rows]),
                    "value": pa.array(series.value[rows]),
                    "wall_time": pa.array(series.wall_time[rows]),
                    "file": pa.DictionaryArray.from_arrays(pa.array(series.file[rows] + np.int32(before)), paths),
                    "offset": pa.array(series.offset[rows]),
                }
                yield pa.table(columns, schema=schema)
        before += len(run.telemetry.files)
