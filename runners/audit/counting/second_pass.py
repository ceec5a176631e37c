"""Counts a measure that is known only once everything was counted, by reading splits a second time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting.job import Job, PlannedShard, SplitTask
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.run.snapshot import Split

if TYPE_CHECKING:
    from corpus_audit.runners.engines.launch.engines import Engine
    from corpus_audit.runners.engines.launch.local import LocalEngine


def count_again(
    job: Job,
    measure: Measure,
    engine: Engine | LocalEngine,
    pairs: Sequence[tuple[ShardState, Split]],
    board: Board,
    stage: str,
) -> tuple[Path, ...]:
    """Count the splits of which the store lacks the measure.

    Args:
        job: the audit's.
        measure: what counts.
        engine: what reads.
        pairs: splits with their shards, those of one shard together; all of them were counted before.
        board: for progress.
        stage: what the progress line says.

    Returns:
        The partials of the shards, in their order, as often as a shard is there.

    Raises:
        NoVerdictError: a split can no longer be read.
    """
    job, name = replace(job, extra=(measure,), verify_lowest=0), measure.name
    splits: dict[int, list[Split]] = defaultdict(list)
    state_of: dict[int, ShardState] = {}
    for state, split in pairs:
        splits[id(state)].append(split)
        state_of[id(state)] = state
    sources = [job.path_of(name, state.shard, state.sha256) for state in state_of.values()]
    planned: dict[int, PlannedShard] = {}
    tasks: list[SplitTask] = []
    done: set[Path] = set()
    for i, (key, path) in enumerate(zip(state_of, sources, strict=True)):
        state, own = state_of[key], tuple(splits[key])
        if path in done or job.store.has(name, path.name):
            continue
        done.add(path)
        lacking = [s for s in own if not job.store.has(name, job.path_of(name, state.shard, state.sha256, s).name)]
        planned[i] = PlannedShard(state.planned.plan, own, (name,), tuple((split, (name,)) for split in lacking))
        if not lacking:  # all were counted before a kill
            job.compact(planned[i])
        tasks += [SplitTask(i, state.shard, state.sha256, split, (name,)) for split in lacking]
    board.begin_stage(stage, total_bytes=sum(task.split.weight for task in tasks))
    for result in engine.count(job, tasks, planned):
        if result.error is not None:
            raise NoVerdictError(f"a shard that was counted can no longer be read: {result.error}")
    job.tokenization.release()
    return tuple(sources)
