"""Records of shards and splits, before and after they are read."""

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
    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_ZST = "tar.zst"
    IMAGE_FOLDER = "imagefolder"

    @property
    def is_archive(self) -> bool:
        """Whether it holds the members of a tar archive, which are samples of images."""
        return self in (ShardFormat.TAR, ShardFormat.TAR_GZ, ShardFormat.TAR_ZST, ShardFormat.IMAGE_FOLDER)


class ShardStatus(StrEnum):
    """Outcome of reading a shard."""

    READ = "read"
    CACHED = "cached"
    NOT_SAMPLED = "not_sampled"
    ERROR = "error"


class UnreadReason(StrEnum):
    """Why a file in the paths of the snapshot is not a shard."""

    UNKNOWN_FORMAT = "unknown_format"
    OTHER_FORMAT = "other_format"
    HIDDEN_PARTITION = "hidden_partition"
    NOT_NAMED = "not_named"
    BROKEN_LINK = "broken_link"
    NOT_A_FILE = "not_a_file"
    IGNORED = "ignored"
    HIDDEN = "hidden"
    NOT_DATA = "not_data"
    PROCESSED_COPY = "processed_copy"
    SAME_FILE = "same_file"
    OWN_OUTPUT = "own_output"

    @property
    def may_be_data(self) -> bool:
        """Whether documents may be missing because of the file, so that there is no verdict."""
        return self in (
            UnreadReason.UNKNOWN_FORMAT,
            UnreadReason.OTHER_FORMAT,
            UnreadReason.HIDDEN_PARTITION,
            UnreadReason.NOT_NAMED,
            UnreadReason.BROKEN_LINK,
            UnreadReason.NOT_A_FILE,
        )


UNREAD_WORDS = {
    UnreadReason.UNKNOWN_FORMAT: "not a supported format",
    UnreadReason.OTHER_FORMAT: "not in the format that snapshot.format asks for",
    UnreadReason.HIDDEN_PARTITION: "in a partition whose name begins with _, which some programs skip",
    UnreadReason.NOT_NAMED: "not among the files that the data set's state.json names, or only a processed copy",
    UnreadReason.BROKEN_LINK: "a broken link",
    UnreadReason.NOT_A_FILE: "a pipe, socket or device",
    UnreadReason.IGNORED: "named by snapshot.ignore",
    UnreadReason.HIDDEN: "hidden: a name that begins with . or _",
    UnreadReason.NOT_DATA: "documentation, checksums or settings by its name",
    UnreadReason.PROCESSED_COPY: "a processed copy that the datasets library keeps beside the data",
    UnreadReason.SAME_FILE: "another name of a file that is read",
    UnreadReason.OWN_OUTPUT: "the audit's own output",
}
"""Each reason as a phrase for people."""


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file in the paths of the snapshot that is not a shard.

    Attributes:
        path: local path or URL; that of a folder whose content is not listed ends with a slash.
        name: the name that it would have as a shard.
        reason: why it is not read.
        size: bytes; None for folders, and if the file system does not say.
        same_as: of `UnreadReason.SAME_FILE`, the name under which it is read.
    """

    path: str
    name: str
    reason: UnreadReason
    size: int | None = None
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of the snapshot as listed.

    ``path`` opens it (an absolute local path or a URL); ``name`` is its name in reports and manifests: the path
    relative to the folder in the spec. ``stamp`` identifies its version in the file system: while the stamp is the
    same, a digest from an earlier run is still valid.

    The images directly in a folder are one shard: its path and name end with a slash, and its bytes are those of the
    tar archive that `pipelines.reading.files.folder_archive` makes of them.
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

    The bounds are a function of the shard's bytes and its format alone. ``weight`` is the number of decoded
    bytes, or an estimate, and is used only to balance workers.
    """

    index: int
    start: int
    stop: int
    weight: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard with its digest and splits, or with the reason why it cannot be read."""

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
