"""Reads the logs and evaluations that an investigation names, through its store and with progress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from corpus_audit.checks.investigation.run_analysis import RunAnalysis, analyse_run
from corpus_audit.pipelines.evaluations.records.items import Evaluation
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.storage.parsed_files import ParsedFiles
from corpus_audit.pipelines.telemetry.points import FileTelemetry
from corpus_audit.pipelines.telemetry.reading import UnreadFile
from corpus_audit.pipelines.telemetry.recognition import files_of
from corpus_audit.pipelines.telemetry.segments import join
from corpus_audit.runners.investigation.stored_evaluations import read_stored_evaluation
from corpus_audit.runners.investigation.stored_telemetry import read_stored_telemetry
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.investigation import StepEvaluation, TrainingRun
from corpus_audit.schemas.spec.investigation_file import LoadedInvestigation

STORE = ".store"
"""Folder within the output folder: what was parsed of large files, see `ParsedFiles`."""


class Inputs:
    """What an investigation reads.

    Attributes:
        loaded: the spec.
        store: of what was parsed.
        board: where progress is written.
    """

    def __init__(self, loaded: LoadedInvestigation, output: Path, board: Board) -> None:
        self.loaded, self.board = loaded, board
        self.store = ParsedFiles(output / STORE)

    def stage(self, name: str, total: int = 0) -> None:
        """Begin a stage of so many bytes.

        Raises:
            RunCancelledError: the board was cancelled.
        """
        self.board.advance()
        self.board.begin_stage(name, total)

    def runs(self) -> dict[str, RunAnalysis]:
        """Read the logs of all runs, and compute what concerns each alone.

        Raises:
            UsageError: a path matches nothing, or names no run or several.
        """
        listed: dict[str, list[tuple[Path, str]]] = {}
        for run in self.loaded.spec.runs:
            try:
                listed[run.id] = list(files_of(self.loaded.base, run.telemetry))
            except FileNotFoundError as error:
                raise UsageError(f"run {run.id}: {error} matches no file") from None
        if listed:
            self.stage("reading logs", sum(_size(path) for files in listed.values() for path, _ in files))
        return {run.id: self._run(run, listed[run.id]) for run in self.loaded.spec.runs}

    def _run(self, run: TrainingRun, listed: list[tuple[Path, str]]) -> RunAnalysis:
        read: list[FileTelemetry] = []
        names: list[str] = []
        unread: list[UnreadFile] = []
        for path, name in listed:
            self.board.shard_started(path.name)
            result = read_stored_telemetry(path, self.store)
            self.board.shard_finished(path.name)
            self.board.advance(_size(path))
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

    def evaluation(self, each: StepEvaluation) -> Evaluation:
        """Read the evaluation of a checkpoint.

        Raises:
            UsageError: a path matches nothing, or there are no scores.
        """
        name = f"the evaluation of {each.run}" + (f" at step {each.step}" if each.step else "")
        evaluation = self.read(each, name, self.loaded.spec.cluster)
        if not evaluation.items.num_rows and not evaluation.claims:
            reasons = [f"{file.file}: {file.reason}" for file in evaluation.files if file.reason]
            why = f" ({reasons[0]})" if reasons else ""
            raise UsageError(f"{name} holds no scores that could be read{why}")
        return evaluation

    def read(self, each: StepEvaluation, name: str, cluster: str | Mapping[str, str] | None) -> Evaluation:
        """The files of an evaluation, with a field as that of clusters."""
        evaluation = read_stored_evaluation(self.loaded.base, each.paths, name, cluster, self.store)
        self.board.advance()
        return evaluation


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # which its reader reports
