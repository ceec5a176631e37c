"""One audit from spec to published run directory."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from corpus_audit.checks.policy.great_expectations_export import GreatExpectationsExport
from corpus_audit.pipelines.contamination.measure import Contamination
from corpus_audit.pipelines.counting import store
from corpus_audit.pipelines.counting.blocks import release_buffers
from corpus_audit.pipelines.counting.job import Job, SplitTask
from corpus_audit.pipelines.counting.memory import return_memory
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.counting.tasks import PlanTask
from corpus_audit.pipelines.counting.used_partials import UsedPartials, own_store
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage, Verification, outcome_rows
from corpus_audit.pipelines.measures.shared import Shared
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.progress.timings import Timings
from corpus_audit.pipelines.reading.documents.filters import check_filter
from corpus_audit.pipelines.reading.snapshot.listing import absolute_ignore, absolute_paths, common_folder, list_files
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.pipelines.storage.remote import Remote, push
from corpus_audit.pipelines.storage.run_directory import StagedRun, clear_staging
from corpus_audit.pipelines.tokens.file import load_tokenizer, remember_mismatch
from corpus_audit.pipelines.tokens.verification import NEEDED, lowest_for
from corpus_audit.runners.audit import publish, run_facts
from corpus_audit.runners.audit.baselines import default_workers
from corpus_audit.runners.audit.benchmarks import Benchmarks
from corpus_audit.runners.audit.comparisons import Comparisons
from corpus_audit.runners.audit.decoys import NOTHING, search_decoys
from corpus_audit.runners.audit.judge import judge_staged, policy_of
from corpus_audit.runners.audit.shard_loss import nothing_counted, refuse_shards_without_documents
from corpus_audit.runners.audit.shard_states import ShardState
from corpus_audit.runners.audit.unchanged import inputs_digest, unchanged_run
from corpus_audit.runners.engines.launch.local import open_engine
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from corpus_audit.runners.process.locks import OutputLock, make_output
from corpus_audit.runners.process.logs import quiet_engine_logs
from corpus_audit.schemas.errors import AuditError, ExitCode, NoVerdictError, StoreError, TokenizerMismatchError
from corpus_audit.schemas.run.results import Results
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.run.snapshot import ShardStatus, UnreadFile
from corpus_audit.schemas.spec.audit_file import LoadedAudit


@dataclass(frozen=True, slots=True)
class AuditOutcome:
    """What a run came to.

    Attributes:
        run_dir: the published run.
        complete: whether every integrity rule holds.
        reasons: why it is not complete.
        exit_code: what the verdict comes to; without a policy, whether the run is complete.
        results: judgements and verdict; None without a policy.
        unchanged: there was nothing to do: ``run_dir`` is the last published run, and ``results`` are its own.
        notes: what its user should know besides, a sentence each: an export that is missing, workers of other versions.
        splits_read: splits that were read; splits_cached: splits whose counts the store had. Shards with the same bytes
            are read once and their splits appear once here.
    """

    run_dir: Path
    complete: bool
    reasons: tuple[str, ...]
    exit_code: ExitCode
    splits_read: int
    splits_cached: int
    results: Results | None = None
    unchanged: bool = False
    notes: tuple[str, ...] = ()


def run_audit(
    loaded: LoadedAudit,
    *,
    workers: int | None,
    board: Board,
    rehash: bool = False,
    if_changed: bool = False,
    engine: EngineOptions = EMBEDDED,
) -> AuditOutcome:
    """Audit a corpus and publish a run directory.

    With ``if_changed`` nothing is read or published where what the run depends on is what the last published run had;
    see `runners.audit.unchanged`.

    Raises:
        AuditError: when nothing could be audited; its message says why.
    """
    quiet_engine_logs()
    output = (loaded.base / loaded.spec.output).resolve()
    make_output(output)
    with OutputLock(output):
        clear_staging(output)
        try:
            with ExitStack() as stack:
                run = _Run(loaded, output, workers or default_workers(), board, rehash, engine, stack)
                try:
                    return run.perform(if_changed)
                except AuditError as error:
                    error.args = tuple(_without_staging(text, run.staged) for text in error.args)
                    raise
        finally:
            clear_staging(output)


def _without_staging(text: object, staged: StagedRun) -> object:
    """An error's text without the folder in which the run is made: when somebody reads it, the folder is gone."""
    if not isinstance(text, str):
        return text
    for folder in (staged.folder, staged.folder.with_suffix(".work")):
        text = text.replace(str(folder), "the run in the making")
    return text


