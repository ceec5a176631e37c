"""The tasks of an audit and what each one does, without an engine: Beam's transforms and threads call the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitResult
from corpus_audit.pipelines.measures.base import FAN_IN, Measure, merge_files
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan


@dataclass(frozen=True, slots=True)
class PlanTask:
    """A shard to plan; ``known`` is its plan from the store, if there is one."""

    index: int
    shard: Shard
    known: ShardPlan | None


@dataclass(frozen=True, slots=True)
class MergeTask:
    """Partials of one measure, and which of their tables to merge into one file."""

    measure: Measure
    tables: tuple[str, ...]
    sources: tuple[str, ...]
    target: str


def balanced_order(weights: list[int], workers: int) -> list[int]:
    """Positions of tasks in an order that balances the load of workers that each get every ``workers``-th element.

    Longest processing time first (Graham 1969): the heaviest task goes to the least loaded worker that may still get
    one. Beam's embedded runner and Flink distribute the elements of a reshuffle round-robin.
    """
    if workers <= 1:
        return list(range(len(weights)))
    loads = [0] * workers
    queues: list[list[int]] = [[] for _ in range(workers)]
    for position in sorted(range(len(weights)), key=lambda p: (-weights[p], p)):
        open_queues = [w for w in range(workers) if len(queues[w]) < len(range(w, len(weights), workers))]
        lightest = min(open_queues, key=lambda w: (loads[w], -w))  # the last workers may get one task fewer
        queues[lightest].append(position)
        loads[lightest] += weights[position]
    return [queues[i % workers][i // workers] for i in range(len(weights))]


def plan_task(job: Job, task: PlanTask) -> PlannedShard:
    """Hash a shard, find its splits, and look up which partials the store has; the shard is on the board meanwhile."""
    board = process_board()
    board.shard_started(task.shard.name)
    try:
        return job.plan(task.shard, task.known, lambda n: board.advance(bytes=n))
    finally:
        board.shard_finished(task.shard.name)


def compact_counted(job: Job, planned: PlannedShard, results: Iterable[SplitResult]) -> None:
    """Merge the splits of a shard, unless one of them could not be counted."""
    if all(result.error is None for result in results):
        job.compact(planned)


def merge_partials(task: MergeTask) -> None:
    """Merge the partials of a task into its file."""
    merge_files(task.measure, [Path(source) for source in task.sources], Path(task.target), task.tables)


def merge_tree(
    sources: Mapping[Measure, Sequence[Path]], scratch: Path, merge_level: Callable[[list[MergeTask], int], None]
) -> dict[tuple[str, str], Path]:
    """Merge the partials of every measure as a tree of `FAN_IN`.

    Args:
        sources: the partials of every measure.
        scratch: a folder for the files of every level.
        merge_level: performs the tasks of one level, whose number it is given too.

    Returns:
        (measure, table) -> the file that holds it.
    """
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
                targets.append(scratch / f"{measure.name}-{tables[0]}-{level}-{number}")
                part = tuple(str(path) for path in paths[number::parts])
                tasks.append(MergeTask(measure, tables, part, str(targets[-1])))
        merge_level(tasks, level)
        current = following
        level += 1
    return {(measure.name, table): paths[0] for (measure, tables), paths in current.items() for table in tables}


def merge_weights(tasks: Sequence[MergeTask]) -> list[int]:
    """Stored bytes of the tables that each task reads."""
    return [sum(PartialReader(Path(s), check=False).stored_bytes(t.tables) for s in t.sources) for t in tasks]
