"""Plan, count and verify the shards of one audit, and start again if the fast tokenizer is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting import store
from corpus_audit.pipelines.counting.blocks import release_buffers
from corpus_audit.pipelines.counting.job import Job, SplitTask
from corpus_audit.pipelines.counting.memory import release_memory
from corpus_audit.pipelines.counting.tasks import PlanTask
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage, Verification, outcome_rows
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.progress.timings import Timings
from corpus_audit.pipelines.reading.snapshot.listing import common_folder, list_files
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.pipelines.tokens.file import remember_mismatch
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.pipelines.tokens.verification import NEEDED, documents_per_split
from corpus_audit.runners.audit.counting.shard_loss import refuse_shards_without_documents
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.errors import TokenizerMismatchError
from corpus_audit.schemas.run.snapshot import ShardStatus, UnreadFile
from corpus_audit.schemas.spec.audit_file import LoadedAudit

if TYPE_CHECKING:
    from corpus_audit.pipelines.contamination.measure import Contamination
    from corpus_audit.runners.engines.launch.engines import Engine
    from corpus_audit.runners.engines.launch.local import LocalEngine


class ShardCounter:
    """Counts the shards of a snapshot: `plan`, then `count`.

    Attributes:
        job: what counts a split; it changes when benchmarks are indexed and when the tokenizer is replaced.
        contamination: the measure of the benchmarks, once they are indexed; None without benchmarks.
        splits_read: splits that were read.
        splits_cached: splits whose counts the store had.
        text_bytes: UTF-8 bytes of the texts that were read.
        verify_seconds: core-seconds of the reference tokenizer.
        corpus: the folder that all shards have in common; None if there is none.
        unread: files that the listing met and that are no shards.
    """

    def __init__(
        self,
        loaded: LoadedAudit,
        engine: Engine | LocalEngine,
        job: Job,
        board: Board,
        timings: Timings,
        *,
        shared: tuple[Measure, ...],
        benchmarks: Callable[[Tokenization], Contamination] | None,
        rehash: bool,
        tokenizers: Path,
    ) -> None:
        """Prepare to count; nothing is read.

        Args:
            loaded: the audit.
            engine: what runs the job.
            job: with the measures of the spec and those in ``shared``.
            board: for progress.
            timings: the stages are added to it.
            shared: measures of what the snapshot shares with baselines.
            benchmarks: builds the measure of the benchmarks for a tokenizer; None without benchmarks.
            rehash: hash every shard again, also where the store remembers its digest.
            tokenizers: the folder of the store that remembers which fast tokenizers are wrong.
        """
        self._loaded, self._spec, self._engine = loaded, loaded.spec, engine
        self._board, self._timings, self._rehash = board, timings, rehash
        self._shared, self._benchmarks, self._tokenizers = shared, benchmarks, tokenizers
        self.job = job
        self.contamination: Contamination | None = None
        self.splits_read = 0
        self.splits_cached = 0
        self.text_bytes = 0
        self.verify_seconds = 0.0
        self.corpus: str | None = None
        self.unread: tuple[UnreadFile, ...] = ()

    def plan(self) -> list[ShardState]:
        """List, hash and split the shards, and look up which counts the store has."""
        with self._timings.stage("plan"):
            self._board.begin_stage("listing shards")
            listing = list_files(
                self._spec.snapshot, self._loaded.base, self._loaded.own_folders, self._spec.has_images
            )
            shards, self.unread = listing.shards, listing.unread
            self.corpus = common_folder(shards)
            memory = store.PlanCache(self.job.store.root)
            known = {} if self._rehash else memory.known(shards)
            self._board.begin_stage("hashing", total_bytes=sum(shard.size for shard in shards))
            tasks = [PlanTask(i, shard, known.get(shard.path)) for i, shard in enumerate(shards)]
            planned = self._engine.plan(self.job, tasks)
            memory.record(p.plan for p in planned if p.plan.digest_computed and p.plan.error is None)
            return [ShardState.of(p) for p in planned]

    def plan_with_reference(self, states: list[ShardState], error: TokenizerMismatchError) -> list[ShardState]:
        """Plan again with the reference tokenizer, after the fast one gave other tokens; the store remembers it.

        Nothing that the fast path counted of these shards is kept, and partials of the two paths have different keys.
        """
        self.job.tokenization.release()
        for state in states:
            if state.error is None:
                self.job.discard_token_counts(state.planned)
        tokenizer = remember_mismatch(self.job.tokenizer, self._tokenizers, error)
        self.contamination = None
        self.job = replace(self.job, tokenizer=tokenizer, verify_lowest=0, extra=self._shared)
        return self.plan()

    def count(self, states: list[ShardState]) -> list[ShardState]:
        """Count and verify the shards, all with the same tokenizer.

        Raises:
            TokenizerMismatchError: the fast tokenizer does not agree with the reference.
        """
        if self._benchmarks is not None:
            with self._timings.stage("benchmarks"):
                states = self._index_benchmarks(self._benchmarks, states)
        with self._timings.stage("count"):
            self._count(states)
        self._read_coverage(states)
        with self._timings.stage("verify again"):
            self._verify_again(states)
        return states

    def _index_benchmarks(
        self, benchmarks: Callable[[Tokenization], Contamination], states: list[ShardState]
    ) -> list[ShardState]:
        """Index the benchmarks, and plan again: the index names the partials that the store may have."""
        self._board.begin_stage("indexing the benchmarks")
        self.contamination = benchmarks(self.job.tokenization)
        self.job = replace(self.job, extra=(*self.job.extra, self.contamination))
        self._board.begin_stage("looking up stored counts")
        tasks = [PlanTask(i, state.shard, state.planned.plan) for i, state in enumerate(states)]
        planned = self._engine.plan(self.job, tasks)
        return [
            state if state.error is not None else ShardState.of(again)
            for state, again in zip(states, planned, strict=True)
        ]

    def _count(self, states: list[ShardState]) -> None:
        """Count the splits that the store lacks; a shard that fails becomes an error, with all its copies."""
        readers = self._readers(states)
        tasks = [
            SplitTask(i, states[i].shard, states[i].sha256, split, measures)
            for i in readers
            for split, measures in states[i].planned.pending
        ]
        selected = sum(len(state.planned.sampled) for state in states if state.error is None)
        repeated = sum(
            len(state.planned.sampled) for i, state in enumerate(states) if state.error is None and i not in readers
        )
        verified = sum(self._verified(states[i]) for i in readers if not states[i].planned.missing)
        self.job = replace(self.job, verify_lowest=documents_per_split(NEEDED - verified, len(tasks)))
        self.splits_read = len(tasks)
        self.splits_cached = selected - len(tasks) - repeated
        self._board.begin_stage(
            "reading",
            total_bytes=sum(task.split.weight for task in tasks),
            splits=self.splits_read + self.splits_cached,
            kept=self.splits_cached,
        )
        # A shard whose splits were all counted before a kill has nothing to read, but its splits to merge.
        for i in readers:
            if states[i].planned.missing and not states[i].planned.pending:
                self.job.compact(states[i].planned)
        errors: dict[int, str] = {}
        for result in self._engine.count(self.job, tasks, {i: states[i].planned for i in readers}):
            self.text_bytes += result.text_bytes
            self.verify_seconds += result.verify_seconds
            if result.error is not None:
                errors.setdefault(result.index, result.error)
        failed = {(states[i].sha256, self._key(states[i])): text for i, text in errors.items()}
        for state in states:
            if state.error is None and (text := failed.get((state.sha256, self._key(state)))):
                state.status, state.error = ShardStatus.ERROR, text
        # Merging and the tables need the memory that reading took.
        self.job.tokenization.release()
        if self.contamination is not None:
            self.contamination.scanner.release()
        release_buffers()
        release_memory()

    def _key(self, state: ShardState) -> str:
        return str(self.job.path_of(Coverage.name, state.shard, state.sha256))

    def _readers(self, states: list[ShardState]) -> list[int]:
        """Indices of one shard of each content: identical shards are read once, and each of them counts."""
        first: dict[str, int] = {}
        for i, state in enumerate(states):
            if state.error is None:
                first.setdefault(self._key(state), i)
        return list(first.values())

    def _read_coverage(self, states: list[ShardState]) -> None:
        for state in states:
            if state.error is not None:
                continue
            reader = PartialReader(self.job.path_of(Coverage.name, state.shard, state.sha256))
            state.coverage = ShardCoverage.of(reader.partial(Coverage().tables()))
            state.verified = self._verified(state)
        refuse_shards_without_documents(states)
        coverages = [state.coverage for state in states if state.coverage]
        self._board.counted(
            sum(coverage.documents for coverage in coverages), sum(sum(c.dead.values()) for c in coverages)
        )

    def _verified(self, state: ShardState) -> int:
        reader = PartialReader(self.job.path_of(Verification.name, state.shard, state.sha256))
        return sum(outcome_rows(reader.partial(Verification().tables())).values())

    def _verify_again(self, states: list[ShardState]) -> None:
        """Verify more documents where there are too few: splits of very unequal sizes, or most shards were removed."""
        readers = {i: states[i] for i in self._readers(states)}
        needed = min(NEEDED, sum(state.coverage.documents for state in readers.values() if state.coverage))
        lowest = documents_per_split(needed, sum(len(state.planned.sampled) for state in readers.values()))
        done = False
        while sum(state.verified for state in readers.values()) < needed and not done:
            lowest = min(NEEDED, 2 * lowest)
            done = lowest == NEEDED  # as many as are needed, in each split that has them
            partly = [i for i, state in readers.items() if state.coverage and state.coverage.documents > state.verified]
            planned = {i: replace(states[i].planned, missing=(Verification.name,)) for i in partly}
            tasks = [
                SplitTask(i, states[i].shard, states[i].sha256, split, (Verification.name,))
                for i in partly
                for split in planned[i].sampled
            ]
            self._board.begin_stage("verifying", total_bytes=sum(task.split.weight for task in tasks))
            for result in self._engine.count(replace(self.job, verify_lowest=lowest), tasks, planned):
                self.verify_seconds += result.verify_seconds
            for state in states:
                if state.error is None:
                    state.verified = self._verified(state)