class _Run:
    """The steps of one audit; each leaves what the next one needs."""

    def __init__(
        self,
        loaded: LoadedAudit,
        output: Path,
        workers: int,
        board: Board,
        rehash: bool,
        engine: EngineOptions,
        stack: ExitStack,
    ) -> None:
        self.loaded, self.spec, self.stack = loaded, loaded.spec, stack
        self.output, self.workers, self.board, self.rehash = output, workers, board, rehash
        self.timings = Timings()
        self.notes: list[str] = []
        self.policy = policy_of(loaded)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name, number = stamp, 1
        while (output / name).exists():
            number += 1
            name = f"{stamp}-{number}"
        self.staged = StagedRun(output, name)
        self.scratch = self.staged.folder.with_suffix(".work")
        self.scratch.mkdir()
        board.begin_stage("starting the engine")
        self.engine = stack.enter_context(open_engine(engine, workers, self.scratch, self.notes.append))
        root = loaded.base / self.spec.store if self.spec.store else output / ".store"
        root = root.resolve()
        make_output(root)
        self.store_is_own = root == own_store(output)
        self.tokenizers = root / "tokenizers"
        board.begin_stage("loading the tokenizer")
        tokenizer = load_tokenizer(self.spec.tokenizer_path, loaded.base, self.tokenizers, self.spec.tokenizer_engine)
        check_filter(self.spec.filter)
        board.begin_stage("opening what is compared with")
        self.comparisons = Comparisons.open(self.spec, loaded.base, tokenizer, root)
        self.shared = tuple(baseline.measure for baseline in self.comparisons.baselines)
        self.remote = None if self.spec.remote is None else Remote.open(self.spec.remote)
        profiles = store.ProfileStore(root, self.remote)
        self.job = Job(self.spec, tokenizer, profiles, self.scratch, extra=self.shared).decided()
        self.contamination: Contamination | None = None
        self.decoys = NOTHING
        self.splits_read = 0
        self.splits_cached = 0
        self.text_bytes = 0
        self.verify_seconds = 0.0
        self.corpus: str | None = None
        self.unread: tuple[UnreadFile, ...] = ()
        self.inputs: str | None = None
        self.export: GreatExpectationsExport | None = None

    def perform(self, if_changed: bool) -> AuditOutcome:
        """All steps."""
        with self.timings.stage("plan"):
            states = self._plan()
        self.inputs = self._inputs(states)
        if if_changed and (last := unchanged_run(self.output, self.inputs)) is not None:
            return AuditOutcome(last.run_dir, True, (), ExitCode.OK, 0, 0, last.results, unchanged=True)
        try:
            states = self._counted(states)
        except TokenizerMismatchError as error:
            if self.spec.tokenizer_engine == "fast":
                raise
            states = self._counted(self._with_reference(states, error))
        documents = sum(state.coverage.documents for state in states if state.coverage)
        if documents == 0:
            raise NoVerdictError(nothing_counted(states))
        if self.comparisons.benchmarks is not None:
            with self.timings.stage("decoys"):
                self.decoys = search_decoys(self.comparisons.benchmarks, self.job, self.engine, states, self.board)
        if self.policy is not None:
            # Importing it takes seconds, which overlap with merging, tables and comparisons. While counting it would
            # take a core and 200 MB from the workers; beside the report, whose page lists its files, it is too late.
            self.export = self.stack.enter_context(
                GreatExpectationsExport(self.job.store.root / "gx", likely_kept=self.splits_read == 0)
            )
        with self.timings.stage("merge"):
            profile = self._merge(states)
        with self.timings.stage("tables"):
            facts = self._tables(states, profile, documents)
        with self.timings.stage("comparisons"):
            facts = self._compare(facts, profile)
        with self.timings.stage("judgement"):
            results = self._judge(facts)
        return self._publish(states, facts, results)

    def _inputs(self, states: list[ShardState]) -> str | None:
        plans = [state.planned.plan for state in states]
        return inputs_digest(self.loaded, plans, self.policy, self.job, self.comparisons, self.unread)

    def _counted(self, states: list[ShardState]) -> list[ShardState]:
        """The shards, counted and verified; by one path from the first document to the last."""
        if self.comparisons.benchmarks is not None:
            with self.timings.stage("benchmarks"):
                states = self._index_benchmarks(self.comparisons.benchmarks, states)
        with self.timings.stage("count"):
            self._count(states)
        self._read_coverage(states)
        with self.timings.stage("verify again"):
            self._verify_again(states)
        return states

    def _with_reference(self, states: list[ShardState], error: TokenizerMismatchError) -> list[ShardState]:
        """Start again with the reference, once the fast tokenizer was seen to be wrong; the store remembers it.

        Nothing that the fast path counted of these shards is kept, and partials of the two paths have different keys.
        """
        self.job.tokenization.release()
        for state in states:
            if state.error is None:
                self.job.discard_token_counts(state.planned)
        tokenizer = remember_mismatch(self.job.tokenizer, self.tokenizers, error)
        self.contamination = None
        self.job = replace(self.job, tokenizer=tokenizer, verify_lowest=0, extra=self.shared)
        with self.timings.stage("plan"):
            again = self._plan()
        self.inputs = self._inputs(again)
        return again

    def _plan(self) -> list[ShardState]:
        self.board.begin_stage("listing shards")
        listing = list_files(self.spec.snapshot, self.loaded.base, self.loaded.own_folders)
        shards, self.unread = listing.shards, listing.unread
        self.corpus = common_folder(shards)
        memory = store.PlanMemory(self.job.store.root)
        known = {} if self.rehash else memory.known(shards)
        self.board.begin_stage("hashing", total_bytes=sum(shard.size for shard in shards))
        tasks = [PlanTask(i, shard, known.get(shard.path)) for i, shard in enumerate(shards)]
        planned = self.engine.plan(self.job, tasks)
        memory.remember(p.plan for p in planned if p.plan.digest_computed and p.plan.error is None)
        return [ShardState.of(p) for p in planned]

    def _index_benchmarks(self, benchmarks: Benchmarks, states: list[ShardState]) -> list[ShardState]:
        """Index the benchmarks, and look up what the store has of them."""
        self.board.begin_stage("indexing the benchmarks")
        self.contamination = benchmarks.measure(self.job.tokenization)
        self.job = replace(self.job, extra=(*self.job.extra, self.contamination))
        self.board.begin_stage("looking up what is kept")
        tasks_again = [PlanTask(i, state.shard, state.planned.plan) for i, state in enumerate(states)]
        planned = self.engine.plan(self.job, tasks_again)
        return [
            state if state.error is not None else ShardState.of(again)
            for state, again in zip(states, planned, strict=True)
        ]

    def _count(self, states: list[ShardState]) -> None:
        readers = self._readers(states)
        tasks = [
            SplitTask(i, states[i].shard, states[i].sha256, split, measures)
            for i in readers
            for split, measures in states[i].planned.todo
        ]
        chosen = sum(len(state.planned.chosen) for state in states if state.error is None)
        repeated = sum(
            len(state.planned.chosen) for i, state in enumerate(states) if state.error is None and i not in readers
        )
        verified = sum(self._verified(states[i]) for i in readers if not states[i].planned.missing)
        lowest = lowest_for(NEEDED - verified, len(tasks))
        self.job = replace(self.job, verify_lowest=lowest)
        self.splits_read = len(tasks)
        self.splits_cached = chosen - len(tasks) - repeated
        self.board.begin_stage(
            "reading",
            total_bytes=sum(task.split.weight for task in tasks),
            splits=self.splits_read + self.splits_cached,
            kept=self.splits_cached,
        )
        # A shard whose splits were all counted before a kill has nothing to read, but its splits to merge.
        for i in readers:
            if states[i].planned.missing and not states[i].planned.todo:
                self.job.compact(states[i].planned)
        errors: dict[int, str] = {}
        for result in self.engine.count(self.job, tasks, {i: states[i].planned for i in readers}):
            self.text_bytes += result.text_bytes
            self.verify_seconds += result.verify_seconds
            if result.error is not None:
                errors.setdefault(result.index, result.error)
        failed = {(states[i].sha256, self._key(states[i])): text for i, text in errors.items()}
        for state in states:
            if state.error is None and (text := failed.get((state.sha256, self._key(state)))):
                state.status, state.error = ShardStatus.ERROR, text

        self.job.tokenization.release()
        if self.contamination is not None:
            self.contamination.scanner.release()
        release_buffers()
        return_memory()

    def _key(self, state: ShardState) -> str:
        return str(self.job.path_of(Coverage.name, state.shard, state.sha256))

    def _readers(self, states: list[ShardState]) -> list[int]:
        """One shard of each content: identical shards are read once and count as often as they are there."""
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
        self.board.counted(
            sum(coverage.documents for coverage in coverages), sum(sum(one.dead.values()) for one in coverages)
        )

    def _verified(self, state: ShardState) -> int:
        reader = PartialReader(self.job.path_of(Verification.name, state.shard, state.sha256))
        return sum(outcome_rows(reader.partial(Verification().tables())).values())

    def _verify_again(self, states: list[ShardState]) -> None:
        """Verify more documents where there are too few: splits of very unequal sizes, or most shards were removed."""
        readers = {i: states[i] for i in self._readers(states)}
        needed = min(NEEDED, sum(state.coverage.documents for state in readers.values() if state.coverage))
        lowest = lowest_for(needed, sum(len(state.planned.chosen) for state in readers.values()))
        done = False
        while sum(state.verified for state in readers.values()) < needed and not done:
            lowest = min(NEEDED, 2 * lowest)
            done = lowest == NEEDED  # as many as are needed, in each split that has them
            partly = [i for i, state in readers.items() if state.coverage and state.coverage.documents > state.verified]
            planned = {i: replace(states[i].planned, missing=(Verification.name,)) for i in partly}
            tasks = [
                SplitTask(i, states[i].shard, states[i].sha256, split, (Verification.name,))
                for i in partly
                for split in planned[i].chosen
            ]
            self.board.begin_stage("verifying", total_bytes=sum(task.split.weight for task in tasks))
            for result in self.engine.count(replace(self.job, verify_lowest=lowest), tasks, planned):
                self.verify_seconds += result.verify_seconds
            for state in states:
                if state.error is None:
                    state.verified = self._verified(state)

    def _merge(self, states: list[ShardState]) -> Profile:
        counted = [state for state in states if state.error is None]
        sources: dict[Measure, list[Path]]
        sources = {measure: self._sources(measure, counted) for measure in self.job.measures if measure.merges}
        if self.decoys.measure is not None:
            sources[self.decoys.measure] = list(self.decoys.sources)
        self.board.begin_stage("merging")
        files = self.engine.merge(sources)
        facets = ("domain", *sorted(self.spec.document.facets))
        return Profile(files, facets, self.spec.document.cluster is not None)

    def _sources(self, measure: Measure, states: list[ShardState]) -> list[Path]:
        """The shards' partials of a measure; of a shard that a baseline holds too, its tokens are what is shared."""
        if not isinstance(measure, Shared):
            return [self.job.path_of(measure.name, state.shard, state.sha256) for state in states]
        sources = []
        left = dict(measure.keys.shards)
        for state in states:
            if measure.wants(state.sha256, self.spec):
                sources.append(self.job.path_of(measure.name, state.shard, state.sha256))
            elif left[state.sha256] > 0:
                left[state.sha256] -= 1
                sources.append(self.job.path_of(Tokens.name, state.shard, state.sha256))
        return sources

    def _compare(self, facts: RunFile, profile: Profile) -> RunFile:
        self.board.begin_stage("comparing")
        return_memory()
        return self.comparisons.write(
            self.staged, facts, profile, self.contamination, self.decoys, self.job.tokenization, self.workers
        )

    def _tables(self, states: list[ShardState], profile: Profile, documents: int) -> RunFile:
        self.board.begin_stage("writing tables")
        return publish.write_tables(
            self.staged,
            run_facts.Material(
                spec=self.spec,
                job=self.job,
                states=states,
                profile=profile,
                documents=documents,
                workers=self.workers,
                baselines=self.comparisons.baselines,
                unread=self.unread,
            ),
        )

    def _judge(self, facts: RunFile) -> Results | None:
        if self.policy is None:
            return None
        assert self.export is not None
        self.board.begin_stage("judging")
        judged = judge_staged(self.policy, self.staged, facts, self.output, self.loaded.base, self.export)
        if judged.missing_export:
            self.notes.append(judged.missing_export)
        return judged.results

    def _publish(self, states: list[ShardState], facts: RunFile, results: Results | None) -> AuditOutcome:
        self.board.begin_stage("publishing")
        seconds = time.time() - self.timings.started
        timings = {
            "started": datetime.fromtimestamp(self.timings.started, UTC).isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "stages": {name: round(value, 3) for name, value in self.timings.stages.items()},
            "verification_core_seconds": round(self.verify_seconds, 3),
            "host": run_facts.host_facts(),
            "corpus": self.corpus,
            "paths": absolute_paths(self.spec.snapshot, self.loaded.base),
            "ignore": absolute_ignore(self.spec.snapshot, self.loaded.base),
            "workers": self.workers,
            "bytes_read": self.text_bytes,
            "megabytes_per_second": round(self.text_bytes / 1e6 / seconds, 1),
            "splits_read": self.splits_read,
            "splits_cached": self.splits_cached,
        }
        self.staged.add_text("timings.json", json.dumps(timings, indent=2) + "\n")
        publish.write_report_and_facts(self.staged, facts.model_copy(update={"inputs": self.inputs}))
        used = UsedPartials(self.job.store.root)
        if self.store_is_own:
            counted = [state for state in states if state.error is None]
            partials = (p for s in counted for p in self.job.partials_of(s.shard, s.sha256))
            used.record(self.staged.name, (*partials, *self.decoys.sources))
        else:
            used.share()
        place = self.staged.publish()
        self._push(place)
        return AuditOutcome(
            run_dir=place,
            complete=facts.complete,
            reasons=facts.reasons,
            exit_code=results.exit_code if results else ExitCode.OK if facts.complete else ExitCode.NO_VERDICT,
            splits_read=self.splits_read,
            splits_cached=self.splits_cached,
            results=results,
            notes=tuple(self.notes),
        )

    def _push(self, place: Path) -> None:
        if self.remote is None:
            return
        try:
            push(self.remote, self.output)
        except StoreError as error:
            raise StoreError(
                f"the run is published in {place}, but 'corpus-audit push' has to try again: {error}"
            ) from error
