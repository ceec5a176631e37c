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
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.storage.parsed_files import ParsedFiles
from corpus_audit.pipelines.storage.run_directory import StagedRun, clear_staging, write_table
from corpus_audit.pipelines.telemetry.points import FileTelemetry
from corpus_audit.pipelines.telemetry.reading import UnreadFile
from corpus_audit.pipelines.telemetry.recognition import files_of
from corpus_audit.pipelines.telemetry.segments import join
from corpus_audit.runners.investigation.scaling_file import read_scaling_runs
from corpus_audit.runners.investigation.stored_evaluations import read_stored_evaluation
from corpus_audit.runners.investigation.stored_telemetry import read_stored_telemetry
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
FACTS_FILE = "investigation.json"

STORE = ".store"
"""Folder within the output folder: what was parsed of large files, see `ParsedFiles`."""


@dataclass(frozen=True, slots=True)
class Published:
    """A finished investigation and where it is."""

    folder: Path
    findings: Findings


def run_investigation(loaded: LoadedInvestigation, output: Path | None = None, board: Board | None = None) -> Published:
    """Compute everything and publish it as a directory, by one rename.

    What is parsed of large files is stored below the output folder at once, so that a call that was interrupted, or one
    after a change of the spec, does not parse them again.

    Args:
        loaded: the spec.
        output: the folder to publish into; that of the spec by default.
        board: where progress is written.

    Raises:
        RunCancelledError: the board was cancelled.
        UsageError: a path of the spec matches nothing, no log can be read, or evaluations cannot be compared.
        LockedError: another investigation publishes into the folder.
    """
    target = output if output is not None else loaded.base / loaded.spec.output
    board = board or Board()
    store = ParsedFiles(target / STORE)
    runs = _analysed_runs(loaded, store, board)
    if not any(run.telemetry.series for run in runs.values()):
        raise UsageError("no log that the investigation names holds telemetry that could be read")
    scaling = None
    if (asked := loaded.spec.scaling) is not None:
        scaling = analyse_scaling(read_scaling_runs(loaded.base / asked.runs), asked.holdout)
    drawn = loaded.spec.drawn
    drawn_by = runs[drawn.run or loaded.spec.runs[0].id] if drawn is not None else None
    if drawn is not None:
        _stage(board, "comparing what was drawn")
    analysis = analyse_drawn(drawn, loaded.base, drawn_by, windows_of(loaded.spec)) if drawn and drawn_by else None
    comparisons = _compared(loaded, store, board)
    _stage(board, "computing findings")
    investigation = investigate(loaded.spec, runs, comparisons, scaling, analysis)
    with OutputLock(target):
        clear_staging(target)
        try:
            _stage(board, "publishing")
            published = _publish(loaded, target, investigation)
        finally:
            clear_staging(target)
        store.remove_unused()
        return published


def _stage(board: Board, name: str, total: int = 0) -> None:
    """Begin a stage of so many bytes, unless the board was cancelled."""
    board.advance()
    board.begin_stage(name, total)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # which its reader reports


def _analysed_runs(loaded: LoadedInvestigation, store: ParsedFiles, board: Board) -> dict[str, RunAnalysis]:
    """Read the logs of all runs, and compute what concerns each alone."""
    listed: dict[str, list[tuple[Path, str]]] = {}
    for run in loaded.spec.runs:
        try:
            listed[run.id] = list(files_of(loaded.base, run.telemetry))
        except FileNotFoundError as error:
            raise UsageError(f"run {run.id}: {error} matches no file") from None
    _stage(board, "reading logs", sum(_size(path) for files in listed.values() for path, _ in files))
    return {run.id: _analysed(run, listed[run.id], store, board) for run in loaded.spec.runs}


def _analysed(run: TrainingRun, listed: list[tuple[Path, str]], store: ParsedFiles, board: Board) -> RunAnalysis:
    """Read the logs of a run and compute what concerns it alone."""
    read: list[FileTelemetry] = []
    names: list[str] = []
    unread: list[UnreadFile] = []
    for path, name in listed:
        board.shard_started(path.name)
        result = read_stored_telemetry(path, store)
        board.shard_finished(path.name)
        board.advance(_size(path))
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


def _compared(loaded: LoadedInvestigation, store: ParsedFiles, board: Board) -> tuple[StepComparison, ...]:
    """Read the evaluations of the spec and compare them."""
    spec = loaded.spec
    if not spec.evals:
        return ()
    contaminated = None
    if spec.contamination is not None:
        contaminated = read_contaminated(loaded.base / spec.contamination.list, spec.contamination.rule, KEYS.rule)
    _stage(board, "reading evaluations")
    evaluations = []
    for each in spec.evals:
        name = f"the evaluation of {each.run} at step {each.step}"
        evaluation = read_stored_evaluation(loaded.base, each.paths, name, spec.cluster, store)
        board.advance()
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
    staged.add_text(FINDINGS_FILE, findings.model_dump_json(indent=1, by_alias=True) + "\n")
    staged.add_text(REPORT_FILE, render_investigation(loaded.spec, findings, investigation))
    staged.add_text("investigation.yaml", loaded.path.read_text(encoding="utf-8"))
    files = {name: {"sha256": file.sha256, "bytes": file.bytes} for name, file in staged.digests().items()}
    facts = {
        "schema": "corpus-audit/investigation-files/1",
        "run": staged.name,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
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
