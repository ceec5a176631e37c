"""Reads the logs and evaluations that an investigation names, computes its findings and publishes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from corpus_audit.checks.investigation.drawn_windows import analyse_drawn
from corpus_audit.checks.investigation.evaluation_findings import KEYS, StepComparison, compare_steps
from corpus_audit.checks.investigation.investigation import Investigation, investigate, tables, windows_of
from corpus_audit.checks.investigation.run_analysis import RunAnalysis, analyse_run
from corpus_audit.checks.investigation.scaling_findings import analyse_scaling
from corpus_audit.checks.report.investigation.page import render_investigation
from corpus_audit.pipelines.evaluations.contaminated import read_contaminated
from corpus_audit.pipelines.evaluations.named_paths import read_paths
from corpus_audit.pipelines.figures.investigation_metrics import investigation_metrics
from corpus_audit.pipelines.storage.run_directory import StagedRun, clear_staging, read_run_table, write_table
from corpus_audit.pipelines.telemetry.points import FileTelemetry
from corpus_audit.pipelines.telemetry.reading import UnreadFile, read_telemetry_file
from corpus_audit.pipelines.telemetry.recognition import files_of
from corpus_audit.pipelines.telemetry.segments import join
from corpus_audit.runners.investigation.published import FACTS_FILE
from corpus_audit.runners.investigation.scaling_file import read_scaling_runs
from corpus_audit.runners.process.locks import OutputLock
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.findings import FINDINGS_FILE, Findings
from corpus_audit.schemas.spec.investigation import TrainingRun
from corpus_audit.schemas.spec.investigation_file import LoadedInvestigation
from corpus_audit.schemas.tables.investigation.drawn_tables import DRAWN_TABLES
from corpus_audit.schemas.tables.investigation.evaluation_tables import INVESTIGATION_EVALUATION_TABLES
from corpus_audit.schemas.tables.investigation.scaling_tables import SCALING_TABLES
from corpus_audit.schemas.tables.investigation.telemetry_tables import TELEMETRY_TABLES

REPORT_FILE = "report.html"


@dataclass(frozen=True, slots=True)
class Published:
    """A finished investigation and where it is."""

    folder: Path
    findings: Findings


def run_investigation(loaded: LoadedInvestigation, output: Path | None = None) -> Published:
    """Compute everything and publish it as a directory, by one rename.

    Args:
        loaded: the spec.
        output: the folder to publish into; that of the spec by default.

    Raises:
        UsageError: a path of the spec matches nothing, no log can be read, or evaluations cannot be compared.
        LockedError: another investigation publishes into the folder.
    """
    target = output if output is not None else loaded.base / loaded.spec.output
    runs = {run.id: _analysed(run, loaded.base) for run in loaded.spec.runs}
    if not any(run.telemetry.series for run in runs.values()):
        raise UsageError("no log that the investigation names holds telemetry that could be read")
    scaling = None
    if (asked := loaded.spec.scaling) is not None:
        scaling = analyse_scaling(read_scaling_runs(loaded.base / asked.runs), asked.holdout)
    drawn = loaded.spec.drawn
    drawn_by = runs[drawn.run or loaded.spec.runs[0].id] if drawn is not None else None
    analysis = analyse_drawn(drawn, loaded.base, drawn_by, windows_of(loaded.spec)) if drawn and drawn_by else None
    investigation = investigate(loaded.spec, runs, _compared(loaded), scaling, analysis)
    with OutputLock(target):
        clear_staging(target)
        return _publish(loaded, target, investigation)


def _analysed(run: TrainingRun, base: Path) -> RunAnalysis:
    """Read the logs of a run and compute what concerns it alone."""
    read: list[FileTelemetry] = []
    names: list[str] = []
    unread: list[UnreadFile] = []
    try:
        listed = list(files_of(base, run.telemetry))
    except FileNotFoundError as error:
        raise UsageError(f"run {run.id}: {error} matches no file") from None
    for path, name in listed:
        result = read_telemetry_file(path)
        if isinstance(result, UnreadFile):
            unread.append(result)
            continue
        inside = [part.run for part in result.runs]
        if name and name not in inside:
            raise UsageError(f"run {run.id}: {path} holds no run {name!r}")
        if not name and len(inside) > 1:
            raise UsageError(
                f"run {run.id}: {path} holds {len(inside)} runs; name one as {path.name}#RUN, such as "
                f"{path.name}#{inside[0]}"
            )
        read.append(result)
        names.append(name)
    return analyse_run(run, join(read, names), tuple(unread))


def _compared(loaded: LoadedInvestigation) -> tuple[StepComparison, ...]:
    """Read the evaluations of the spec and compare them."""
    spec = loaded.spec
    if not spec.evals:
        return ()
    contaminated = None
    if spec.contamination is not None:
        contaminated = read_contaminated(loaded.base / spec.contamination.list, spec.contamination.rule, KEYS.rule)
    evaluations = []
    for each in spec.evals:
        name = f"the evaluation of {each.run} at step {each.step}"
        evaluation = read_paths(loaded.base, each.paths, name, spec.cluster)
        if not evaluation.items.num_rows and not evaluation.claims:
            reasons = [f"{file.file}: {file.reason}" for file in evaluation.files if file.reason]
            why = f" ({reasons[0]})" if reasons else ""
            raise UsageError(f"{name} holds no scores that could be read{why}")
        evaluations.append(evaluation)
    tasks = {task for evaluation in evaluations for task in evaluation.items["task"].unique().to_pylist()}
    for task in spec.cluster if isinstance(spec.cluster, dict) else ():
        if task not in tasks:
            raise UsageError(f"cluster: no evaluation has items of {task!r}")
    return compare_steps(spec, evaluations, contaminated)


def _publish(loaded: LoadedInvestigation, output: Path, investigation: Investigation) -> Published:
    staged = StagedRun(output, _new_name(output))
    schemas = TELEMETRY_TABLES | DRAWN_TABLES | INVESTIGATION_EVALUATION_TABLES | SCALING_TABLES
    for name, pieces in tables(investigation):
        write_table(staged.folder / "tables" / f"{name}.parquet", schemas[name], pieces)
    findings = Findings(name=loaded.spec.name, run=staged.name, findings=investigation.findings)
    files = read_run_table(staged.folder, "telemetry_files").to_pylist()
    staged.add_table("metrics", [investigation_metrics(findings.findings, files)])
    staged.add_text(FINDINGS_FILE, findings.model_dump_json(indent=1, by_alias=True) + "\n")
    staged.add_text(REPORT_FILE, render_investigation(loaded.spec, findings, investigation))
    staged.add_text("investigation.yaml", loaded.path.read_text(encoding="utf-8"))
    digests = {name: {"sha256": file.sha256, "bytes": file.bytes} for name, file in staged.digests().items()}
    facts = {
        "schema": "corpus-audit/investigation-files/1",
        "name": loaded.spec.name,
        "run": staged.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": digests,
    }
    staged.add_text(FACTS_FILE, json.dumps(facts, indent=1) + "\n")
    return Published(staged.publish(), findings)


def _new_name(output: Path) -> str:
    """The time in UTC, with a number behind it for a second investigation within the second."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name, number = stamp, 1
    while (output / name).exists():
        number += 1
        name = f"{stamp}-{number}"
    return name
