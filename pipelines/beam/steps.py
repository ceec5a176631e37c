"""The pipelines of an audit: each starts from the driver's tasks and ends in a collection that the driver reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam

from corpus_audit.pipelines.beam.profile import (
    CompactShards,
    CountSplits,
    Distribute,
    MergePartials,
    PickDecoys,
    PlanShards,
)
from corpus_audit.pipelines.beam.tasks import RunTasks, Worker
from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitTask
from corpus_audit.pipelines.counting.tasks import MergeTask, PlanTask

Build = Callable[[beam.Pipeline], Any]
"""Adds steps to a pipeline and returns the collection that they end in."""


def planning_steps(job: Job, tasks: Sequence[PlanTask]) -> Build:
    """Plan shards; the pipeline emits pairs (index of the shard, `PlannedShard`)."""
    return lambda pipeline: pipeline | "Shards" >> Distribute(tasks) | "Plan" >> beam.ParDo(PlanShards(job))


def counting_steps(job: Job, tasks: Sequence[SplitTask], planned: dict[int, PlannedShard]) -> Build:
    """Count splits into partials of the store; the pipeline emits a `SplitResult` a split."""
    return lambda pipeline: (
        pipeline
        | "Splits" >> Distribute(tasks)
        | "Count" >> beam.ParDo(CountSplits(job))
        | "By shard" >> beam.GroupByKey()
        | "Compact" >> beam.ParDo(CompactShards(job, planned))
    )


def decoy_steps(job: Job, tasks: Sequence[SplitTask], count: int, lengths: tuple[int, ...]) -> Build:
    """Pick decoys from splits; the pipeline emits one pair: the decoys, and the errors of unreadable splits."""
    pick = beam.CombineGlobally(PickDecoys(job, count, lengths)).without_defaults()
    return lambda pipeline: pipeline | "Splits" >> Distribute(tasks) | "Pick decoys" >> pick


def merging_steps(tasks: Sequence[MergeTask]) -> Build:
    """Merge partials, one level of the tree of merges; the pipeline emits the paths of the merged files."""
    return lambda pipeline: pipeline | "Merges" >> Distribute(tasks) | "Merge" >> beam.ParDo(MergePartials())


def task_steps(worker: Worker, tasks: Sequence[Any], hints: Mapping[str, str]) -> Build:
    """Run a worker's tasks; the pipeline emits 1 a finished task. ``hints`` are Beam's resource hints for the step."""
    run = beam.ParDo(RunTasks(worker))
    if hints:
        run = run.with_resource_hints(**hints)
    return lambda pipeline: pipeline | "Tasks" >> Distribute(tasks) | "Perform" >> run
