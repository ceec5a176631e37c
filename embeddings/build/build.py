"""Build an activation index: scan a corpus with a model, split by split, then merge, verify and publish.

The steps of `build_index`, with what goes from one to the next::

    audit.yaml --1 load--> ActivationScanner (model with hooks, R units, window plan, a key of all that decides a scan)
    snapshot ---2 plan--> splits -> ScanTask: split, and the folder of its partial in the store
                    |
                    3 scan: splits without a partial, by an engine's workers, anywhere that sees the store
                    v
    store: a ScanPartial a split: top-k lists [R, k], samples, histograms, sums; windows [V], their text and vectors
                    |
                    4 merge: all partials of the snapshot, old and new
                    v
    one ScanPartial --5 verify: windows of the lists run once more, in float32
                    |
                    6 publish (`publish.py`): tables, drift from a baseline, benchmarks; one rename
                    v
    index folder

1. `open_scanner` loads the model and refuses a wrong spec before anything is read.
2. A task's folder is named by a digest of the scanner's key and the shard's content, not by the shard's name or its
   position in the corpus. That makes the scan resumable, and incremental: a new snapshot scans new shards only.
3. Each split becomes a partial, or none. Nothing but tasks goes through the engine.
4. Lists merge exactly (`topk`), counts and sums add up; windows that are in no merged list and have no
   vectors are dropped.
5. After a bfloat16 scan, which keeps twice the candidates, every list is computed again in float32. After a float32
   scan one window in `ONE_IN` is run again, to check that batches of another shape give what is stored.
6. Everything is written to a staged folder and renamed once, so that a reader never sees half an index.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from corpus_audit.embeddings.build.publish import BuildStages, Publication
from corpus_audit.embeddings.images.scanner import (
    ImageScanner,
    ImageScanWorker,
    open_image_scanner,
    reads_images,
)
from corpus_audit.embeddings.index.files import IndexFacts
from corpus_audit.embeddings.index.reader import Index, open_index
from corpus_audit.embeddings.index.vectors import gather, save_codes
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator
from corpus_audit.embeddings.scan.partials import COUNTS, ScanPartial, documents_of, read_partial, retained_windows
from corpus_audit.embeddings.scan.scanner import ActivationScanner, open_scanner
from corpus_audit.embeddings.scan.verification import ONE_IN, RescanResult, check, correct, members
from corpus_audit.embeddings.scan.worker import ScanTask, ScanWorker
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.schemas.errors import NoVerdictError, StoreError, UsageError
from corpus_audit.schemas.run.snapshot import ShardPlan
from corpus_audit.schemas.spec.audit_file import LoadedAudit
from corpus_audit.schemas.tables.activation_tables import WINDOWS

Perform = Callable[[ScanWorker, Sequence[ScanTask], int], None]
"""``perform(worker, tasks, at_once)`` runs a worker on tasks, in any order, on any machine that sees the store."""


Scanner = ActivationScanner | ImageScanner


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """A published index.

    Attributes:
        folder: the index's folder.
        facts: the content of its index.json.
        splits_scanned, splits_kept: splits that this build scanned, and those whose partials were in the store.
        seconds: wall-clock seconds by stage.
        batch_tokens: tokens of a batch; fewer than the spec asks for if the device had no room.
    """

    folder: Path
    facts: IndexFacts
    splits_scanned: int
    splits_kept: int
    seconds: dict[str, float]
    batch_tokens: int


def in_order(worker: ScanWorker, tasks: Sequence[ScanTask], at_once: int) -> None:
    """Perform tasks in this process, one after the other; torch uses the cores."""
    for task in tasks:
        worker.run_task(task)


def build_index(loaded: LoadedAudit, perform: Perform = in_order, workers: int = 1) -> BuiltIndex:
    """Scan the splits of an audit's corpus that have no partial yet, and publish its activation index.

    The steps are those of the module's docstring.

    Args:
        loaded: the audit; it has an `embedding:` section.
        perform: runs the tasks, in this process or through an engine.
        workers: splits to scan at once; one at a time where there is a GPU.

    Raises:
        UsageError: there is no such section, or model, units or windows are wrong.
        NoVerdictError: a shard cannot be read, or there is nothing to scan.
    """
    stages = BuildStages()
    with ExitStack() as stack:
        with stages.stage("model"):
            scanner = stack.enter_context(_open(loaded))
        return _IndexBuild(loaded, scanner, stages, _open_baseline(loaded, scanner)).run(perform, workers)


@dataclass
class _IndexBuild:
    """One build: steps 2 to 6."""

    loaded: LoadedAudit
    scanner: Scanner
    stages: BuildStages
    baseline: Index | None

    def run(self, perform: Perform, workers: int) -> BuiltIndex:
        """Plan, scan, merge, verify and publish; one unreadable shard ends it before anything is scanned."""
        loaded, scanner, stages = self.loaded, self.scanner, self.stages
        # Step 2.
        root = loaded.base / loaded.spec.store if loaded.spec.store else loaded.base / loaded.spec.output / ".store"
        shards = list_files(loaded.spec.snapshot, loaded.base, loaded.own_folders, loaded.spec.has_images).shards
        with stages.stage("planning", sum(shard.size for shard in shards)):
            plans = [plan_shard(shard, None, process_board().advance) for shard in shards]
        for plan in plans:
            if plan.error is not None:
                raise NoVerdictError(f"shard {plan.shard.name}: {plan.error}")
        tasks = self._tasks(plans, root.resolve() / "activations")
        todo = [task for task in tasks if not (task.folder / "state.npz").exists()]
        # Step 3. One process drives a GPU; on a CPU each worker gets its part of the cores.
        with stages.stage("scanning", sum(task.split.weight for task in todo)):
            at_once = min(workers, len(todo)) if scanner.device.type == "cpu" else 1
            if todo:
                threads = max(1, torch.get_num_threads() // at_once) if at_once > 1 else None
                worker = ImageScanWorker if isinstance(scanner, ImageScanner) else ScanWorker
                perform(worker(loaded, scanner.key, threads), todo, at_once)
        # Steps 4 to 6. Vectors may be larger than memory: they are gathered into a folder on the disk of the index, and
        # moved into it.
        staging = (loaded.base / scanner.spec.output).resolve() / ".staging"
        folder = staging / f"vectors-{scanner.key[:16]}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with stages.stage("merging"):
                merged = self._merge(tasks, folder)
            if not merged.counts["windows"]:
                raise NoVerdictError("the corpus has no document with a token that counts: there is nothing to index")
            with stages.stage("verifying"):
                merged, verified = self._verify(merged, plans)
                saes = self.scanner.checked_saes(merged.windows, loaded.base)
            published, facts = Publication(loaded, scanner, stages, self.baseline).write(
                plans, merged, verified, saes, folder
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return BuiltIndex(published, facts, len(todo), len(tasks) - len(todo), stages.stages, scanner.batch_tokens)

    def _tasks(self, plans: Sequence[ShardPlan], store: Path) -> list[ScanTask]:
        """A task for each split; its folder is named by what decides the partial's content, path values included."""
        tasks = []
        for plan in plans:
            values = path_values(plan.shard, self.scanner.audit.document)
            for split in plan.splits:
                parts = [self.scanner.key, plan.sha256, split.start, split.stop, dict(values)]
                name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
                tasks.append(ScanTask(plan.shard, split, store / name[:2] / name))
        return tasks

    def _merge(self, tasks: Iterable[ScanTask], folder: Path) -> ScanPartial:
        """Merge the partials of all splits, and note every document's shard and split.

        Raises:
            StoreError: a partial is damaged; it was removed, so that the next run scans that split again.
        """
        scanner = self.scanner
        floors = scanner.selection.floors()
        state = ActivationAccumulator(len(floors), scanner.slots, floors)
        windows, documents, vectors = [WINDOWS.empty_table()], [], []
        counts = dict.fromkeys(COUNTS, 0)
        for task in tasks:
            try:
                partial = read_partial(task.folder, scanner.slots, floors, scanner.has_vectors)
            except StoreError as error:
                shutil.rmtree(task.folder, ignore_errors=True)
                raise StoreError(f"{error}; it was removed: run the same command again") from None
            state.merge(partial.state)
            windows.append(partial.windows)
            documents_of_split, size = partial.documents, len(partial.documents)
            documents_of_split = documents_of_split.append_column(
                "shard", pa.array([task.shard.name] * size, pa.string())
            )
            documents.append(documents_of_split.append_column("split", pa.array([task.split.index] * size, pa.int32())))
            vectors += [] if partial.vectors is None else [partial.vectors]
            for name in COUNTS:
                counts[name] += partial.counts[name]
        gathered = None if not scanner.has_vectors else gather(vectors, scanner.hidden, folder)
        if gathered is not None:
            save_codes(gathered, folder)
        # A window that won in its split but not in the corpus is in no list any more.
        retained = _distinct(pa.concat_tables(windows), retained_windows(state, gathered))
        located = documents_of(retained, documents)
        if documents:
            located = located.sort_by([(name, "ascending") for name in ("document", "shard", "split", "row")])
        return ScanPartial(state, retained, located, counts, gathered)

    def _verify(self, merged: ScanPartial, plans: Sequence[ShardPlan]) -> tuple[ScanPartial, RescanResult]:
        """Step 5: run windows of the lists once more, in float32.

        Returns:
            The merged scan with lists in float32, and how far the values computed again differed.
        """
        scanner, state = self.scanner, merged.state
        used = state.used_windows()
        exact = scanner.spec.dtype == "float32"
        selected = used[::ONE_IN] if exact else used
        retained = _distinct(merged.windows, selected)
        rows, domain = members(retained, merged.documents, state.domains)
        again = scanner.rescan(replace(merged, windows=retained), rows, domain, plans)
        if exact:
            return merged, check(state, again, selected, scanner.decided())
        state, verified = correct(state, again, selected)
        used = (
            state.used_windows() if merged.vectors is None else np.union1d(state.used_windows(), merged.vectors.window)
        )
        retained = _distinct(merged.windows, used)
        return replace(
            merged, state=state, windows=retained, documents=documents_of(retained, [merged.documents])
        ), verified


