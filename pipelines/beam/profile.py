"""The profile as Beam transforms: descriptors go through the shuffles, counters through the profile store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

from corpus_audit.pipelines.contamination.decoys import Decoy, DecoyPicker
from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitResult, SplitTask
from corpus_audit.pipelines.counting.tasks import MergeTask, PlanTask, compact_counted, merge_partials, plan_task


class Distribute(beam.PTransform):
    """Distribute elements over workers in the given order.

    By a reshuffle, not a grouping: Flink assigns groups by the hash of their keys, and gave one worker 9 of 12 splits.
    """

    def __init__(self, elements: Iterable[Any]) -> None:
        super().__init__()
        self._elements = list(elements)

    def expand(self, begin: Any) -> Any:
        """Create the elements and reshuffle them, one by one, to the workers."""
        return begin | "Create" >> beam.Create(self._elements, reshuffle=False) | "Spread" >> beam.Reshuffle()


class PlanShards(beam.DoFn):
    """Hash a shard, find its splits, and look up which partials the store has."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, task: PlanTask) -> Iterator[tuple[int, PlannedShard]]:
        """The planned shard, keyed by its index."""
        yield task.index, plan_task(self._job, task)


class CountSplits(beam.DoFn):
    """Count one split into the store."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, task: SplitTask) -> Iterator[tuple[int, SplitResult]]:
        """The result of the split, keyed by the shard's index."""
        yield task.index, self._job.count(task)


class PickDecoys(beam.CombineFn):
    """Pick decoys from splits: one `DecoyPicker` a bundle, then all merged."""

    def __init__(self, job: Job, count: int, lengths: tuple[int, ...]) -> None:
        self._job = job
        self._count = count
        self._lengths = lengths

    def create_accumulator(self) -> DecoyPicker:
        """An empty picker."""
        return DecoyPicker(self._count, self._lengths)

    def add_input(self, picker: DecoyPicker, task: SplitTask) -> DecoyPicker:
        """Add the documents of one split to the picker."""
        self._job.pick_decoys(task, picker)
        return picker

    def merge_accumulators(self, pickers: Iterable[DecoyPicker]) -> DecoyPicker:
        """A picker with the candidates of all pickers."""
        merged = self.create_accumulator()
        merged.merge(pickers)
        return merged

    def extract_output(self, picker: DecoyPicker) -> tuple[tuple[Decoy, ...], tuple[str, ...]]:
        """The decoys, and the errors of splits that could not be read."""
        return picker.decoys(), tuple(sorted(picker.problems))


class CompactShards(beam.DoFn):
    """Merge the splits of a shard when all of them are counted."""

    def __init__(self, job: Job, planned: dict[int, PlannedShard]) -> None:
        self._job = job
        self._planned = planned

    def process(self, keyed: tuple[int, Iterable[SplitResult]]) -> Iterator[SplitResult]:
        """The shard's results, unchanged."""
        index, results = keyed[0], list(keyed[1])
        compact_counted(self._job, self._planned[index], results)
        yield from results


class MergePartials(beam.DoFn):
    """Merge partial files of one measure."""

    def process(self, task: MergeTask) -> Iterator[str]:
        """The path of the merged file."""
        merge_partials(task)
        yield task.target


class Collect(beam.PTransform):
    """Write all elements, pickled, to one file that the driver reads; its folder must be shared with the workers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)

    def expand(self, elements: Any) -> Any:
        """Write the file; without elements it holds an empty list."""
        return (
            elements.pipeline
            | "Once" >> beam.Create([None], reshuffle=False)
            | "Write" >> beam.ParDo(_WriteAll(self._path), beam.pvalue.AsList(elements))
        )


class _WriteAll(beam.DoFn):
    def __init__(self, path: str) -> None:
        self._path = path

    def process(self, _: None, elements: list[Any]) -> None:
        import pickle

        from corpus_audit.pipelines.storage.atomic import AtomicFile

        with AtomicFile(Path(self._path)) as file:
            file.write(pickle.dumps(elements))
