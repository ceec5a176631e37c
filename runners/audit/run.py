"""One audit from spec to published run directory."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus_audit.pipelines.counting import store
from corpus_audit.pipelines.counting.job import Job
from corpus_audit.pipelines.counting.memory import release_memory
from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.counting.used_partials import UsedPartials, default_store
from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.pipelines.progress.timings import Timings
from corpus_audit.pipelines.reading.documents.filters import check_filter
from corpus_audit.pipelines.reading.snapshot.listing import absolute_ignore, absolute_paths
from corpus_audit.pipelines.storage.remote import Remote, push
from corpus_audit.pipelines.storage.run_directory import StagedRun, clear_staging
from corpus_audit.pipelines.tokens.no_text import load_tokenizer_of
from corpus_audit.runners.audit import publish, run_facts
from corpus_audit.runners.audit.baselines import default_workers
from corpus_audit.runners.audit.comparisons import Comparisons
from corpus_audit.runners.audit.counting.merging import merge_counts
from corpus_audit.runners.audit.counting.sample_completion import complete_sample
from corpus_audit.runners.audit.counting.shard_counter import ShardCounter
from corpus_audit.runners.audit.counting.shard_loss import nothing_counted
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.runners.audit.outcome import AuditOutcome
from corpus_audit.runners.audit.unchanged import inputs_digest, unchanged_run
from corpus_audit.runners.engines.launch.local import open_engine
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from corpus_audit.runners.process.locks import OutputLock, make_output
from corpus_audit.runners.process.logs import quiet_engine_logs
from corpus_audit.schemas.errors import AuditError, ExitCode, NoVerdictError, StoreError, TokenizerMismatchError
from corpus_audit.schemas.run.results import Results
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.audit_file import LoadedAudit

if TYPE_CHECKING:
    from corpus_audit.checks.policy.great_expectations_export import GreatExpectationsExport
    from corpus_audit.runners.audit.decoys import DecoySearch
    from corpus_audit.schemas.spec.policy_file import LoadedPolicy


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


def _new_run_name(output: Path) -> str:
    """The time in UTC, with a number behind it for a second run within the second."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name, number = stamp, 1
    while (output / name).exists():
        number += 1
        name = f"{stamp}-{number}"
    return name


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
        self.output, self.workers, self.board = output, workers, board
        self.timings = Timings()
        self.notes: list[str] = []
        self.policy: LoadedPolicy | None = None
        if self.spec.policy is not None:
            from corpus_audit.runners.audit.judge import policy_of

            self.policy = policy_of(loaded)
        self.staged = StagedRun(output, _new_run_name(output))
        scratch = self.staged.folder.with_suffix(".work")
        scratch.mkdir()
        board.begin_stage("starting the engine")
        self.engine = stack.enter_context(open_engine(engine, workers, scratch, self.notes.append))
        root = loaded.base / self.spec.store if self.spec.store else output / ".store"
        root = root.resolve()
        make_output(root)
        self.store_is_own = root == default_store(output)
        board.begin_stage("loading the tokenizer")
        tokenizers = root / "tokenizers"
        tokenizer = load_tokenizer_of(self.spec, loaded.base, tokenizers)
        check_filter(self.spec.filter)
        board.begin_stage("opening baselines and benchmarks")
        self.comparisons = Comparisons.open(self.spec, loaded.base, tokenizer, root)
        shared = tuple(baseline.measure for baseline in self.comparisons.baselines)
        self.remote = None if self.spec.remote is None else Remote.open(self.spec.remote)
        partials = store.ProfileStore(root, self.remote)
        benchmarks = self.comparisons.benchmarks
        self.counter = ShardCounter(
            loaded,
            self.engine,
            Job(self.spec, tokenizer, partials, scratch, extra=shared).with_tokenizer_path(),
            board,
            self.timings,
            shared=shared,
            benchmarks=None if benchmarks is None else benchmarks.measure,
            rehash=rehash,
            tokenizers=tokenizers,
        )
        self.decoys: DecoySearch | None = None
        self.completed: tuple[Path, ...] = ()
        self.surplus: tuple[Path, ...] = ()
        self.inputs: str | None = None
        self.export: GreatExpectationsExport | None = None

    def perform(self, if_changed: bool) -> AuditOutcome:
        """All steps; until the last one nothing is seen of the run in the output folder.

        1. Plan: list, hash and cut the shards. With the digests of the shards all inputs are known, so that
           ``if_changed`` can end here, before any text is read.
        2. Count each split that the store does not know, and verify its token counts. One document that the fast
           tokenizer cuts differently means that none of its counts can be trusted: plan and count again with the
           reference. Without a single document there is nothing to publish.
        3. Decoys come from the texts themselves, so they are selected once everything is counted, and searched for by
           reading the same splits again.
        4. Merge the shards' partials into one profile. Only now it is known whether partials of earlier runs lack
           documents of the sample, and which texts have more copies than in a baseline; these are read once more. From
           here on the text is not needed.
        5. Write the tables, then the comparisons, which extend the facts (run.json) and the metrics.
        6. Judge what was written: the policy reads the staged table of metrics, as anyone who judges the finished run
           will.
        7. Publish: note the partials that the run is made of, so that `prune` spares them, and only then rename.
        """
        # Step 1.
        states = self.counter.plan()
        self.inputs = self._inputs(states)
        if if_changed and (last := unchanged_run(self.output, self.inputs)) is not None:
            return AuditOutcome(last.run_dir, True, (), ExitCode.OK, 0, 0, last.results, unchanged=True)
        # Step 2. A spec that asks for the fast tokenizer by name gets the error, not the counts of another one.
        try:
            states = self.counter.count(states)
        except TokenizerMismatchError as error:
            if self.spec.tokenizer_engine == "fast":
                raise
            states = self.counter.plan_with_reference(states, error)
            self.inputs = self._inputs(states)
            states = self.counter.count(states)
        documents = sum(state.coverage.documents for state in states if state.coverage)
        if documents == 0:
            raise NoVerdictError(nothing_counted(states))
        # Step 3.
        if self.comparisons.benchmarks is not None:
            from corpus_audit.runners.audit.decoys import search_decoys

            with self.timings.stage("decoys"):
                self.decoys = search_decoys(
                    self.comparisons.benchmarks, self.counter.job, self.engine, states, self.board
                )
        if self.policy is not None:
            from corpus_audit.checks.policy.great_expectations_export import GreatExpectationsExport

            # Importing it takes seconds, which overlap with merging, tables and comparisons. While counting it would
            # take a core and 200 MB from the workers; beside the report, whose page lists its files, it is too late.
            self.export = self.stack.enter_context(
                GreatExpectationsExport(self.counter.job.store.root / "gx", likely_kept=self.counter.splits_read == 0)
            )
        # Steps 4 to 7.
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
        counter = self.counter
        return inputs_digest(self.loaded, plans, self.policy, counter.job, self.comparisons, counter.unread)

    def _merge(self, states: list[ShardState]) -> Profile:
        self.board.begin_stage("merging")
        decoys = self.decoys
        further: dict[Measure, Sequence[Path]] = {}
        if decoys is not None and decoys.measure is not None:
            further[decoys.measure] = decoys.sources
        profile = merge_counts(self.engine, self.spec, self.counter.job, states, further)
        profile, self.completed = complete_sample(profile, self.counter.job, self.engine, states, self.board)
        if self.comparisons.baselines:
            from corpus_audit.runners.audit.surplus import take_out_surplus

            profile, self.surplus = take_out_surplus(
                profile, self.comparisons.baselines, self.counter.job, self.engine, states, self.board
            )
        return profile

    def _compare(self, facts: RunFile, profile: Profile) -> RunFile:
        self.board.begin_stage("comparing")
        release_memory()
        return self.comparisons.write(
            self.staged,
            facts,
            profile,
            self.counter.contamination,
            self.decoys,
            self.counter.job.tokenization,
            self.workers,
        )

    def _tables(self, states: list[ShardState], profile: Profile, documents: int) -> RunFile:
        self.board.begin_stage("writing tables")
        return publish.write_tables(
            self.staged,
            run_facts.Material(
                spec=self.spec,
                job=self.counter.job,
                states=states,
                profile=profile,
                documents=documents,
                workers=self.workers,
                baselines=self.comparisons.baselines,
                unread=self.counter.unread,
            ),
        )

    def _judge(self, facts: RunFile) -> Results | None:
        if self.policy is None:
            return None
        from corpus_audit.runners.audit.judge import judge_staged

        assert self.export is not None
        self.board.begin_stage("judging")
        judged = judge_staged(self.policy, self.staged, facts, self.output, self.loaded.base, self.export)
        if judged.missing_export:
            self.notes.append(judged.missing_export)
        return judged.results

    def _publish(self, states: list[ShardState], facts: RunFile, results: Results | None) -> AuditOutcome:
        self.board.begin_stage("publishing")
        self.staged.add_text("timings.json", json.dumps(self._timings(), indent=2) + "\n")
        publish.write_report_and_facts(self.staged, facts.model_copy(update={"inputs": self.inputs}))
        used = UsedPartials(self.counter.job.store.root)
        if self.store_is_own:
            counted = [state for state in states if state.error is None]
            partials = (p for s in counted for p in self.counter.job.partials_of(s.shard, s.sha256))
            decoys = self.decoys.sources if self.decoys else ()
            used.record(self.staged.name, (*partials, *decoys, *self.completed, *self.surplus))
        else:
            used.share()
        run_dir = self.staged.publish()
        self._push(run_dir)
        return AuditOutcome(
            run_dir=run_dir,
            complete=facts.complete,
            reasons=facts.reasons,
            exit_code=results.exit_code if results else ExitCode.OK if facts.complete else ExitCode.NO_VERDICT,
            splits_read=self.counter.splits_read,
            splits_cached=self.counter.splits_cached,
            results=results,
            notes=tuple(self.notes),
        )

    def _timings(self) -> dict[str, Any]:
        """Times and sizes of the run, and what it ran on; they go into timings.json alone, so that tables are alike."""
        seconds = time.time() - self.timings.started
        return {
            "started": datetime.fromtimestamp(self.timings.started, UTC).isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "stages": {name: round(value, 3) for name, value in self.timings.stages.items()},
            "verification_core_seconds": round(self.counter.verify_seconds, 3),
            "host": run_facts.host_facts(),
            "corpus": self.counter.corpus,
            "paths": absolute_paths(self.spec.snapshot, self.loaded.base),
            "ignore": absolute_ignore(self.spec.snapshot, self.loaded.base),
            "workers": self.workers,
            "bytes_read": self.counter.text_bytes,
            "megabytes_per_second": round(self.counter.text_bytes / 1e6 / seconds, 1),
            "splits_read": self.counter.splits_read,
            "splits_cached": self.counter.splits_cached,
        }

    def _push(self, run_dir: Path) -> None:
        if self.remote is None:
            return
        try:
            push(self.remote, self.output)
        except StoreError as error:
            raise StoreError(
                f"the run is published in {run_dir}, but 'corpus-audit push' has to try again: {error}"
            ) from error
