"""Looks at folders and writes an `investigation.yaml` for the logs and evaluations in them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.pipelines.evaluations.reading import format_of
from corpus_audit.pipelines.telemetry import recognition
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.pipelines.telemetry.points import FileTelemetry, encodable
from corpus_audit.pipelines.telemetry.reading import UnreadFile, read_telemetry_file
from corpus_audit.pipelines.telemetry.segments import join, main_series
from corpus_audit.runners.investigation.evaluation_proposal import (
    KnownRun,
    ProposedEvaluation,
    evaluation_lines,
    propose_evaluations,
    propose_models,
)
from corpus_audit.runners.investigation.sampler_proposal import drawn_lines, is_sampler_log
from corpus_audit.schemas.errors import UsageError

MOST_RUNS = 100
"""Runs that are proposed; more are counted in a comment."""

_TEXT = ("megatron", "olmo", "deepspeed", "torchtitan", "nanogpt", "llm.c", "llm.c terminal", "modded-nanogpt")

_COMMON = ("tb", "logs", "tensorboard", "mlruns", "trainer_state.json", "metrics.jsonl", "history.parquet", "mlflow.db")
"""Names of files and folders that do not tell runs apart."""


@dataclass(frozen=True, slots=True)
class ProposedRun:
    """A run that the files suggest: its paths as the spec has them, and what is known of it."""

    id: str
    telemetry: tuple[str, ...]
    formats: tuple[str, ...]
    points: int
    quantities: tuple[str, ...]
    last_step: int


@dataclass(frozen=True, slots=True)
class InvestigationProposal:
    """The text of a spec, the runs, evaluations and sampler's logs in it, and the files that were not recognised."""

    text: str
    runs: tuple[ProposedRun, ...]
    evaluations: tuple[ProposedEvaluation, ...]
    drawn: tuple[str, ...]
    not_recognised: tuple[str, ...]


def propose_investigation(folders: Sequence[Path], output: Path) -> InvestigationProposal:
    """Propose a spec for the logs and evaluations in folders; its paths are relative to the file ``output``.

    Event files and text logs of one folder are one run, whose restarts they are, and so are offline files of W&B with
    the same name; every other file is a run, and a database of several is several. Evaluation results are those of the
    step and the run that their path names; where there is no telemetry, the folders that they lie in are models.

    Raises:
        UsageError: a folder does not exist, or no file is recognised as telemetry or evaluation results.
    """
    base = output.absolute().parent
    groups: dict[tuple[str, str], list[tuple[str, FileTelemetry, str]]] = {}
    unread: list[str] = []
    evaluated: list[tuple[str, str]] = []
    drawn: list[str] = []
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"{folder}: there is no such file or folder")
        for path, _ in recognition.files_of(Path(), [str(folder.absolute())]):
            name = Path(os.path.relpath(path, base)).as_posix()
            if encodable(name) != name:
                unread.append(f"{name}: its name is not UTF-8 and cannot stand in a YAML file")
                continue
            if is_sampler_log(path):
                drawn.append(name)
                continue
            result = read_telemetry_file(path)
            if isinstance(result, UnreadFile):
                if (kind := format_of(path)) is not None:
                    evaluated.append((name, kind))
                    continue
                unread.append(f"{name}: {result.reason}")
                continue
            for part in result.runs:
                several = len(result.runs) > 1
                own = f"{name}#{part.run}" if several else name
                parent = Path(name).parent.as_posix()
                if result.kind == "mlruns":
                    together = parent.split("/metrics")[0]
                elif result.kind == "wandb":  # resumed runs have several folders, and files of the same name in them
                    together = Path(name).name.removesuffix(".wandb")
                else:
                    together = parent if result.kind == "tensorboard" or result.kind in _TEXT else own
                groups.setdefault((together, result.kind), []).append((own, result, part.run if several else ""))
    runs: list[ProposedRun] = []
    for (together, kind), members in groups.items():
        run = join([file for _, file, _ in members], [name for _, _, name in members])
        if not run.series:
            continue
        paths = (together,) if kind == "mlruns" else tuple(path for path, _, _ in members)
        runs.append(
            ProposedRun(
                _identity(together, {other.id for other in runs}),
                paths,
                (kind,),
                sum(len(series) for series in run.series),
                tuple(
                    f"{quantity}: {series.tag!r}, {series.mapped.certainty if series.mapped else 'unknown'}"
                    for quantity, series in sorted(main_series(run).items(), key=lambda item: _rank(item[0]))
                ),
                max(int(series.step.max()) for series in run.series),
            )
        )
    if not runs and not evaluated:
        raise UsageError(f"no telemetry and no evaluation results were recognised among {plural(len(unread), 'file')}")
    known = [KnownRun(run.id, tuple(PurePosixPath(path).parent for path in run.telemetry)) for run in runs[:MOST_RUNS]]
    evaluations = propose_evaluations(evaluated, known) if runs else propose_models(evaluated)
    text = _text(runs, evaluations, drawn, unread)
    return InvestigationProposal(text, tuple(runs), evaluations, tuple(drawn), tuple(unread))


