"""Engines that run the pipelines: threads of this process, Flink, Spark or Dataflow. The steps are the same on each.

Embedded is Beam's FnApiRunner. The kernels, pyarrow and the tokenizers release the GIL, so threads are cores. The
runner is made as an object: Beam's own default would look for another engine on the network and change engines when a
step of a certain kind appears.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.beam import steps
from corpus_audit.pipelines.beam.flags import check_flags
from corpus_audit.pipelines.beam.submit import (
    NO_TIMEOUT,
    engine_flags,
    run_embedded,
    run_on_dataflow,
    run_on_job_service,
)
from corpus_audit.pipelines.beam.tasks import Worker
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitResult, SplitTask
from corpus_audit.pipelines.counting.tasks import MergeTask, PlanTask, balanced_order, merge_tree, merge_weights
from corpus_audit.pipelines.counting.worker_probe import (
    SECRET_FILE,
    ProbeAnswer,
    ProbeTask,
    ProbeWorker,
    read_answers,
    version_differences,
)
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.progress.worker_boards import PROGRESS_VARIABLE, RemoteBoard
from corpus_audit.runners.engines.flink.service import JobService, job_service, worker_program
from corpus_audit.runners.engines.options import (
    DataflowOptions,
    EmbeddedOptions,
    EngineOptions,
    Environment,
    SparkOptions,
)
from corpus_audit.schemas.errors import AuditError, EngineError, NoVerdictError


@dataclass(frozen=True)
class Engine(ABC):
    """Runs pipelines.

    Attributes:
        workers: number of tasks that run in parallel.
        scratch: a folder that driver and workers see, for the results of steps.
    """

    workers: int
    scratch: Path

    @property
    def hints(self) -> dict[str, str]:
        """Resource hints of the steps that run a model."""
        return {}

    @abstractmethod
    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Run the pipeline that ``build`` constructs, and write its elements to ``target``."""

    def plan(self, job: Job, tasks: list[PlanTask]) -> list[PlannedShard]:
        """Plan shards; results are in the order of the tasks."""
        if not tasks:
            return []
        order = balanced_order([task.shard.size for task in tasks], self.workers)
        ordered = [tasks[position] for position in order]

        return [
            planned
            for _, planned in sorted(
                self._collect("plans", steps.planning_steps(job, ordered)), key=lambda pair: pair[0]
            )
        ]

    def count(self, job: Job, tasks: list[SplitTask], planned: dict[int, PlannedShard]) -> list[SplitResult]:
        """Count splits and compact their shards."""
        if not tasks:
            return []
        order = balanced_order([task.split.weight for task in tasks], self.workers)
        ordered = [tasks[position] for position in order]

        results: list[SplitResult] = self._collect("results", steps.counting_steps(job, ordered, planned))
        return sorted(results, key=lambda result: (result.index, result.split))

    def pick_decoys(self, job: Job, tasks: list[SplitTask], count: int, lengths: tuple[int, ...]) -> tuple[Decoy, ...]:
        """Select passages of the splits' documents as decoys.

        Raises:
            NoVerdictError: a split cannot be read, although it was counted before.
        """
        ordered = [tasks[position] for position in balanced_order([task.split.weight for task in tasks], self.workers)]

        picks: list[tuple[tuple[Decoy, ...], tuple[str, ...]]]
        picks = self._collect("decoys", steps.decoy_steps(job, ordered, count, lengths))
        decoys, problems = picks[0] if picks else ((), ())
        if problems:
            raise NoVerdictError(f"a shard that was counted can no longer be read: {problems[0]}")
        return decoys

    def merge(self, sources: dict[Measure, list[Path]]) -> dict[tuple[str, str], Path]:
        """Merge the partials of every measure in a tree of `FAN_IN`; returns (measure, table) -> merged file."""
        return merge_tree(sources, self.scratch, self.merge_level)

    def merge_level(self, tasks: list[MergeTask], level: int) -> None:
        """Merge the files of one level of the tree."""
        ordered = [tasks[position] for position in balanced_order(merge_weights(tasks), self.workers)]

        self._collect(f"merged-{level}", steps.merging_steps(ordered))

    def perform(self, worker: Worker, tasks: Sequence[Any], weights: list[int]) -> None:
        """Run tasks with a worker that is sent to all threads or machines; it writes results where the tasks say."""
        ordered = [tasks[position] for position in balanced_order(weights, self.workers)]

        if len(self._collect("performed", steps.task_steps(worker, ordered, self.hints))) != len(tasks):
            raise AuditError("the engine lost a task")

    def _collect(self, name: str, build: Callable[[Any], Any]) -> list[Any]:
        path = self.scratch / name
        self.run(name, build, path)
        return list(pickle.loads(path.read_bytes()))


