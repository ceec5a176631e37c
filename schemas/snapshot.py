"""Shards, splits and what is known of them before and after they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ShardFormat(StrEnum):
    """How a shard's bytes become documents."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    JSONL_GZ = "jsonl.gz"
    JSONL_ZST = "jsonl.zst"
    ARROW = "arrow"


class DeadLetterReason(StrEnum):
    """Why a row could not be counted."""

    INVALID_UTF8 = "invalid_utf8"
    LONE_SURROGATE = "lone_surrogate"
    NOT_JSON = "not_json"
    NAN_IN_JSON = "nan_in_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_TEXT = "missing_text"
    WRONG_TYPE = "wrong_type"
    TOO_LARGE = "too_large"


DEAD_LETTER_HINTS: dict[str, str] = {
    DeadLetterReason.NAN_IN_JSON.value: (
        "the lines hold NaN, Infinity or -Infinity, which JSON does not have; Python's json.dumps writes them unless "
        "allow_nan=False: write null in their place"
    ),
    DeadLetterReason.TOO_LARGE.value: "the row is longer than limits.document_bytes",
}
"""What to do about dead letters of a reason, where the reason alone does not say it."""


class ShardStatus(StrEnum):
    """What became of a shard."""

    READ = "read"
    CACHED = "cached"
    NOT_SAMPLED = "not_sampled"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of the snapshot as it was listed.

    ``path`` opens it (an absolute local path or a URL); ``name`` is what people and the manifest call it: the path
    relative to the folder that was named in the spec. ``stamp`` is what the file system says of its version: equal
    stamps mean that a remembered digest is still true.
    """

    path: str
    name: str
    format: ShardFormat
    size: int
    stamp: str
    expected_sha256: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is a path of this machine and not a URL."""
        return "://" not in self.path


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a shard that one worker reads: row groups, record batches or bytes ``[start, stop)``.

    The bounds are a function of the shard's bytes and its format alone. ``weight`` is the decoded bytes, or the best
    guess, and serves to balance workers only.
    """

    index: int
    start: int
    stop: int
    weight: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard whose bytes were hashed and whose splits are known, or the reason why it cannot be read."""

    shard: Shard
    sha256: str = ""
    digest_computed: bool = True
    splits: tuple[Split, ...] = ()
    rows: int | None = None
    error: str | None = None


def snapshot_digest(shards: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the manifest of a snapshot, the snapshot's name.

    Args:
        shards: pairs of (name, sha256 in hex).

    The manifest has one line a shard, ``<sha256>  <name>``, sorted by name as bytes, as ``sha256sum`` writes it.
    """
    return hashlib.sha256(manifest_text(shards).encode()).hexdigest()


def manifest_text(shards: Iterable[tuple[str, str]]) -> str:
    """The text of ``MANIFEST.sha256`` for pairs of (name, sha256 in hex); coreutils can check it."""
    lines = sorted(shards, key=lambda item: (item[0].encode(), item[1]))
    return "".join(f"{sha256}  {name}\n" for name, sha256 in lines)
