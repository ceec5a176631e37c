"""Reads the logs and evaluations that an investigation names, computes its findings and publishes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.investigation.drawn_windows import DrawnAnalysis, analyse_drawn, open_log
from corpus_audit.checks.investigation.evaluation_findings import KEYS, StepComparison, compare_steps, last_of_runs
from corpus_audit.checks.investigation.investigation import Investigation, investigate, tables, windows_of
from corpus_audit.checks.investigation.leak_findings import ContaminationAnalysis
from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.scaling_findings import CorpusTokens, analyse_scaling
from corpus_audit.checks.report.investigation.page import render_investigation
from corpus_audit.checks.representations.expert_analysis import ExpertAnalysis, analyse_experts
from corpus_audit.checks.representations.unit_records import UnitAnalysis
from corpus_audit.pipelines.evaluations.comparison import Side
from corpus_audit.pipelines.evaluations.contaminated import ContaminatedItems, read_contaminated
from corpus_audit.pipelines.evaluations.leaks.audited_items import read_audited, task_joins
from corpus_audit.pipelines.evaluations.leaks.exposure import item_draws
from corpus_audit.pipelines.evaluations.leaks.ranks import rank_models
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.pipelines.figures.investigation_metrics import investigation_metrics
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.sampling.log.mixture_by_step import mixture_by_step
from corpus_audit.pipelines.storage.run_directory import (
    StagedRun,
    clear_staging,
    open_run,
    read_run_table,
    write_table,
)
from corpus_audit.runners.investigation.inputs import Inputs
from corpus_audit.runners.investigation.published import FACTS_FILE
from corpus_audit.runners.investigation.scaling_file import read_scaling_runs
from corpus_audit.runners.process.locks import OutputLock
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.findings import FINDINGS_FILE, Findings
from corpus_audit.schemas.spec.investigation_file import LoadedInvestigation
from corpus_audit.schemas.tables.investigation.contamination_tables import CONTAMINATION_JOIN_TABLES
from corpus_audit.schemas.tables.investigation.drawn_tables import DRAWN_TABLES
from corpus_audit.schemas.tables.investigation.evaluation_tables import INVESTIGATION_EVALUATION_TABLES
from corpus_audit.schemas.tables.investigation.representation_tables import EXPERT_TABLES, UNIT_TABLES
from corpus_audit.schemas.tables.investigation.scaling_tables import SCALING_TABLES
from corpus_audit.schemas.tables.investigation.telemetry_tables import TELEMETRY_TABLES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

REPORT_FILE = "report.html"


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
    inputs = Inputs(loaded, target, board or Board())
    runs = inputs.runs()
    if runs and not any(run.telemetry.series for run in runs.values()):
        raise UsageError("no log that the investigation names holds telemetry that could be read")
    scaling = None
    if (law := loaded.spec.scaling) is not None:
        corpus = None if law.audit is None else _corpus_tokens(loaded.base / law.audit)
        scaling = analyse_scaling(read_scaling_runs(loaded.base / law.runs), law.holdout, corpus)
    drawn = loaded.spec.drawn
    drawn_by = runs[drawn.run or loaded.spec.runs[0].id] if drawn is not None else None
    if drawn is not None:
        inputs.stage("comparing what was drawn")
    analysis = analyse_drawn(drawn, loaded.base, drawn_by, windows_of(loaded.spec)) if drawn and drawn_by else None
    comparisons, contamination = _compared(inputs)
    inputs.stage("computing findings")
    contamination = _with_draws(loaded, contamination, analysis)
    experts = _experts(loaded, runs, analysis)
    units = _units(loaded, analysis)
    investigation = investigate(loaded.spec, runs, comparisons, scaling, analysis, contamination, experts, units)
    with OutputLock(target):
        clear_staging(target)
        try:
            inputs.stage("publishing")
            published = _publish(loaded, target, investigation)
        finally:
            clear_staging(target)
        inputs.store.remove_unused()
        return published


def _experts(
    loaded: LoadedInvestigation, runs: Mapping[str, RunAnalysis], analysis: DrawnAnalysis | None
) -> ExpertAnalysis | None:
    """The balance of the experts of the run that the spec names, with the mixture that its sampler's log gives."""
    routing, drawn = loaded.spec.routing, loaded.spec.drawn
    if routing is None or routing.series is None:
        return None
    run = runs[routing.run or loaded.spec.runs[0].id]
    mixture, offset, why = None, 0, "no log of the sampler is part of the investigation"
    if drawn is not None and analysis is not None:
        offset, why = analysis.offset, f"the sampler's log is that of {analysis.run}"
        if analysis.run == run.spec.id:
            mixture = mixture_by_step(open_log(drawn, loaded.base))
            why = "the sampler's log has no column of domains, or too many steps and domains"
    return analyse_experts(run.spec.id, run.telemetry, routing.series, mixture, offset, why)


