"""Expands one path of a spec: a file, a folder to its files, or a pattern to the files that match."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.snapshot import globs, trees
from corpus_audit.pipelines.reading.snapshot.conventions import (
    TABLE_LOGS,
    IgnorePatterns,
    format_of,
    is_hidden_below,
    is_never_data,
)
from corpus_audit.pipelines.reading.snapshot.datasets_folders import is_hub_reference
from corpus_audit.pipelines.reading.snapshot.names import printable
from corpus_audit.pipelines.reading.snapshot.trees import EntryKind, Identity, PathEntry
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import ShardFormat, UnreadReason

READABLE = ".parquet, .jsonl, .ndjson or .jsonlines (also with .gz or .zst), .arrow, .feather and .ipc"
READABLE_IMAGES = ".parquet, .arrow, .feather, .ipc, .tar (also with .gz or .zst), and those of image files"

_BY_KIND = {
    EntryKind.EXCLUDED: UnreadReason.OWN_OUTPUT,
    EntryKind.SAME_FOLDER: UnreadReason.SAME_FILE,
    EntryKind.BROKEN_LINK: UnreadReason.BROKEN_LINK,
    EntryKind.SPECIAL: UnreadReason.NOT_A_FILE,
}


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that a path of the spec leads to.

    Attributes:
        entry: the file's path, kind and version.
        root: the listed folder, or the folder before the first component of a pattern.
        format: None for files that are not read; ``reason`` says why.
        named: whether the spec's path is the file itself, not a folder or pattern.
    """

    entry: PathEntry
    root: str
    format: ShardFormat | None = None
    reason: UnreadReason | None = None
    named: bool = False


