"""Builds a trace index: one folder of segments for each split of a snapshot, only for splits that have none.

A split's folder is named by a digest of the shard's bytes, the split's bounds and everything in the audit that decides
what its documents are. It is complete when it has its name: an interrupted build goes on with the next split, a shard
that was added is read alone, and that of a shard that is gone is removed when the index is published.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.reading.documents.batches import PRIMARY, DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import READER_VERSION, read_split
from corpus_audit.pipelines.storage.atomic import publish_folder
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from corpus_audit.pipelines.tracing.index import SEGMENTS, SPLIT_FILE, domain_counts
from corpus_audit.pipelines.tracing.segment import MAGIC, SEGMENT_BYTES, map_segment, write_segment
from corpus_audit.pipelines.tracing.words import WORDS_VERSION
from corpus_audit.schemas.errors import NoVerdictError, StoreError
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan, Split
from corpus_audit.schemas.spec.audit import AuditSpec


@dataclass(frozen=True, slots=True)
class TraceTask:
    """A split to index, and the folder for its segments."""

    shard: Shard
    split: Split
    folder: Path


def trace_tasks(plans: Sequence[ShardPlan], spec: AuditSpec, index: Path) -> list[TraceTask]:
    """A task for each split of a snapshot."""
    settings = [spec.document.model_dump(mode="json"), [clause.model_dump(mode="json") for clause in spec.filter]]
    versions = [MAGIC.decode(), WORDS_VERSION, READER_VERSION, SEGMENT_BYTES]
    tasks = []
    for plan in plans:
        values = path_values(plan.shard, spec.document)
        for split in plan.splits:
            parts = [*versions, *settings, spec.limits.document_bytes, plan.sha256, split.start, split.stop, values]
            name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
            tasks.append(TraceTask(plan.shard, split, index / SEGMENTS / name[:40]))
    return tasks


@dataclass(frozen=True, slots=True)
class TraceWorker:
    """Indexes splits; it is pickled and sent to other processes.

    Attributes:
        settings: how documents are read.
        segment_bytes: text of a segment; tests use small ones.
    """

    settings: ReadSettings
    segment_bytes: int = SEGMENT_BYTES

    def run_task(self, task: TraceTask) -> None:
        """Write the segments of a split.

        Raises:
            NoVerdictError: the split cannot be read.
        """
        board = process_board()
        if (task.folder / SPLIT_FILE).exists():  # a shard of the same bytes was indexed meanwhile
            board.advance(task.split.weight)
            return
        staged = task.folder.with_name(f".{task.folder.name}.{secrets.token_hex(4)}")
        staged.mkdir(parents=True)
        board.shard_started(task.shard.name)
        try:
            self._index(task, staged)
            if not (task.folder / SPLIT_FILE).exists():
                shutil.rmtree(task.folder, ignore_errors=True)
                publish_folder(staged, task.folder)
        except ShardError as error:
            raise NoVerdictError(f"shard {task.shard.name}: {error.problem}") from None
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            board.shard_finished(task.shard.name)

    def _index(self, task: TraceTask, staged: Path) -> None:
        board = process_board()
        tally = SplitTally()
        batches: list[DocumentBatch] = []
        size = done = 0
        files: list[str] = []
        for batch in read_split(task.shard, task.split, self.settings, tally):
            for part, added in _parts(batch, self.segment_bytes):
                if batches and size + added > self.segment_bytes:
                    files.append(write_segment(staged / str(len(files)), batches))
                    batches, size = [], 0
                batches.append(part)
                size += added
                step = min(added, task.split.weight - done)
                done += step
                board.advance(step, len(part))
        if batches:
            files.append(write_segment(staged / str(len(files)), batches))
        counts = {
            "rows": tally.rows,
            "documents": tally.documents,
            "dead_letters": tally.dead.total(),
            "filtered": tally.filtered.total(),
        }
        (staged / SPLIT_FILE).write_text(json.dumps({"files": files, "counts": counts}), encoding="utf-8")
        board.advance(task.split.weight - done)


def _parts(batch: DocumentBatch, limit: int) -> Iterator[tuple[DocumentBatch, int]]:
    """A batch in parts of at most ``limit`` bytes of text, each at least one document, and the bytes of each."""
    offsets, _ = text_buffers(batch.text)
    start = 0
    while start < len(batch):
        stop = max(int(np.searchsorted(offsets, offsets[start] + limit, side="right")) - 1, start + 1)
        size = stop - start
        part = DocumentBatch(
            rows=batch.rows[start:stop],
            text=batch.text.slice(start, size),
            ids=None if batch.ids is None else batch.ids.slice(start, size),
            facets={PRIMARY: batch.facets[PRIMARY].slice(start, size)},
            cluster=None,
        )
        yield part, int(offsets[stop] - offsets[start])
        start = stop


def split_facts(task: TraceTask) -> dict[str, Any]:
    """What the index says of a split: its segments with their digests, counts, and counts by domain.

    Raises:
        StoreError: a file is damaged; the folder was removed, so that the next build reads that split again.
    """
    try:
        written = json.loads((task.folder / SPLIT_FILE).read_bytes())
        segments = [map_segment(task.folder / str(n), sha256) for n, sha256 in enumerate(written["files"])]
    except (OSError, ValueError, KeyError, StoreError) as error:
        shutil.rmtree(task.folder, ignore_errors=True)
        raise StoreError(f"{error}; it was removed: run the same command again") from None
    counts: Counter[str] = Counter(written["counts"])
    domains: dict[str, Counter[str]] = {}
    for segment in segments:
        counts["words"] += int(segment.document_words.sum())
        counts["words_and_marks"] += len(segment.suffixes)
        counts["text_bytes"] += int(np.diff(segment.starts)[segment.symbols].sum())
        for domain, numbers in domain_counts(segment).items():
            domains.setdefault(domain, Counter()).update(numbers)
    return {
        "shard": task.shard.name,
        "split": task.split.index,
        "folder": task.folder.name,
        "segments": [
            {
                "path": f"{task.folder.name}/{n}",
                "sha256": sha256,
                "bytes": (task.folder / str(n)).stat().st_size,
            }
            for n, sha256 in enumerate(written["files"])
        ],
        "counts": dict(counts),
        "domains": {name: dict(numbers) for name, numbers in domains.items()},
    }
