"""The pipelines of an audit: each starts from the driver's tasks and ends in a collection that the driver reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam

from corpus_audit.pipelines.beam.profile import (
    CompactShards,
    CountSplits,
    Deal,
    MergeParts,
    PickDecoys,
    PlanShards,
)
from corpus_audit.pipelines.beam.tasks import Perform, Worker
from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitTask
from corpus_audit.pipelines.counting.tasks import MergeTask, PlanTask

Build = Callable[[beam.Pipeline], Any]
"""Adds steps to a pipeline and returns the collection that they end in."""


def planning(job: Job, tasks: Sequence[PlanTask]) -> Build:
    """Shards to their splits: (position, `PlannedShard`)."""
    return lambda pipeline: pipeline | "Shards" >> Deal(tasks) | "Plan" >> beam.ParDo(PlanShards(job))


def counting(job: Job, tasks: Sequence[SplitTask], planned: dict[int, PlannedShard]) -> Build:
    """Splits to partials in the store: `SplitResult`."""
    return lambda pipeline: (
        pipeline
        | "Splits" >> Deal(tasks)
        | "Count" >> beam.ParDo(CountSplits(job))
        | "By shard" >> beam.GroupByKey()
        | "Compact" >> beam.ParDo(CompactShards(job, planned))
    )


def picking(job: Job, tasks: Sequence[SplitTask], count: int, lengths: tuple[int, ...]) -> Build:
    """Splits to decoys: one pair, of the decoys and of the errors of unreadable splits."""
    picked = beam.CombineGlobally(PickDecoys(job, count, lengths)).without_defaults()
    return lambda pipeline: pipeline | "Splits" >> Deal(tasks) | "Pick decoys" >> picked


def merging(tasks: Sequence[MergeTask]) -> Build:
    """One level of the tree of merges: the files that were written."""
    return lambda pipeline: pipeline | "Merges" >> Deal(tasks) | "Merge" >> beam.ParDo(MergeParts())


def performing(worker: Worker, tasks: Sequence[Any], hints: Mapping[str, str]) -> Build:
    """Run a worker's tasks; emits a 1 for each that is done. ``hints`` are Beam's resource hints of that step."""
    perform = beam.ParDo(Perform(worker))
    if hints:
        perform = perform.with_resource_hints(**hints)
    return lambda pipeline: pipeline | "Tasks" >> Deal(tasks) | "Perform" >> perform