@dataclass(frozen=True)
class Expander:
    """Expands the paths of one spec.

    Attributes:
        base: the folder that relative paths start from.
        format: ``snapshot.format``; None if it follows from each name.
        ignore: the patterns of ``snapshot.ignore``.
        excluded: folders that the audit itself writes into.
        images: whether the corpus is one of images.
    """

    base: Path
    format: ShardFormat | None
    ignore: IgnorePatterns
    excluded: frozenset[Identity]
    images: bool = False

    @property
    def readable(self) -> str:
        """Endings that are read, as a phrase."""
        return READABLE_IMAGES if self.images else READABLE

    def expand(self, path: str) -> Iterator[ListedFile]:
        """List the files of one path of the spec.

        Raises:
            UsageError: the path does not exist, matches nothing, or cannot be listed.
        """
        location = absolute_path(path, self.base)
        local = not filesystems.is_url(location)
        try:
            kind = filesystems.kind(location)
            if kind == "folder":
                if local and trees.identity_of(location) in self.excluded:
                    raise UsageError(f"{path}: the audit writes its own files here; set output to another folder")
                yield from self._folder(location)
            elif kind == "file":
                yield self._file(path, location)
            elif len(patterns := globs.expand_braces(location, local)) > 1:
                for pattern in patterns:
                    yield from self._alternative(path, pattern)
            elif globs.is_pattern(location):
                yield from self._pattern(path, location)
            else:
                raise UsageError(f"{path}: no such file or folder{_hint(path)}")
        except OSError as error:
            raise UsageError(f"{path}: cannot be listed: {error}") from error

    def _alternative(self, path: str, pattern: str) -> Iterator[ListedFile]:
        try:
            yield from self.expand(pattern)
        except UsageError as error:
            raise UsageError(f"{path}: one of its alternatives: {error}") from error

    def _folder(self, location: str) -> Iterator[ListedFile]:
        root = location.rstrip("/") or "/"
        for entry in self._entries(location):
            yield self._listed(entry, root, in_folder=True)

    def _entries(self, location: str) -> Iterator[PathEntry]:
        if filesystems.is_url(location):
            for url, stat in filesystems.list_remote(location):
                yield PathEntry(url, EntryKind.HIDDEN if is_hidden_below(location, url) else EntryKind.FILE, stat)
        else:
            yield from trees.walk(location, self.excluded)

    def _file(self, path: str, location: str) -> ListedFile:
        if self.ignore.matches(location.rpartition("/")[0], location):
            raise UsageError(f"{path}: it is in snapshot.paths and in snapshot.ignore; remove it from one of them")
        format_ = self.format or format_of(location, self.images)
        if format_ is None:
            raise UsageError(
                f"{path}: the name does not say the format (supported: {self.readable}); set snapshot.format"
            )
        if filesystems.is_url(location):
            entry = PathEntry(location, EntryKind.FILE, filesystems.stat_file(location))
        else:
            entry = trees.file_entry(location)
            if entry.kind is EntryKind.SPECIAL:
                raise UsageError(f"{path}: this is a pipe, socket or device, not a file")
        return ListedFile(entry, parent_of(location), format_, named=True)

    def _pattern(self, path: str, location: str) -> Iterator[ListedFile]:
        local = not filesystems.is_url(location)
        root, parts = globs.static_root(location, local)
        if local and "**" in parts and os.path.isdir(root) and trees.identity_of(root) in self.excluded:  # noqa: PTH112
            raise UsageError(f"{path}: the audit writes its own files here; set output to another folder")
        matched = False
        for entry in globs.match(root, parts, self.excluded) if local else self._remote_matches(root, parts, location):
            matched = True
            yield self._listed(entry, root, in_folder=False)
        if not matched:
            raise UsageError(f"{path}: matches no file{_hint(path)}")

    def _remote_matches(self, root: str, parts: Sequence[str], location: str) -> Iterator[PathEntry]:
        for url, stat in filesystems.match_remote(location):
            kind = EntryKind.HIDDEN if is_hidden_below(root, url, parts) else EntryKind.FILE
            if stat is not None:
                yield PathEntry(url, kind, stat)
            elif not location.endswith("**"):  # the pattern matches the files below directly
                for below in self._entries(url):
                    yield below if kind is EntryKind.FILE else replace(below, kind=kind)

    def _listed(self, entry: PathEntry, root: str, in_folder: bool) -> ListedFile:
        format_ = self.format if self.format is not None and not in_folder else format_of(entry.path, self.images)
        reason = self._reason(entry, root, format_)
        return ListedFile(entry, root, format_ if reason is None else None, reason)

    def _reason(self, entry: PathEntry, root: str, format_: ShardFormat | None) -> UnreadReason | None:
        """The reason why an entry is not a shard; None for a shard."""
        path, kind = entry.path, entry.kind
        if kind in (EntryKind.EXCLUDED, EntryKind.SAME_FOLDER):
            return _BY_KIND[kind]
        if self.ignore.matches(root, path):
            return UnreadReason.IGNORED
        names = path.removeprefix(root).strip("/").split("/")
        if kind is EntryKind.HIDDEN:
            for name in names:
                if name in TABLE_LOGS:
                    raise table_log(path[: path.index(f"/{name}") + len(name) + 1], name)
            partition = any(name.startswith("_") and "=" in name for name in names[:-1])
            dotted = names[-1].startswith((".", "_")) or any(
                name.startswith((".", "_")) and "=" not in name for name in names[:-1]
            )
            return UnreadReason.HIDDEN_PARTITION if partition and format_ and not dotted else UnreadReason.HIDDEN
        if format_ is None and (is_never_data(names[-1]) or is_hub_reference(path)):
            return UnreadReason.NOT_DATA
        if kind in _BY_KIND:
            return _BY_KIND[kind]
        if format_ is None:
            return UnreadReason.UNKNOWN_FORMAT
        return None if self.format in (None, format_) else UnreadReason.OTHER_FORMAT


def absolute_path(path: str, base: Path) -> str:
    """A path, folder or glob of a spec as an absolute path; URLs are returned unchanged."""
    path = filesystems.local_or_url(path)
    # abspath, not resolve: a link keeps its own name (a hub cache is links to blobs without suffixes).
    return path if filesystems.is_url(path) else os.path.abspath(base / path)  # noqa: PTH100


def table_log(log: str, name: str) -> NoVerdictError:
    """The error for a folder with a table's transaction log; ``name`` is one of `TABLE_LOGS`, ``log`` its path."""
    return NoVerdictError(
        f"{printable(log)}: {TABLE_LOGS[name]} tables are not supported: their log is not read, so files that it has "
        f"removed would be counted. Export the table's current rows as Parquet, or add {name} to snapshot.ignore to "
        "count every file in the folder"
    )


def parent_of(path: str) -> str:
    """The folder of a local path or URL."""
    return path.rpartition("/")[0] or "/"


def _hint(path: str) -> str:
    if "{" in path or "}" in path:
        return "; in braces, only {a,b}, {date} and {latest} are expanded"
    if "[" in path:
        return "; [ ] matches one of the characters in it: write [[] to match a bracket"
    return ""
