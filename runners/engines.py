"""Engines that run the pipelines. Embedded: Beam's FnApiRunner in this process, on threads.

The kernels, pyarrow and the tokenizers release the GIL, so threads are cores. The runner is made as an object: Beam's
own default would look for another engine on the network and change engines when a step of a certain kind appears.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.beam.profile import (
    FAN_IN,
    Collect,
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
from corpus_audit.pipelines.beam.tasks import Perform, Worker
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.job import Job, PlannedShard, SplitResult, SplitTask
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.partials import PartialReader
from corpus_audit.schemas.errors import AuditError


@dataclass(frozen=True, slots=True)
class EmbeddedEngine:
    """Runs pipelines in this process on ``workers`` threads; ``scratch`` holds what steps hand to the driver."""

    workers: int
    scratch: Path

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

        return self._collect("results", build)

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
        import pickle

        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

        path = self.scratch / name
        options = PipelineOptions(flags=[f"--direct_num_workers={self.workers}", "--direct_running_mode=in_memory"])
        pipeline = beam.Pipeline(runner=FnApiRunner(), options=options)
        _ = build(pipeline) | "Collect" >> Collect(path)
        try:
            pipeline.run().wait_until_finish()
        except AuditError as error:
            # The engine appends " [while running 'Step']" to the message of what a step raises.
            error.args = (str(error).split(" [while running '")[0], *error.args[1:])
            raise
        return list(pickle.loads(path.read_bytes()))
