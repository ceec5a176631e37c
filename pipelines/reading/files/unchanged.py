"""Checks that a shard has not changed since it was listed."""

from __future__ import annotations

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard


def check_unchanged(shard: Shard) -> None:
    """Compare the file's size and version stamp with those of the listing.

    Raises:
        ShardError: it is gone, or its size or version stamp differ.
    """
    try:
        now = filesystems.stat_file(shard.path)
    except OSError as error:
        raise ShardError(shard, f"cannot be reached ({_reason(error)}); was it removed after the listing?") from error
    if now.size != shard.size:
        raise ShardError(shard, f"changed while it was read: {shard.size:,} bytes when listed, {now.size:,} now")
    if now.stamp != shard.stamp and _comparable(now.stamp, shard.stamp):
        raise ShardError(shard, "changed while it was read: its modification time or version differs from the listing")


def _comparable(now: str, listed: str) -> bool:
    """Whether two stamps can be compared; a version that the store no longer gives counts as a change.

    A store may list files with a time but stat them with a tag, or with another kind of tag: then only sizes are
    compared.
    """
    kinds = [stamp.partition("-")[2].partition(":")[0] for stamp in (now, listed)]
    versions = [kind in filesystems.VERSION_KEYS for kind in kinds]
    return ":" not in listed or kinds[0] == kinds[1] or versions == [False, True]


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
