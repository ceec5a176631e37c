"""Engines that run the pipelines: threads of this process, or a Flink cluster. The steps are the same on each.

Embedded is Beam's FnApiRunner. The kernels, pyarrow and the tokenizers release the GIL, so threads are cores. The
runner is made as an object: Beam's own default would look for another engine on the network and change engines when a
step of a certain kind appears.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.beam.flags import check_flags
from corpus_audit.pipelines.beam.profile import (
    FAN_IN,
    CompactShards,
    CountSplits,
    Deal,
    MergeParts,
    MergeTask,
    PickDecoys,
    PlanShards,
    PlanTask,
    balanced,
)
from corpus_audit.pipelines.beam.submit import FOR_EVER, engine_flags, run_embedded, run_on_job_service
from corpus_audit.pipelines.beam.tasks import Perform, Worker
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.job import Job, PlannedShard, SplitResult, SplitTask
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.partials import PartialReader
from corpus_audit.pipelines.remote_board import PROGRESS_VARIABLE, RemoteBoard
from corpus_audit.runners.engine_options import EmbeddedOptions, EngineOptions, Environment
from corpus_audit.runners.flink.service import JobService, job_service
from corpus_audit.schemas.errors import AuditError, EngineError


@dataclass(frozen=True)
class Engine(ABC):
    """Runs pipelines.

    Attributes:
        workers: how many tasks are at work at once.
        scratch: a folder, seen by the workers too, that holds what steps hand to the driver.
    """

    workers: int
    scratch: Path

    @abstractmethod
    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Perform the pipeline that ``build`` makes, and write its elements to ``target``."""

    def plan(self, job: Job, tasks: list[PlanTask]) -> list[PlannedShard]:
        """Plan shards, in the order of the tasks."""
        if not tasks:
            return []
        order = balanced([task.shard.size for task in tasks], self.workers)
        ordered = [tasks[position] for position in order]

        def build(pipeline: Any) -> Any:
            import apache_beam as beam

            return pipeline | "Shards" >> Deal(ordered) | "Plan" >> beam.ParDo(PlanShards(job))

        return [planned for _, planned in sorted(self._collect("plans", build), key=lambda pair: pair[0])]

    def count(self, job: Job, tasks: list[SplitTask], planned: dict[int, PlannedShard]) -> list[SplitResult]:
        """Count splits and compact their shards."""
        if not tasks:
            return []
        order = balanced([task.split.weight for task in tasks], self.workers)
        ordered = [tasks[position] for position in order]

        def build(pipeline: Any) -> Any:
            import apache_beam as beam

            return (
                pipeline
                | "Splits" >> Deal(ordered)
                | "Count" >> beam.ParDo(CountSplits(job))
                | "By shard" >> beam.GroupByKey()
                | "Compact" >> beam.ParDo(CompactShards(job, planned))
            )

        found: list[SplitResult] = self._collect("results", build)
        return sorted(found, key=lambda result: (result.index, result.split))

    def pick_decoys(self, job: Job, tasks: list[SplitTask], count: int, lengths: tuple[int, ...]) -> tuple[Decoy, ...]:
        """Choose passages of the splits' documents."""
        ordered = [tasks[position] for position in balanced([task.split.weight for task in tasks], self.workers)]

        def build(pipeline: Any) -> Any:
            import apache_beam as beam

            picked = beam.CombineGlobally(PickDecoys(job, count, lengths)).without_defaults()
            return pipeline | "Splits" >> Deal(ordered) | "Pick decoys" >> picked

        found: list[tuple[Decoy, ...]] = self._collect("decoys", build)
        return found[0] if found else ()

    def merge(self, sources: dict[Measure, list[Path]]) -> dict[tuple[str, str], Path]:
        """Merge the partials of every measure, as a tree of `FAN_IN`; (measure, table) -> file that holds it."""
        current = {
            (measure, tables): list(paths) for measure, paths in sources.items() for tables in measure.merged_apart()
        }
        level = 0
        while any(len(paths) > 1 for paths in current.values()) or level == 0:
            tasks: list[MergeTask] = []
            following: dict[tuple[Measure, tuple[str, ...]], list[Path]] = {}
            for (measure, tables), paths in current.items():
                targets = following.setdefault((measure, tables), [])
                parts = -(-len(paths) // FAN_IN)
                for number in range(parts):
                    targets.append(self.scratch / f"{measure.name}-{tables[0]}-{level}-{number}")
                    part = tuple(str(path) for path in paths[number::parts])
                    tasks.append(MergeTask(measure, tables, part, str(targets[-1])))
            self._merge_level(tasks, level)
            current = following
            level += 1
        return {(measure.name, table): paths[0] for (measure, tables), paths in current.items() for table in tables}

    def _merge_level(self, tasks: list[MergeTask], level: int) -> None:
        weights = [sum(PartialReader(Path(s), check=False).stored_bytes(t.tables) for s in t.sources) for t in tasks]
        ordered = [tasks[position] for position in balanced(weights, self.workers)]

        def build(pipeline: Any) -> Any:
            import apache_beam as beam

            return pipeline | "Merges" >> Deal(ordered) | "Merge" >> beam.ParDo(MergeParts())

        self._collect(f"merged-{level}", build)

    def perform(self, worker: Worker, tasks: Sequence[Any], weights: list[int]) -> None:
        """Have a worker, sent to all threads, perform tasks; it leaves its results where they say."""
        ordered = [tasks[position] for position in balanced(weights, self.workers)]

        def build(pipeline: Any) -> Any:
            import apache_beam as beam

            return pipeline | "Tasks" >> Deal(ordered) | "Perform" >> beam.ParDo(Perform(worker))

        if len(self._collect("performed", build)) != len(tasks):
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
        """Perform a pipeline on ``workers`` threads."""
        flags = [f"--direct_num_workers={self.workers}", "--direct_running_mode=in_memory", *self.beam_flags]
        run_embedded(build, target, flags)


@dataclass(frozen=True)
class FlinkEngine(Engine):
    """A Flink cluster behind a job server.

    Attributes:
        service: where the job server answers, and the cluster.
        environment: where Python code runs.
        prefix: what the names of this output folder's jobs begin with, by which they are found to be cancelled.
    """

    service: JobService
    environment: Environment
    prefix: str
    beam_flags: tuple[str, ...] = ()

    def run(self, name: str, build: Callable[[Any], Any], target: Path) -> None:
        """Perform a pipeline as a job of the cluster, with the workers' progress on this process's board."""
        flags = [
            f"--job_endpoint={self.service.endpoint}",
            f"--job_server_timeout={FOR_EVER}",
            f"--job_name={self.prefix}{name}",
            f"--parallelism={self.workers}",
            "--default_sdk_harness_log_level=WARN",
        ]
        with RemoteBoard(self.scratch / "progress") as board:
            if self.environment is Environment.LOOPBACK:
                flags.append("--environment_type=LOOPBACK")
            else:
                worker = {"command": self.service.worker, "env": {PROGRESS_VARIABLE: str(board.folder)}}
                flags += ["--environment_type=PROCESS", f"--environment_config={json.dumps(worker)}"]
            run_on_job_service(build, target, [*flags, *self.beam_flags], self.cancel)

    def cancel(self) -> None:
        """End this output folder's jobs on the cluster, those of a killed run too; says nothing where it cannot."""
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


@contextmanager
def open_engine(options: EngineOptions, workers: int, scratch: Path) -> Iterator[Engine]:
    """The engine that options name, for as long as the block lasts.

    Args:
        options: which, and how.
        workers: threads of an embedded engine.
        scratch: a folder in an output folder, that the workers can see; one run at a time uses an output folder.

    Raises:
        UsageError: a flag for Beam that does not exist, or something is missing that the engine needs.
        EngineError: the engine cannot be reached.
    """
    if isinstance(options, EmbeddedOptions):
        check_flags(options.beam_flags)
        yield EmbeddedEngine(workers, scratch, options.beam_flags)
        return
    with job_service(options) as service:
        if options.beam_flags:
            check_flags(options.beam_flags, engine_flags(service.endpoint))
        digest = hashlib.sha256(str(scratch.parent.resolve()).encode()).hexdigest()[:12]
        parallelism = options.parallelism or service.slots
        prefix = f"corpus-audit-{digest}-"
        engine = FlinkEngine(parallelism, scratch, service, options.environment, prefix, options.beam_flags)
        engine.cancel()  # a run that was killed has left its job behind
        yield engine