def _units(loaded: LoadedInvestigation, analysis: DrawnAnalysis | None) -> UnitAnalysis | None:
    """What activation indexes say, if the spec names one."""
    spec = loaded.spec
    if spec.units is None and (spec.routing is None or spec.routing.index is None):
        return None
    # Readers of indexes are imported by investigations that name one.
    from corpus_audit.runners.investigation.unit_reading import read_units

    return read_units(spec.units, spec.routing, spec.drawn, analysis, loaded.base)


def _corpus_tokens(folder: Path) -> CorpusTokens:
    """The tokens of an audited corpus, from the table ``duplicates`` of its run."""
    run = open_run(folder)
    table = run.table("duplicates")
    row = table.filter(pc.equal(table["domain"].cast(pa.string()), ALL_DOMAINS)).to_pylist()[0]
    facts = run.facts
    return CorpusTokens(row["distinct_tokens"], row["tokens"], facts.tokenizer.name, facts.coverage.sample_share)


def _compared(inputs: Inputs) -> tuple[tuple[StepComparison, ...], ContaminationAnalysis | None]:
    """Read the evaluations of the spec, compare them, and look their items up among contaminated ones."""
    loaded, spec = inputs.loaded, inputs.loaded.spec
    if not spec.evals:
        return (), None
    contaminated = _contaminated(loaded)
    inputs.stage("reading evaluations")
    evaluations = [inputs.evaluation(each) for each in spec.evals]
    tasks = {task for evaluation in evaluations for task in evaluation.items["task"].unique().to_pylist()}
    for task in spec.cluster if isinstance(spec.cluster, dict) else ():
        if task not in tasks:
            raise UsageError(f"cluster: no evaluation has items of {task!r}")
    if spec.contamination is not None and spec.contamination.id is not None:
        evaluations = _with_ids(inputs, evaluations, spec.contamination.id)
    compared = compare_steps(spec, evaluations, contaminated)
    if contaminated is None:
        return compared, None
    ranked = last_of_runs(spec.evals) if len({each.run for each in spec.evals}) > 1 else []
    read = {(each.run, each.step): evaluation for each, evaluation in zip(spec.evals, evaluations, strict=True)}
    sides = [Side(read[each.run, each.step], each.model, each.run) for each in ranked]
    rankings = tuple(rank_models(sides, contaminated)) if sides else ()
    joins = tuple(task_joins(evaluations, contaminated))
    return compared, ContaminationAnalysis(contaminated, joins, tuple(ranked), rankings)


def _with_draws(
    loaded: LoadedInvestigation, contamination: ContaminationAnalysis | None, analysis: DrawnAnalysis | None
) -> ContaminationAnalysis | None:
    """When the documents behind contaminated items were drawn, where an audit and a sampler's log are there."""
    source, drawn = loaded.spec.contamination, loaded.spec.drawn
    if contamination is None or source is None or source.audit is None or drawn is None or analysis is None:
        return contamination
    draws = item_draws(loaded.base / source.audit, contamination.listed, open_log(drawn, loaded.base))
    return replace(contamination, draws=draws, drawn_by=(analysis.run, analysis.offset))


def _with_ids(inputs: Inputs, evaluations: Sequence[Evaluation], field: str) -> list[Evaluation]:
    """The evaluations with the value of a field as the id of every item, empty where an item has none.

    Their files are read a second time, with that field in the place of the one of clusters.
    """
    results, some = [], False
    for each, evaluation in zip(inputs.loaded.spec.evals, evaluations, strict=True):
        again = inputs.read(each, evaluation.name, field).items
        ids = again["cluster"].cast(pa.string())
        some = some or ids.null_count < len(ids)
        position = evaluation.items.schema.get_field_index("item_id")
        column = evaluation.items.schema.field(position)
        items = evaluation.items.set_column(position, column, ids.fill_null(""))
        results.append(replace(evaluation, items=items))
    if not some:
        raise UsageError(f"contamination.id: no item has the field {field!r}")
    return results


def _contaminated(loaded: LoadedInvestigation) -> ContaminatedItems | None:
    """The contaminated items that the spec names, from a list or an audit."""
    source = loaded.spec.contamination
    if source is None:
        return None
    if source.audit is not None:
        folder = loaded.base / source.audit
        numbers = source.numbers or source.id is not None
        return read_audited(folder, source.rule, source.benchmarks, numbers, KEYS.rule)
    assert source.list is not None
    return read_contaminated(loaded.base / source.list, source.rule, KEYS.rule)


def _publish(loaded: LoadedInvestigation, output: Path, investigation: Investigation) -> Published:
    staged = StagedRun(output, _new_name(output))
    schemas = TELEMETRY_TABLES | DRAWN_TABLES | INVESTIGATION_EVALUATION_TABLES | SCALING_TABLES
    schemas |= CONTAMINATION_JOIN_TABLES | EXPERT_TABLES | UNIT_TABLES
    for name, pieces in tables(investigation):
        write_table(staged.folder / "tables" / f"{name}.parquet", schemas[name], pieces)
    findings = Findings(
        name=loaded.spec.name, run=staged.name, questions=investigation.questions, findings=investigation.findings
    )
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
