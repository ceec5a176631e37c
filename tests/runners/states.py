"""States of shards, as an audit holds them: of a shard that was counted, and made up."""

from __future__ import annotations

from typing import Any

from corpus_audit.pipelines.counting.job import Job, PlannedShard
from corpus_audit.pipelines.measures.coverage import Coverage, ShardCoverage, Verification, outcome_rows
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.runners.audit.counting.shard_states import ShardState
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, ShardPlan, ShardStatus, Split


def state_of(job: Job, planned: PlannedShard) -> ShardState:
    """What the audit knows of a shard that was counted."""

    def read(measure: Any) -> Any:
        path = job.path_of(measure.name, planned.plan.shard, planned.plan.sha256)
        return PartialReader(path).partial(measure.tables())

    verified = sum(outcome_rows(read(Verification())).values())
    return ShardState(planned, ShardStatus.READ, None, ShardCoverage.of(read(Coverage())), verified)


def shard_state(name: str, **parts: Any) -> ShardState:
    """A shard of two splits and ten documents that was read."""
    shard = Shard(f"/data/{name}", name, ShardFormat.PARQUET, 100, "stamp")
    splits = (Split(0, 0, 1, 50), Split(1, 1, 2, 50))
    plan = ShardPlan(shard, parts.pop("sha256", "ab" * 32), True, splits, 10)
    coverage = ShardCoverage((), Coverage().empty().tables["letters"], documents=10)
    state = ShardState(PlannedShard(plan, splits), ShardStatus.READ, None, coverage, 10)
    for part, value in parts.items():
        setattr(state, part, value)
    return state
