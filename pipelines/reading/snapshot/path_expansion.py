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
    Ignore,
    format_of,
    is_hidden_below,
    is_never_data,
)
from corpus_audit.pipelines.reading.snapshot.datasets_folders import is_hub_reference
from corpus_audit.pipelines.reading.snapshot.names import printable
from corpus_audit.pipelines.reading.snapshot.trees import Entry, Identity, Kind
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import ShardFormat, UnreadReason

READABLE = ".parquet, .jsonl, .ndjson or .jsonlines (also with .gz or .zst), .arrow, .feather and .ipc"

_BY_KIND = {
    Kind.EXCLUDED: UnreadReason.OWN_OUTPUT,
    Kind.SAME_FOLDER: UnreadReason.SAME_FILE,
    Kind.BROKEN_LINK: UnreadReason.BROKEN_LINK,
    Kind.SPECIAL: UnreadReason.NOT_A_FILE,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that a path of the spec leads to.

    Attributes:
        entry: where and what it is.
        root: the folder that was named or stands before a pattern.
        format: None for files that are not read; ``reason`` says why.
        named: whether the path names the file itself.
    """

    entry: Entry
    root: str
    format: ShardFormat | None = None
    reason: UnreadReason | None = None
    named: bool = False


@dataclass(frozen=True)
class Expander:
    """Expands the paths of one spec.

    Attributes:
        base: the folder that relative paths start from.
        format: what the spec asks for; None if names say it.
        ignore: what the spec leaves out.
        excluded: folders that the audit itself writes into.
    """

    base: Path
    format: ShardFormat | None
    ignore: Ignore
    excluded: frozenset[Identity]

    def expand(self, path: str) -> Iterator[Seen]:
        """List the files of one path of the spec.

        Raises:
            UsageError: there is nothing of that name, nothing matches, or it cannot be listed.
        """
        where = absolute_path(path, self.base)
        local = not filesystems.is_url(where)
        try:
            kind = filesystems.kind(where)
            if kind == "folder":
                if local and trees.identity_of(where) in self.excluded:
                    raise UsageError(f"{path}: this is where the audit itself writes; give output: another folder")
                yield from self._folder(where)
            elif kind == "file":
                yield self._file(path, where)
            elif len(patterns := globs.expand_braces(where, local)) > 1:
                for pattern in patterns:
                    yield from self._alternative(path, pattern)
            elif globs.is_pattern(where):
                yield from self._pattern(path, where)
            else:
                raise UsageError(f"{path}: there is no such file or folder{_hint(path)}")
        except OSError as error:
            raise UsageError(f"{path}: cannot be listed: {error}") from error

    def _alternative(self, path: str, pattern: str) -> Iterator[Seen]:
        try:
            yield from self.expand(pattern)
        except UsageError as error:
            raise UsageError(f"{path}: of its alternatives, {error}") from error

    def _folder(self, where: str) -> Iterator[Seen]:
        root = where.rstrip("/") or "/"
        for entry in self._entries(where):
            yield self._seen(entry, root, in_folder=True)

    def _entries(self, where: str) -> Iterator[Entry]:
        if filesystems.is_url(where):
            for url, stat in filesystems.list_remote(where):
                yield Entry(url, Kind.HIDDEN if is_hidden_below(where, url) else Kind.FILE, stat)
        else:
            yield from trees.walk(where, self.excluded)

    def _file(self, path: str, where: str) -> Seen:
        if self.ignore.names(where.rpartition("/")[0], where):
            raise UsageError(f"{path}: snapshot.paths names it and snapshot.ignore too; take it out of one of them")
        known = self.format or format_of(where)
        if known is None:
            raise UsageError(
                f"{path}: the format cannot be told from the name (read are {READABLE}); set snapshot.format"
            )
        if filesystems.is_url(where):
            entry = Entry(where, Kind.FILE, filesystems.stat_file(where))
        else:
            entry = trees.file_entry(where)
            if entry.kind is Kind.SPECIAL:
                raise UsageError(f"{path}: it is a pipe, socket or device; a shard is a file")
        return Seen(entry, parent_of(where), known, named=True)

    def _pattern(self, path: str, where: str) -> Iterator[Seen]:
        local = not filesystems.is_url(where)
        root, parts = globs.static_root(where, local)
        if local and "**" in parts and os.path.isdir(root) and trees.identity_of(root) in self.excluded:  # noqa: PTH112
            raise UsageError(f"{path}: this is where the audit itself writes; give output: another folder")
        matched = False
        for entry in globs.match(root, parts, self.excluded) if local else self._remote_matches(root, parts, where):
            matched = True
            yield self._seen(entry, root, in_folder=False)
        if not matched:
            raise UsageError(f"{path}: it matches no file{_hint(path)}")

    def _remote_matches(self, root: str, parts: Sequence[str], where: str) -> Iterator[Entry]:
        for url, stat in filesystems.match_remote(where):
            kind = Kind.HIDDEN if is_hidden_below(root, url, parts) else Kind.FILE
            if stat is not None:
                yield Entry(url, kind, stat)
            elif not where.endswith("**"):  # the files below are matched by themselves
                for below in self._entries(url):
                    yield below if kind is Kind.FILE else replace(below, kind=kind)

    def _seen(self, entry: Entry, root: str, in_folder: bool) -> Seen:
        known = self.format if self.format is not None and not in_folder else format_of(entry.path)
        reason = self._reason(entry, root, known)
        return Seen(entry, root, known if reason is None else None, reason)

    def _reason(self, entry: Entry, root: str, known: ShardFormat | None) -> UnreadReason | None:
        """Why an entry is not a shard; None for a shard."""
        path, kind = entry.path, entry.kind
        if kind in (Kind.EXCLUDED, Kind.SAME_FOLDER):
            return _BY_KIND[kind]
        if self.ignore.names(root, path):
            return UnreadReason.IGNORED
        names = path.removeprefix(root).strip("/").split("/")
        if kind is Kind.HIDDEN:
            for name in names:
                if name in TABLE_LOGS:
                    raise table_log(path[: path.index(f"/{name}") + len(name) + 1], name)
            partition = any(name.startswith("_") and "=" in name for name in names[:-1])
            dotted = names[-1].startswith((".", "_")) or any(
                name.startswith((".", "_")) and "=" not in name for name in names[:-1]
            )
            return UnreadReason.HIDDEN_PARTITION if partition and known and not dotted else UnreadReason.HIDDEN
        if known is None and (is_never_data(names[-1]) or is_hub_reference(path)):
            return UnreadReason.NOT_DATA
        if kind in _BY_KIND:
            return _BY_KIND[kind]
        if known is None:
            return UnreadReason.UNKNOWN_FORMAT
        return None if self.format in (None, known) else UnreadReason.OTHER_FORMAT


def absolute_path(path: str, base: Path) -> str:
    """A path, folder or glob of a spec without the folder that it starts from; URLs as they are."""
    path = filesystems.local_or_url(path)
    # abspath, not resolve: a link keeps its own name (a hub cache is links to blobs without suffixes).
    return path if filesystems.is_url(path) else os.path.abspath(base / path)  # noqa: PTH100


def table_log(log: str, name: str) -> NoVerdictError:
    """The error that a table's transaction log is not read; ``name`` is one of `TABLE_LOGS`, ``log`` its path."""
    return NoVerdictError(
        f"{printable(log)}: the log of a {TABLE_LOGS[name]} table, which is not read: files that it has removed would "
        f"be counted. Export the table's current rows as Parquet, or put {name} under snapshot.ignore to count every "
        "file that is there"
    )


def parent_of(path: str) -> str:
    """The folder of a local path or URL."""
    return path.rpartition("/")[0] or "/"


def _hint(path: str) -> str:
    if "{" in path or "}" in path:
        return "; of braces, {a,b} stands for a or b, and {date} and {latest} for dates: nothing else is expanded"
    if "[" in path:
        return "; [ ] stands for one of the characters in it: write [[] for a bracket itself"
    return ""
