"""Threads of this process for what is small, without importing Beam; Beam's embedded runner for everything else.

Importing Beam takes a second of processor time and starting a pipeline another tenth, of which an audit has three to
six: more than a few megabytes of text or a fully counted corpus take by themselves. The functions are those that Beam's
transforms call (`pipelines.counting.tasks`), and ``tests/engine/test_engines.py`` holds the tables of both to the same
bytes.
"""

from __future__ import annotations

import pickle
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitResult, SplitTask
from corpus_audit.pipelines.counting.tasks import (
    MergeTask,
    PlanTask,
    compact_counted,
    merge_partials,
    merge_tree,
    merge_weights,
    plan_task,
)
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.runners.engines.options import EmbeddedOptions, EngineOptions
from corpus_audit.schemas.errors import NoVerdictError

if TYPE_CHECKING:
    from corpus_audit.pipelines.contamination.decoys import Decoy, DecoyPicker
    from corpus_audit.runners.engines.launch.engines import EmbeddedEngine, Engine

SMALL_BYTES, SMALL_TASKS = 64 * 2**20, 256
"""A step with more bytes to read or more tasks goes to Beam, whose start is then a small part of it."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class LocalEngine:
    """Threads of this process; the methods are those of `Engine`.

    Attributes:
        workers: how many tasks are at work at once.
        scratch: a folder that holds what steps leave for the driver.
    """

    workers: int
    scratch: Path

    @cached_property
    def _beam(self) -> EmbeddedEngine:
        from corpus_audit.runners.engines.launch.engines import EmbeddedEngine

        return EmbeddedEngine(self.workers, self.scratch)

    def plan(self, job: Job, tasks: list[PlanTask]) -> list[PlannedShard]:
        """Plan shards, in the order of the tasks."""
        if not self._small([0 if task.known else task.shard.size for task in tasks]):
            return self._beam.plan(job, tasks)
        own = self._copies(job)
        return self._each(lambda task: plan_task(own(), task), tasks)

    def count(self, job: Job, tasks: list[SplitTask], planned: dict[int, PlannedShard]) -> list[SplitResult]:
        """Count splits and compact their shards."""
        if not self._small([task.split.weight for task in tasks]):
            return self._beam.count(job, tasks, planned)
        own = self._copies(job)
        heaviest_first = sorted(tasks, key=lambda task: -task.split.weight)
        by_shard: defaultdict[int, list[SplitResult]] = defaultdict(list)
        for result in self._each(lambda task: own().count(task), heaviest_first):
            by_shard[result.index].append(result)
        self._each(lambda index: compact_counted(own(), planned[index], by_shard[index]), list(by_shard))
        results = [result for shard in by_shard.values() for result in shard]
        return sorted(results, key=lambda result: (result.index, result.split))

    def pick_decoys(self, job: Job, tasks: list[SplitTask], count: int, lengths: tuple[int, ...]) -> tuple[Decoy, ...]:
        """Choose passages of the splits' documents.

        Raises:
            NoVerdictError: a split cannot be read, though it could be counted.
        """
        if not self._small([task.split.weight for task in tasks]):
            return self._beam.pick_decoys(job, tasks, count, lengths)
        from corpus_audit.pipelines.contamination.decoys import DecoyPicker  # only with benchmarks

        own = self._copies(job)

        def pick(task: SplitTask) -> DecoyPicker:
            picker = DecoyPicker(count, lengths)
            own().pick_decoys(task, picker)
            return picker

        merged = DecoyPicker(count, lengths)
        merged.merge(self._each(pick, tasks))
        if merged.problems:
            raise NoVerdictError(f"a shard that was counted can no longer be read: {min(merged.problems)}")
        return merged.decoys()

    def merge(self, sources: dict[Measure, list[Path]]) -> dict[tuple[str, str], Path]:
        """Merge the partials of every measure, as a tree; (measure, table) -> file that holds it."""
        return merge_tree(sources, self.scratch, self._merge_level)

    def _merge_level(self, tasks: list[MergeTask], level: int) -> None:
        weights = merge_weights(tasks)
        if not self._small(weights):
            self._beam.merge_level(tasks, level)
            return
        order = sorted(range(len(tasks)), key=lambda position: -weights[position])
        self._each(merge_partials, [tasks[position] for position in order])

    def perform(self, worker: Any, tasks: Sequence[Any], weights: list[int]) -> None:
        """Have a worker, sent to all threads, perform tasks: an index scan, which is never small."""
        self._beam.perform(worker, tasks, weights)

    def _small(self, weights: Sequence[int]) -> bool:
        return len(weights) <= SMALL_TASKS and sum(weights) <= SMALL_BYTES

    def _copies(self, job: Job) -> Callable[[], Job]:
        """Gives every thread its own copy of a job, as an engine's workers have; what a copy keeps is not shared."""
        pickled = pickle.dumps(job)
        own = threading.local()

        def copy() -> Job:
            if not hasattr(own, "job"):
                own.job = pickle.loads(pickled)
            job: Job = own.job
            return job

        return copy

    def _each(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Results in the order of the tasks. The first error ends it, once tasks that have begun are done."""
        pool: Executor = ThreadPoolExecutor(self.workers, "corpus-audit")
        try:
            futures = [pool.submit(work, task) for task in tasks]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException as error:
            # After Ctrl-C nothing waits: the process ends while threads may be in a batch.
            pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
            raise
        pool.shutdown()
        return [future.result() for future in futures]


def _ignore(_: str) -> None:
    """Say nothing."""


@contextmanager
def open_engine(
    options: EngineOptions, workers: int, scratch: Path, warn: Callable[[str], None] = _ignore
) -> Iterator[Engine | LocalEngine]:
    """The engine that options name, as `engines.open_engine`; with no flag for Beam, threads of this process."""
    if isinstance(options, EmbeddedOptions) and not options.beam_flags:
        yield LocalEngine(workers, scratch)
        return
    from corpus_audit.runners.engines.launch.engines import open_engine as open_beam

    with open_beam(options, workers, scratch, warn) as engine:
        yield engine
