"""What the integrity rules say of shards that were only planned and read: no tokenizer, no engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from corpus_audit.pipelines.counting.job import PlannedShard
from corpus_audit.pipelines.measures.coverage import ShardCoverage, coverage_partial
from corpus_audit.pipelines.reading.documents.batches import ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES
from corpus_audit.pipelines.storage import partials
from corpus_audit.runners.audit.counting.shard_loss import refuse_shards_without_documents
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.runners.audit.run_facts import integrity_rules
from corpus_audit.schemas.run.snapshot import ShardStatus
from corpus_audit.schemas.spec.audit import DocumentSpec
from tests.pipelines.making import spec_of
from tests.pipelines.reading.shard_files import plan
from tests.run_files import run_record

TEXT_ONLY = ReadSettings(DocumentSpec())


def state_of(path: Path, settings: ReadSettings = TEXT_ONLY, split_bytes: int = SPLIT_BYTES) -> ShardState:
    """A shard, planned and read."""
    planned = plan(path, split_bytes)
    state = ShardState.of(PlannedShard(planned, planned.splits))
    if state.error is not None:
        return state
    parts = []
    for split in planned.splits:
        tally = SplitTally()
        try:
            for _ in read_split(planned.shard, split, settings, tally):
                pass
        except ShardError as error:
            state.status, state.error = ShardStatus.ERROR, error.problem
            return state
        parts.append(coverage_partial(split.index, tally, 0))
    state.coverage = ShardCoverage.of(partials.merge_partials(parts or [coverage_partial(0, SplitTally(), 0)]))
    return state


def states_of(paths: Sequence[Path], settings: ReadSettings = TEXT_ONLY) -> list[ShardState]:
    """Every shard, planned and read, those without a document refused, as an audit does."""
    states = [state_of(path, settings) for path in paths]
    refuse_shards_without_documents(states)
    return states


def failed_rules(states: Sequence[ShardState], **limits: float) -> dict[str, str]:
    """The integrity rules that do not hold, and what they say; the tokenizer's is left out."""
    read = [state.coverage for state in states if state.coverage]
    coverage = run_record(
        coverage={
            "digests_computed": len(states),
            "rows": sum(entry.rows for entry in read),
            "dead_letters": sum(sum(entry.dead.values()) for entry in read),
            "row_bytes": sum(entry.row_bytes for entry in read),
            "dead_letter_bytes": sum(sum(entry.dead_bytes.values()) for entry in read),
        }
    ).coverage
    rules = integrity_rules(spec_of(Path("/data"), limits=limits), list(states), coverage, 0, 0)
    return {rule.check: rule.detail for rule in rules if not rule.holds}
