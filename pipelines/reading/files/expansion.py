"""Bounds the bytes that a shard may decode to: in a compressed format, a few kilobytes can decode to gigabytes."""

from __future__ import annotations

from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard
from corpus_audit.schemas.spec.audit import LimitsSpec

FREE_BYTES = 64 * 2**20
"""Decoded bytes that are always allowed."""


class ExpansionGuard:
    """Counts the decoded bytes of a split against ``limits.expansion`` times the shard's size."""

    def __init__(self, shard: Shard, limits: LimitsSpec) -> None:
        self._shard = shard
        self._bound = max(FREE_BYTES, limits.expansion * shard.size)
        self._expansion = limits.expansion
        self.decoded = 0

    def add(self, count: int) -> None:
        """Count decoded bytes.

        Raises:
            ShardError: the total exceeds the bound.
        """
        self.decoded += count
        self.check(self.decoded)

    def would_exceed(self, count: int) -> bool:
        """Whether ``count`` more decoded bytes would exceed the bound."""
        return self.decoded + count > self._bound

    def check(self, decoded: int) -> None:
        """Compare a total of decoded bytes, measured or announced by the file, with the bound.

        Raises:
            ShardError: the total exceeds the bound.
        """
        if decoded > self._bound:
            raise ShardError(
                self._shard,
                f"decodes to more than {self._expansion} times its {self._shard.size:,} bytes, like a decompression "
                "bomb; raise limits.expansion if you expect that",
            )