def _identity(key: str, used: set[str]) -> str:
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-._") for part in re.split(r"[/#]", key)]
    stem = next((part for part in reversed(parts) if part and part not in _COMMON), "run")[-50:].lstrip("-._") or "run"
    name, number = stem, 1
    while name in used:
        number += 1
        name = f"{stem}-{number}"
    return name


def _rank(quantity: str) -> tuple[int, str]:
    """The order in which quantities are listed."""
    known = list(Quantity)
    return (known.index(Quantity(quantity)), quantity)


def _comment(text: str) -> str:
    return safe_text(text, 100)


def _text(
    runs: Sequence[ProposedRun],
    evaluations: Sequence[ProposedEvaluation],
    drawn: Sequence[str],
    unread: Sequence[str],
) -> str:
    lines = ["version: 1", f"name: what happened to these {'runs' if runs else 'models'}", *(["runs:"] if runs else [])]
    for run in runs[:MOST_RUNS]:
        lines += [
            f"  # {', '.join(run.formats)}: {run.points} points to step {run.last_step}",
            *(f"  #   {_comment(quantity)}" for quantity in run.quantities or ("no known quantity",)),
            f"  - id: {json.dumps(run.id)}",
            "    telemetry:",
            *(f"      - {json.dumps(path)}" for path in run.telemetry),
            "    # parameters: 7.0e+9             # of the model",
            "    # tokens_per_step: 4.2e+6        # of a batch",
            f"    # schedule_end: {run.last_step}",
        ]
        other = next((each.id for each in runs if each.id != run.id), None)
        if other is not None:
            lines.append(
                f"    # same_order_as: {json.dumps(other)}   # a run that drew the same batches at the same steps"
            )
    if len(runs) > MOST_RUNS:
        lines.append(f"  # {plural(len(runs) - MOST_RUNS, 'further run')} left out")
    lines += evaluation_lines(evaluations)
    lines += (
        [
            *drawn_lines(drawn, runs[0].id, len(runs) > 1),
            "# scaling: {runs: law.csv, holdout: now, audit: runs}   # run, parameters, tokens, loss of other runs",
            '# routing: {series: "moe/*"}           # loads of experts in the logs; index: an activation index',
            "# units: {index: index, before: old}  # activation indexes: units that moved, or are dead",
            "# events:                            # what you know of",
            '#   - {step: 1000, what: "node change"}',
            "windows: auto                        # or steps to look at: [{first: 1000, last: 2000}]",
        ]
        if runs
        else []
    )
    lines.append("output: investigations")
    if unread:
        were = agree(len(unread), "was", "were")
        lines.append(f"# {plural(len(unread), 'file')} {were} not recognised as telemetry or evaluation results:")
        lines += [f"#   {_comment(name)}" for name in unread[:20]]
    return "\n".join(lines) + "\n"
