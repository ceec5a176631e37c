"""The job of an audit, as it is sent to workers: planning one shard and counting one split, without any engine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from corpus_audit.pipelines.counting.blocks import BlockBuilder
from corpus_audit.pipelines.counting.memory import release_memory
from corpus_audit.pipelines.counting.store import KeyMaker, ProfileStore
from corpus_audit.pipelines.image_measures.registry import image_measures_of
from corpus_audit.pipelines.measures.base import Accumulator, Measure, merge_files
from corpus_audit.pipelines.measures.coverage import coverage_partial, verification_partial
from corpus_audit.pipelines.measures.registry import READING, measures_of
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.storage.partials import write_partial
from corpus_audit.pipelines.tokens.tokenization import Tokenization, TokenizerFile
from corpus_audit.pipelines.tokens.verification import Verifier
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan, Split
from corpus_audit.schemas.spec.audit import AuditSpec

if TYPE_CHECKING:
    from corpus_audit.pipelines.contamination.decoys import DecoyPicker
    from corpus_audit.pipelines.contamination.scan import BenchmarkScanner

_COUNTING_VERSION = 1
"""Part of every key that tokens go into: how text becomes counted ids."""

# Of the process, not of the job: every pipeline step unpickles a job of its own, and tokenizers are slow to make.
_tokenizations: dict[TokenizerFile, Tokenization] = {}
_tokenizations_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A planned shard: its splits, the sampled ones, and the partials that the store already has.

    Attributes:
        missing: measures of which the store has no whole partial for the shard.
        pending: for each sampled split, the measures that must be counted (none when the split's partials are there).
    """

    plan: ShardPlan
    sampled: tuple[Split, ...] = ()
    missing: tuple[str, ...] = ()
    pending: tuple[tuple[Split, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class SplitTask:
    """Count the named measures of one split."""

    index: int
    shard: Shard
    sha256: str
    split: Split
    measures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The result of counting a split; its partials are in the store unless there is an error."""

    index: int
    split: int
    error: str | None = None
    documents: int = 0
    text_bytes: int = 0
    verify_seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """One audit's work, as it is sent to workers.

    Attributes:
        spec: the audit.
        tokenizer: the file, as used.
        store: where partials are.
        scratch: a folder of this run for what does not fit in memory.
        verify_lowest: documents that each split verifies; see `Verifier`.
        extra: measures beyond those that the spec alone decides, such as what a baseline shares.
    """

    spec: AuditSpec
    tokenizer: TokenizerFile
    store: ProfileStore
    scratch: Path
    verify_lowest: int = 0
    extra: tuple[Measure, ...] = ()

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """Measures of documents, in order."""
        images = image_measures_of(self.spec) if self.spec.has_images else ()
        return (*measures_of(self.spec), *images, *self.extra)

    def measure(self, name: str) -> Measure:
        """The measure of that name, one of documents or of reading."""
        return next(measure for measure in (*self.measures, *READING) if measure.name == name)

    @cached_property
    def keys(self) -> KeyMaker:
        """Computes the keys of this audit's partials."""
        tokenization = self.tokenization
        return KeyMaker.of(
            self.spec,
            (*self.measures, *READING),
            f"{tokenization.identity}:{_COUNTING_VERSION}",
            f"{tokenization.path}={tokenization.path_version}, tokenizers={tokenization.reference_version}",
        )

    @property
    def tokenization(self) -> Tokenization:
        """The process's tokenizers for this audit."""
        with _tokenizations_lock:
            if self.tokenizer not in _tokenizations:
                _tokenizations[self.tokenizer] = Tokenization(self.tokenizer)
            return _tokenizations[self.tokenizer]

    def with_tokenizer_path(self) -> Job:
        """The job with the tokenizer's path decided here, so that every worker uses the same one or fails.

        Raises:
            UsageError: the fast path is requested and not admitted.
        """
        tokenization = self.tokenization
        file = tokenization.decided()
        with _tokenizations_lock:
            _tokenizations[file] = tokenization
        return replace(self, tokenizer=file)

    def _scanner(self, measures: Collection[str]) -> BenchmarkScanner | None:
        """The scanner of the first named measure that has one: a block holds the hits of a single scan."""
        if not self.extra:
            return None
        from corpus_audit.pipelines.contamination.measure import Contamination  # only with benchmarks: 50 ms

        scanning = (m.scanner for m in self.extra if isinstance(m, Contamination) and m.name in measures)
        return next(scanning, None)

    # Without what `cached_property` has stored, which workers compute from the fields: the job is part of every step.
    def __getstate__(self) -> dict[str, object]:
        return {
            name: getattr(self, name) for name in ("spec", "tokenizer", "store", "scratch", "verify_lowest", "extra")
        }

    def path_of(self, measure: str, shard: Shard, sha256: str, split: Split | None = None) -> Path:
        """Path of a shard's or a split's partial, whether or not it exists."""
        key = self.keys.key(measure, sha256, path_values(shard, self.spec.document), split)
        return self.store.partial_path(measure, key)

    def partials_of(self, shard: Shard, sha256: str) -> list[Path]:
        """Paths of the partials of a whole shard that this audit merges or reads."""
        measures = [measure for measure in (*self.measures, *READING) if measure.wants(sha256, self.spec)]
        return [self.path_of(measure.name, shard, sha256) for measure in measures]

    def plan(self, shard: Shard, known: ShardPlan | None, progress: Callable[[int], None]) -> PlannedShard:
        """Hash a shard and find its splits (unless known), sample them, and look up which partials the store has."""
        plan = known
        if plan is None:
            plan = plan_shard(shard, None, progress)
        elif shard.expected_sha256 not in (None, plan.sha256):
            # Computes the digest, and reports that it is not the manifest's: a remembered digest is no evidence.
            plan = plan_shard(shard, plan.sha256, progress)
        else:
            progress(shard.size)
        if plan.error is not None:
            return PlannedShard(plan)
        try:
            values = path_values(shard, self.spec.document)
        except ShardError as error:
            return PlannedShard(ShardPlan(shard, plan.sha256, plan.digest_computed, error=error.problem))
        sampled = tuple(split for split in plan.splits if self._is_sampled(plan.sha256, split))
        measures = (*self.measures, *READING)
        names = [measure.name for measure in measures if measure.wants(plan.sha256, self.spec)]
        missing = tuple(name for name in names if not self.store.has(name, self.keys.key(name, plan.sha256, values)))
        pending = []
        for split in sampled if missing else ():
            keys = {name: self.keys.key(name, plan.sha256, values, split) for name in missing}
            missing_of_split = tuple(name for name in missing if not self.store.has(name, keys[name]))
            if missing_of_split:
                pending.append((split, missing_of_split))
        return PlannedShard(plan, sampled, missing, tuple(pending))

    def _is_sampled(self, sha256: str, split: Split) -> bool:
        sample = self.spec.sample
        if sample is None or sample.share >= 1.0:
            return True
        text = f"{sample.seed}:{sha256}:{split.start}:{split.stop}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") < sample.share * 2**64

    def count(self, task: SplitTask) -> SplitResult:
        """Read a split once, count the requested measures, and write the partials to the store.

        Raises:
            TokenizerMismatchError: the fast tokenizer is wrong on a document.
        """
        board = process_board()
        tally = SplitTally()
        verifier = Verifier(self.tokenization, self.verify_lowest, task.shard.name)
        key = hashlib.sha256(f"{task.sha256}:{task.split.start}:{task.split.stop}".encode()).digest()
        builder = BlockBuilder(
            task.split.index,
            int.from_bytes(key[:8], "big"),
            self.tokenization,
            verifier,
            self.spec.excerpts and "samples" in task.measures,
            self._scanner(task.measures),
        )
        reading = {m.name for m in READING}
        run = str(self.scratch)
        accumulators = {n: Accumulator(self.measure(n).in_run(run)) for n in task.measures if n not in reading}
        settings = ReadSettings.of(self.spec)
        text_bytes = 0
        board.shard_started(task.shard.name)
        try:
            with TemporaryDirectory(dir=self.scratch) as folder:
                dead_letters = 0
                for batch in read_split(task.shard, task.split, settings, tally):
                    size = builder.add(batch)
                    text_bytes += size
                    board.advance(bytes=size, documents=len(batch), dead_letters=tally.dead.total() - dead_letters)
                    dead_letters = tally.dead.total()
                    if builder.full:
                        self._count_block(builder, accumulators, Path(folder))
                        release_memory()  # blocks of many documents or domains leave much freed memory in the heap
                self._count_block(builder, accumulators, Path(folder))
                verifier.finish()
                # Totals are sums of weights, which are estimates: what is missing is added, so that the bar fills.
                board.advance(
                    bytes=max(0, task.split.weight - text_bytes), dead_letters=tally.dead.total() - dead_letters
                )
                for name, accumulator in accumulators.items():
                    accumulator.write(self.path_of(name, task.shard, task.sha256, task.split))
        except ShardError as error:
            return SplitResult(task.index, task.split.index, error=error.problem)
        finally:
            board.shard_finished(task.shard.name)
        # Last, and never after an error: a split with coverage is one that was read to its end.
        for name, partial in (
            ("coverage", coverage_partial(task.split.index, tally, builder.nul_documents)),
            ("verification", verification_partial(verifier.documents)),
        ):
            if name in task.measures:
                write_partial(self.path_of(name, task.shard, task.sha256, task.split), partial)
        self.store.upload(self.path_of(name, task.shard, task.sha256, task.split) for name in task.measures)
        board.split_done()
        return SplitResult(task.index, task.split.index, None, tally.documents, text_bytes, verifier.seconds)

    def pick_decoys(self, task: SplitTask, picker: DecoyPicker) -> None:
        """Add the documents of a split to a picker, or the reason why they cannot be read to its problems."""
        settings = ReadSettings.of(self.spec)
        board = process_board()
        board.shard_started(task.shard.name)
        text_bytes = 0
        try:
            for batch in read_split(task.shard, task.split, settings, SplitTally()):
                picker.add(batch)
                size = int(batch.text.nbytes)
                text_bytes += size
                board.advance(bytes=size, documents=len(batch))
        except ShardError as error:
            picker.problems.append(str(error))
        finally:
            board.shard_finished(task.shard.name)
        board.advance(bytes=max(0, task.split.weight - text_bytes))

    @staticmethod
    def _count_block(builder: BlockBuilder, accumulators: dict[str, Accumulator], folder: Path) -> None:
        block = builder.take()
        if block is not None:
            for accumulator in accumulators.values():
                accumulator.add(block)
                accumulator.spill(folder)

    def discard_token_counts(self, planned: PlannedShard) -> None:
        """Remove the shard's partials that depend on token ids, once these have proved wrong."""
        shard, sha256 = planned.plan.shard, planned.plan.sha256
        names = [measure.name for measure in (*self.measures, *READING) if measure.uses_tokens]
        self.store.discard(
            self.path_of(name, shard, sha256, split) for name in names for split in (None, *planned.sampled)
        )

    def compact(self, planned: PlannedShard) -> None:
        """Merge the partials of a shard's splits into one partial a measure, and remove those of the splits."""
        shard, sha256 = planned.plan.shard, planned.plan.sha256
        for name in planned.missing:
            sources = [self.path_of(name, shard, sha256, split) for split in planned.sampled]
            target = self.path_of(name, shard, sha256)
            # A rename is enough for one split; it is atomic, so a reader sees the whole partial or none.
            if len(sources) == 1:
                target.parent.mkdir(parents=True, exist_ok=True)
                if sources[0].exists():  # else another run with the same store was faster
                    sources[0].replace(target)
                    self.store.move_upload(sources[0], target)
            elif sources:
                if target.exists() and not all(source.exists() for source in sources):
                    continue  # another run with the same store was faster
                merge_files(self.measure(name), sources, target)
                for source in sources:
                    source.unlink(missing_ok=True)
                self.store.replace_uploads(sources, target)
            else:
                write_partial(target, self.measure(name).empty())
                self.store.upload([target])
