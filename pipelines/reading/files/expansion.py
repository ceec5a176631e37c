"""The bound on what a shard may decode to: a few kilobytes can stand for gigabytes in every compressed format."""

from __future__ import annotations

from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard
from corpus_audit.schemas.spec.audit import LimitsSpec

FREE_BYTES = 64 * 2**20
"""Decoded bytes that are never too many."""


class ExpansionGuard:
    """Counts the decoded bytes of a split against ``limits.expansion`` times the shard's size."""

    def __init__(self, shard: Shard, limits: LimitsSpec) -> None:
        self._shard = shard
        self._most = max(FREE_BYTES, limits.expansion * shard.size)
        self._expansion = limits.expansion
        self.decoded = 0

    def add(self, count: int) -> None:
        """Count decoded bytes.

        Raises:
            ShardError: they are over the bound.
        """
        self.decoded += count
        self.check(self.decoded)

    def would_exceed(self, count: int) -> bool:
        """Whether so many more decoded bytes would be over the bound."""
        return self.decoded + count > self._most

    def check(self, decoded: int) -> None:
        """Compare a total with the bound, decoded or only announced by the file.

        Raises:
            ShardError: it is over the bound.
        """
        if decoded > self._most:
            raise ShardError(
                self._shard,
                f"decodes to more than {self._expansion} times its {self._shard.size:,} bytes, as a decompression bomb "
                "does; raise limits.expansion if it is what you expect",
            )