def _open(loaded: LoadedAudit) -> AbstractContextManager[Scanner]:
    """The scanner of an audit: of images if its model or its units are those of an image model."""
    spec = loaded.spec.embedding
    if spec is not None and reads_images(loaded.spec, spec, loaded.base):
        return open_image_scanner(loaded)
    return open_scanner(loaded)


def _open_baseline(loaded: LoadedAudit, scanner: Scanner) -> Index | None:
    """The baseline index of drift, opened before the scan so that one that cannot be compared costs no scan.

    Raises:
        UsageError: it was made with another model, tokenizer, window plan or block.
    """
    if scanner.spec.baseline is None:
        return None
    index = open_index(loaded.base / scanner.spec.baseline)
    card, stored = scanner.card, index.facts
    for what, old, new in (
        ("model", stored.model["digest"], card.digest),
        ("tokenizer", stored.model["tokenizer"], card.tokenizer),
        ("window plan", stored.windows, scanner.windows),
        ("block of vectors", (stored.vectors or {}).get("block"), scanner.block),
        ("layer of vectors", (stored.vectors or {}).get("read"), _read_at(scanner)),
    ):
        if old != new:
            raise UsageError(f"embedding.baseline: {index.folder} was made with another {what}")
    return index


def _read_at(scanner: Scanner) -> str | None:
    """What the vectors of images are, as an index says it."""
    return scanner.pooled.read if isinstance(scanner, ImageScanner) and scanner.pooled is not None else None


def _distinct(table: pa.Table, used: np.ndarray) -> pa.Table:
    """The rows of a WINDOWS table whose window is in ``used``, each window once, ascending."""
    window = table["window"].to_numpy()
    _, first = np.unique(window, return_index=True)
    return table.take(first[np.isin(window[first], used)]).combine_chunks()