@dataclass(frozen=True)
class EmbeddedEngine(Engine):
    """Threads of this process."""

    beam_flags: tuple[str, ...] = ()

    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Run a pipeline on ``workers`` threads."""
        flags = [f"--direct_num_workers={self.workers}", "--direct_running_mode=in_memory", *self.beam_flags]
        run_embedded(build, target, flags)


@dataclass(frozen=True)
class FlinkEngine(Engine):
    """A Flink cluster behind a job server.

    Attributes:
        service: where the job server answers, and the cluster.
        environment: where Python code runs.
        prefix: prefix of the names of this output folder's jobs; `cancel` looks for it.
    """

    service: JobService
    environment: Environment
    prefix: str
    beam_flags: tuple[str, ...] = ()

    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Run a pipeline as a job of the cluster, with the workers' progress on this process's board."""
        flags = [
            f"--job_endpoint={self.service.endpoint}",
            f"--job_server_timeout={NO_TIMEOUT}",
            f"--job_name={self.prefix}{name}",
            f"--parallelism={self.workers}",
            "--default_sdk_harness_log_level=WARN",
        ]
        with RemoteBoard(self.scratch / "progress") as board:
            flags += environment_flags(self.environment, self.service.worker, board.folder)
            run_on_job_service(build, target, [*flags, *self.beam_flags], self.cancel)

    def cancel(self) -> None:
        """Cancel this output folder's jobs on the cluster, also those of a killed run; errors are suppressed."""
        if self.service.rest is None:
            return
        deadline = time.monotonic() + 3
        with suppress(EngineError):
            while jobs := self.service.rest.running_jobs(self.prefix):
                for job in jobs:
                    self.service.rest.cancel(job)
                if time.monotonic() > deadline:
                    return
                time.sleep(0.1)


@dataclass(frozen=True)
class SparkEngine(Engine):
    """A Spark cluster behind a job server of the user's."""

    options: SparkOptions

    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Run a pipeline as a job of the cluster."""
        options = self.options
        flags = [f"--job_endpoint={options.endpoint}", f"--job_server_timeout={NO_TIMEOUT}"]
        with RemoteBoard(self.scratch / "progress") as board:
            worker = "" if options.environment is Environment.LOOPBACK else worker_program()
            flags += environment_flags(options.environment, worker, board.folder)
            run_on_job_service(build, target, [*flags, *options.beam_flags], lambda: None)


@dataclass(frozen=True)
class DataflowEngine(Engine):
    """Google Cloud Dataflow."""

    options: DataflowOptions

    @property
    def hints(self) -> dict[str, str]:
        """The accelerator, if one was requested."""
        return {} if self.options.accelerator is None else {"accelerator": self.options.accelerator}

    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Run a pipeline as a job."""
        flags = [f"--job_name=corpus-audit-{name}", f"--max_num_workers={self.workers}", *self.options.beam_flags]
        run_on_dataflow(build, target, flags)


def environment_flags(environment: Environment, worker: str, progress: Path) -> list[str]:
    """Beam's flags for where Python runs: in this process, or in a program that the engine starts."""
    if environment is Environment.LOOPBACK:
        return ["--environment_type=LOOPBACK"]
    process = {"command": worker, "env": {PROGRESS_VARIABLE: str(progress)}}
    return ["--environment_type=PROCESS", f"--environment_config={json.dumps(process)}"]


def probe_workers(engine: Engine, warn: Callable[[str], None]) -> None:
    """Check that workers see the scratch folder and have the driver's versions: each reads a file there and writes one.

    Args:
        engine: an engine that is open.
        warn: called with a message about each difference of versions that does not change tables.

    Raises:
        EngineError: a worker sees another folder, has no corpus-audit, or other versions of what computes.
    """
    folder, secret = engine.scratch / "probe", secrets.token_hex(8)
    folder.mkdir()
    (folder / SECRET_FILE).write_text(secret, encoding="utf-8")
    engine.perform(
        ProbeWorker(secret), [ProbeTask(folder, number) for number in range(engine.workers)], [1] * engine.workers
    )
    answers = read_answers(folder)
    if len(answers) != engine.workers:
        raise EngineError(f"what workers write into {folder} is not seen here: mount it under the same path")
    differences = version_differences(answers, ProbeAnswer.of_this_process())
    if differences.refused:
        raise EngineError(f"{'; '.join(differences.refused)}: install the same versions on both sides")
    for text in differences.tolerated:
        warn(text)
    shutil.rmtree(folder)


def _ignore(_: str) -> None:
    """Say nothing."""


@contextmanager
def open_engine(
    options: EngineOptions, workers: int, scratch: Path, warn: Callable[[str], None] = _ignore
) -> Iterator[Engine]:
    """Open the engine that the options select, for the duration of the block.

    Args:
        options: the engine and its settings.
        workers: threads of an embedded engine.
        scratch: a folder in an output folder, that the workers can see; one run at a time uses an output folder.
        warn: called with warnings about the engine's workers.

    Raises:
        UsageError: a flag for Beam does not exist, or a requirement of the engine is missing.
        EngineError: the engine cannot be reached, or its workers see other files or have other versions.
    """
    if isinstance(options, EmbeddedOptions):
        check_flags(options.beam_flags)
        yield EmbeddedEngine(workers, scratch, options.beam_flags)
        return
    if isinstance(options, SparkOptions):
        check_flags(options.beam_flags, () if options.endpoint == "embed" else engine_flags(options.endpoint))
        engine: Engine = SparkEngine(options.parallelism, scratch, options)
        probe_workers(engine, warn)
        yield engine
        return
    if isinstance(options, DataflowOptions):
        check_flags(options.beam_flags)
        engine = DataflowEngine(options.parallelism, scratch, options)
        probe_workers(engine, warn)
        yield engine
        return
    with job_service(options) as service:
        if options.beam_flags:
            check_flags(options.beam_flags, engine_flags(service.endpoint))
        digest = hashlib.sha256(str(scratch.parent.resolve()).encode()).hexdigest()[:12]
        parallelism = options.parallelism or service.slots
        prefix = f"corpus-audit-{digest}-"
        engine = FlinkEngine(parallelism, scratch, service, options.environment, prefix, options.beam_flags)
        engine.cancel()  # a killed run may have left its job behind
        yield engine
