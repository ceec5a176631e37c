"""The state of each shard during a run: planned, counted, failed."""

from __future__ import annotations

from dataclasses import dataclass

from corpus_audit.pipelines.counting.job import PlannedShard
from corpus_audit.pipelines.measures.coverage import ShardCoverage
from corpus_audit.schemas.run.snapshot import Shard, ShardStatus


@dataclass(slots=True)
class ShardState:
    """A shard of the snapshot and its state in this run."""

    planned: PlannedShard
    status: ShardStatus
    error: str | None = None
    coverage: ShardCoverage | None = None
    verified: int = 0

    @classmethod
    def of(cls, planned: PlannedShard) -> ShardState:
        """The state after planning, before the shard is read."""
        if planned.plan.error is not None:
            return cls(planned, ShardStatus.ERROR, planned.plan.error)
        if planned.plan.splits and not planned.sampled:
            return cls(planned, ShardStatus.NOT_SAMPLED)
        return cls(planned, ShardStatus.READ if planned.pending else ShardStatus.CACHED)

    @property
    def shard(self) -> Shard:
        """The shard as listed."""
        return self.planned.plan.shard

    @property
    def sha256(self) -> str:
        """Digest of its bytes; empty if it could not be hashed."""
        return self.planned.plan.sha256
