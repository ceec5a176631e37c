"""The error that readers raise for a shard that cannot be read as its format."""

from __future__ import annotations

import pyarrow as pa

from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.run.snapshot import Shard

DECODE_ERRORS = (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError)
"""Exceptions of libraries on damaged bytes (a damaged name in a footer is a UnicodeDecodeError, a ValueError)."""


class ShardError(NoVerdictError):
    """A shard is truncated, corrupt, a decompression bomb, of another schema, or changed while it was read.

    The message starts with the shard's name and says what is wrong and what to do.
    """

    def __init__(self, shard: Shard, problem: str) -> None:
        super().__init__(f"{shard.name}: {problem}")
        self.shard_name = shard.name
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (str(self), self.shard_name, self.problem))


def _rebuild(message: str, shard_name: str, problem: str) -> ShardError:
    error = ShardError.__new__(ShardError)
    error.args = (message,)
    error.shard_name, error.problem = shard_name, problem
    return error
