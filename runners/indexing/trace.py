"""Build a trace index on an engine, one at a time in an output folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.progress.timings import Timings
from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.pipelines.tracing.build import TraceWorker, split_facts, trace_tasks
from corpus_audit.pipelines.tracing.index import SEGMENTS, SPLIT_FILE, publish_trace_index
from corpus_audit.runners.audit.baselines import default_workers
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from corpus_audit.runners.process.locks import OutputLock, make_output
from corpus_audit.runners.process.logs import quiet_engine_logs
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.run.snapshot import UnreadFile
from corpus_audit.schemas.spec.audit_file import LoadedAudit


@dataclass(frozen=True, slots=True)
class BuiltTraceIndex:
    """A published trace index.

    Attributes:
        folder: its folder.
        facts: the content of its index.json.
        splits_read, splits_kept: splits that this build read, and those whose segments were there.
        unread: files that may be data and are not read.
        timings: seconds by stage.
    """

    folder: Path
    facts: dict[str, Any]
    splits_read: int
    splits_kept: int
    unread: tuple[UnreadFile, ...]
    timings: Timings = field(default_factory=Timings)


def build_trace_index(
    loaded: LoadedAudit,
    workers: int | None,
    engine: EngineOptions = EMBEDDED,
    warn: Callable[[str], None] = lambda _: None,
) -> BuiltTraceIndex:
    """Index the documents of an audit's snapshot for tracing; splits that are indexed already are not read again.

    Args:
        loaded: the audit; ``sample`` does not apply: all documents are indexed.
        workers: splits at a time; by default one a core.
        engine: runs the tasks.
        warn: called with warnings about the workers.

    Raises:
        NoVerdictError: a shard cannot be read, or there is nothing to index.
        StoreError: a stored segment is damaged; it was removed.
    """
    quiet_engine_logs()
    from corpus_audit.runners.engines.launch.engines import open_engine

    output = (loaded.base / loaded.spec.output).resolve()
    make_output(output)
    timings, board = Timings(), process_board()
    with OutputLock(output):
        folder = output / "trace"
        (folder / SEGMENTS).mkdir(parents=True, exist_ok=True)
        for left in (*(folder / SEGMENTS).glob(".*"), *output.glob(".work-*")):  # of a build that was killed
            shutil.rmtree(left, ignore_errors=True)
        listing = list_files(loaded.spec.snapshot, loaded.base, loaded.own_folders, loaded.spec.has_images)
        with timings.stage("planning"):
            board.begin_stage("planning", total_bytes=sum(shard.size for shard in listing.shards))
            plans = [plan_shard(shard, None, board.advance) for shard in listing.shards]
        for plan in plans:
            if plan.error is not None:
                raise NoVerdictError(f"shard {plan.shard.name}: {plan.error}")
        tasks = trace_tasks(plans, loaded.spec, folder)
        missing = {task.folder: task for task in tasks if not (task.folder / SPLIT_FILE).exists()}
        todo = list(missing.values())
        with timings.stage("indexing"):
            weights = [task.split.weight for task in todo]
            board.begin_stage("indexing", total_bytes=sum(weights))
            if todo:
                worker = TraceWorker(ReadSettings.of(loaded.spec))
                at_once = min(workers or default_workers(), len(todo))
                with (
                    tempfile.TemporaryDirectory(prefix=".work-", dir=output) as scratch,
                    open_engine(engine, at_once, Path(scratch), warn) as opened,
                ):
                    opened.perform(worker, todo, weights)
        with timings.stage("publishing"):
            splits = [split_facts(task) for task in tasks]
            if not any(split["counts"]["documents"] for split in splits):
                raise NoVerdictError("the corpus has no document: there is nothing to index")
            facts = publish_trace_index(folder, loaded.spec.name, splits)
    unread = tuple(file for file in listing.unread if file.reason.may_be_data)
    return BuiltTraceIndex(folder, facts, len(todo), len(tasks) - len(todo), unread, timings)
