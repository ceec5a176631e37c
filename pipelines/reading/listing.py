"""From the paths of a spec to the shards of a snapshot, in the order of their names, and to what is not one of them.

Every file that is seen is a shard or is listed as unread with the reason: what is below a named folder, and what a
pattern matches.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus_audit.pipelines.reading import filesystems, globs, trees
from corpus_audit.pipelines.reading.conventions import (
    TABLE_LOGS,
    Ignore,
    ending_of,
    format_of,
    is_hidden_below,
    is_never_data,
)
from corpus_audit.pipelines.reading.datasets_folders import arrow_copies, is_hub_reference
from corpus_audit.pipelines.reading.manifest import manifest_folder, read_manifest
from corpus_audit.pipelines.reading.names import name_problem, printable
from corpus_audit.pipelines.reading.same_files import other_names
from corpus_audit.pipelines.reading.trees import Entry, Identity, Kind
from corpus_audit.schemas.audit import SnapshotSpec
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.snapshot import Shard, ShardFormat, UnreadFile, UnreadReason

_NAMED = 20  # names that an error lists before it says how many more there are

_READABLE = ".parquet, .jsonl, .ndjson or .jsonlines (also with .gz or .zst), .arrow, .feather and .ipc"

_BY_KIND = {
    Kind.EXCLUDED: UnreadReason.OWN_OUTPUT,
    Kind.SAME_FOLDER: UnreadReason.SAME_FILE,
    Kind.BROKEN_LINK: UnreadReason.BROKEN_LINK,
    Kind.SPECIAL: UnreadReason.NOT_A_FILE,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What a spec's paths come to.

    Attributes:
        shards: sorted by the bytes of their names.
        unread: every other file that was seen, sorted likewise; disjoint from the shards.
    """

    shards: tuple[Shard, ...]
    unread: tuple[UnreadFile, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file that a path of the spec leads to; ``format`` is None for those that are unread, ``named`` if the path is its own."""

    entry: Entry
    root: str
    format: ShardFormat | None = None
    reason: UnreadReason | None = None
    named: bool = False


@dataclass(frozen=True)
class _Lister:
    """How the paths of one spec are listed."""

    base: Path
    format: ShardFormat | None
    ignore: Ignore
    excluded: frozenset[Identity]

    def expand(self, path: str) -> Iterator[_Seen]:
        """What one path of the spec leads to.

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

    def _alternative(self, path: str, pattern: str) -> Iterator[_Seen]:
        try:
            yield from self.expand(pattern)
        except UsageError as error:
            raise UsageError(f"{path}: of its alternatives, {error}") from error

    def _folder(self, where: str) -> Iterator[_Seen]:
        root = where.rstrip("/") or "/"
        for entry in self._entries(where):
            yield self._seen(entry, root, in_folder=True)

    def _entries(self, where: str) -> Iterator[Entry]:
        if filesystems.is_url(where):
            for url, stat in filesystems.list_remote(where):
                yield Entry(url, Kind.HIDDEN if is_hidden_below(where, url) else Kind.FILE, stat)
        else:
            yield from trees.walk(where, self.excluded)

    def _file(self, path: str, where: str) -> _Seen:
        if self.ignore.names(where.rpartition("/")[0], where):
            raise UsageError(f"{path}: snapshot.paths names it and snapshot.ignore too; take it out of one of them")
        known = self.format or format_of(where)
        if known is None:
            raise UsageError(
                f"{path}: the format cannot be told from the name (read are {_READABLE}); set snapshot.format"
            )
        if filesystems.is_url(where):
            entry = Entry(where, Kind.FILE, filesystems.stat_file(where))
        else:
            entry = trees.file_entry(where)
            if entry.kind is Kind.SPECIAL:
                raise UsageError(f"{path}: it is a pipe, socket or device; a shard is a file")
        return _Seen(entry, _parent(where), known, named=True)

    def _pattern(self, path: str, where: str) -> Iterator[_Seen]:
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

    def _seen(self, entry: Entry, root: str, in_folder: bool) -> _Seen:
        known = self.format if self.format is not None and not in_folder else format_of(entry.path)
        reason = self._reason(entry, root, known)
        return _Seen(entry, root, known if reason is None else None, reason)

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
                    raise _table_log(path[: path.index(f"/{name}") + len(name) + 1], name)
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


def list_files(snapshot: SnapshotSpec, base: Path, own: Iterable[Path] = ()) -> Listing:
    """The shards that a spec names, and every other file that was seen on the way.

    Args:
        snapshot: files, folders (read recursively, links to folders too, known endings only) and patterns, what is
            ignored, and the manifest if there is one. A file that is named by itself is always read.
        base: the folder that relative paths start from.
        own: folders that the audit writes into; they are not read.

    Names are relative to the common folder of everything that the spec lists; one file with several names is listed
    once. Names in a manifest are relative to the manifest's folder or, if that fits none, to the common folder.

    Raises:
        UsageError: a path or pattern matches nothing, a format cannot be told, a name is unsafe or ambiguous, or
            manifest and files do not agree.
        NoVerdictError: there is not a single shard, or a table's log says which files count.
    """
    asked = None if snapshot.format == "auto" else ShardFormat(snapshot.format)
    excluded = frozenset(trees.identity_of(str(folder)) for folder in own if folder.is_dir())
    lister = _Lister(base, asked, Ignore(snapshot.ignore, base), excluded)
    seen: dict[str, _Seen] = {}
    empty: list[str] = []
    for path in snapshot.paths:
        matches = list(lister.expand(path))
        for match in matches:
            known = seen.setdefault(match.entry.path, match)
            if match.named or (known.format is None and match.format is not None):
                seen[match.entry.path] = match
        if not any(match.format is not None for match in matches):
            empty.append(f"{path}{_unread_summary(matches)}")
    if empty and any(one.format for one in seen.values()):
        raise UsageError(f"no shard in {_some(empty)}; take the path out of the spec or look for the missing files")
    _check_table_logs(seen.values(), lister.ignore)
    _leave_copies(seen, snapshot)
    same_as = _leave_other_names(seen)
    if not any(one.format for one in seen.values()):
        raise NoVerdictError(
            f"no shard in {_some(empty or list(snapshot.paths))}: an empty corpus has no verdict. Read are {_READABLE}; "
            "files of other names in these formats are read if snapshot.format says which, and paths name the files"
        )
    names = _names(list(seen.values()))
    listing = _listing(seen.values(), names, same_as)
    _check_names([shard.name for shard in listing.shards])
    return listing if snapshot.manifest is None else _join_manifest(listing, snapshot.manifest, base)


def list_shards(snapshot: SnapshotSpec, base: Path) -> list[Shard]:
    """The shards of `list_files`; raises what that raises."""
    return list(list_files(snapshot, base).shards)


def unread_data(listing: Listing) -> list[UnreadFile]:
    """The unread files of a listing that may be data."""
    return [file for file in listing.unread if file.reason.may_be_data]


def counted_endings(names: Iterable[str]) -> list[tuple[str, int]]:
    """How many files have which ending, the most frequent first; the ending is empty for names without one."""
    return sorted(Counter(map(ending_of, names)).items(), key=lambda item: (-item[1], item[0]))


def files_by_ending(names: Sequence[str]) -> str:
    """Files in words: ``12 .mds files and 1 file without an ending``."""
    parts = []
    for ending, count in counted_endings(names)[:8]:
        noun = "file" if count == 1 else "files"
        parts.append(f"{count:,} {ending} {noun}" if ending else f"{count:,} {noun} without an ending")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def common_folder(shards: Sequence[Shard]) -> str | None:
    """The folder or URL that the names of a snapshot's shards are relative to; None if there is no such place."""
    ends = {shard.path.removesuffix(shard.name) for shard in shards if shard.path.endswith(f"/{shard.name}")}
    return ends.pop().rstrip("/") or "/" if len(ends) == 1 else None


def absolute_paths(snapshot: SnapshotSpec, base: Path) -> list[str]:
    """The paths, folders and globs of a spec without the folder that they start from."""
    return [absolute_path(path, base) for path in snapshot.paths]


def absolute_ignore(snapshot: SnapshotSpec, base: Path) -> list[str]:
    """The patterns of ``snapshot.ignore``, and those with a slash once more without the folder they start from."""
    whole = [absolute_path(pattern, base) for pattern in snapshot.ignore if "/" in pattern.rstrip("/")]
    return [*snapshot.ignore, *(pattern for pattern in whole if pattern not in snapshot.ignore)]


def absolute_path(path: str, base: Path) -> str:
    """A path, folder or glob of a spec without the folder that it starts from; URLs as they are."""
    path = filesystems.local_or_url(path)
    # abspath, not resolve: a link keeps its own name (a hub cache is links to blobs without suffixes).
    return path if filesystems.is_url(path) else os.path.abspath(base / path)  # noqa: PTH100


def _leave_copies(seen: dict[str, _Seen], snapshot: SnapshotSpec) -> None:
    """Leave out what the datasets library keeps beside its data; files that are named by themselves stay."""
    if snapshot.format not in ("auto", ShardFormat.ARROW):
        return
    found = [path for path, one in seen.items() if one.format is ShardFormat.ARROW and not one.named]
    for path, reason in arrow_copies(found).items():
        if path in seen:
            seen[path] = replace(seen[path], format=None, reason=reason)


def _leave_other_names(seen: dict[str, _Seen]) -> dict[str, str]:
    """Leave out all names of a file but one; returns path -> path under which the file is read."""
    shards = {path: one.entry.identity for path, one in seen.items() if one.format is not None}
    same_as = other_names({path: identity for path, identity in shards.items() if identity is not None})
    for path in same_as:
        seen[path] = replace(seen[path], format=None, reason=UnreadReason.SAME_FILE)
    # What has no known ending may be a file that is read, or left out for a good reason, under another name.
    good = {one.entry.identity: one for one in seen.values() if one.reason is None or not one.reason.may_be_data}
    good.pop(None, None)
    for path, one in seen.items():
        other = good.get(one.entry.identity) if one.reason is UnreadReason.UNKNOWN_FORMAT else None
        if other is not None:
            seen[path] = replace(one, reason=other.reason or UnreadReason.SAME_FILE)
            if other.reason in (None, UnreadReason.SAME_FILE):
                same_as[path] = same_as.get(other.entry.path, other.entry.path)
    return same_as | {path: one.entry.same_as for path, one in seen.items() if one.entry.same_as is not None}


def _listing(seen: Collection[_Seen], names: dict[str, str], same_as: dict[str, str]) -> Listing:
    shards, unread = [], []
    for one in seen:
        path, stat, name = one.entry.path, one.entry.stat, names[one.entry.path]
        if one.format is not None:
            assert stat is not None
            shards.append(Shard(path, name, one.format, stat.size, stat.stamp))
        else:
            assert one.reason is not None
            other = same_as.get(path)
            known_as = None if other is None else printable(names.get(other, other))
            unread.append(UnreadFile(path, printable(name), one.reason, stat.size if stat else None, known_as))
    return Listing(
        tuple(sorted(shards, key=lambda shard: os.fsencode(shard.name))),
        tuple(sorted(unread, key=lambda file: os.fsencode(file.name))),
    )


def _check_table_logs(seen: Collection[_Seen], ignore: Ignore) -> None:
    """Refuse the files of a table below the folder of its log, where the paths do not lead to the log itself.

    On remote file systems only the folder that was listed is looked at.
    """
    folders: dict[str, str] = {}
    for one in seen:
        if one.format is None or one.named:
            continue
        if filesystems.is_url(one.root):
            folders[one.root] = one.root
            continue
        folder = _parent(one.entry.path)
        while folder not in folders:
            folders[folder] = one.root
            folder = _parent(folder)
    for folder, root in folders.items():
        for name in TABLE_LOGS:
            log = f"{folder.rstrip('/')}/{name}"
            if not ignore.names(root, log) and filesystems.kind(log) == "folder":
                raise _table_log(log, name)


def _table_log(log: str, name: str) -> NoVerdictError:
    return NoVerdictError(
        f"{printable(log)}: the log of a {TABLE_LOGS[name]} table, which is not read: files that it has removed would "
        f"be counted. Export the table's current rows as Parquet, or put {name} under snapshot.ignore to count every "
        "file that is there"
    )


def _unread_summary(matches: Sequence[_Seen]) -> str:
    """What was found instead of shards, in brackets; empty if there was nothing."""
    if not matches:
        return ""
    data = [match.entry.path for match in matches if match.reason is not None and match.reason.may_be_data]
    if data:
        verb = "is" if len(data) == 1 else "are"
        return f" (found {files_by_ending(data)}, which {verb} not read)"
    other = Counter(match.reason.value.replace("_", " ") for match in matches if match.reason is not None)
    return f" (found only files that are {', '.join(sorted(other))})"


def _hint(path: str) -> str:
    if "{" in path or "}" in path:
        return "; of braces, {a,b} stands for a or b, and {date} and {latest} for dates: nothing else is expanded"
    if "[" in path:
        return "; [ ] stands for one of the characters in it: write [[] for a bracket itself"
    return ""


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _parts(path: str) -> list[str]:
    """Components; a URL's begin with its protocol and bucket, so that mixed snapshots keep distinct names."""
    protocol, marker, rest = path.partition("://")
    return [protocol, *rest.strip("/").split("/")] if marker else ["local", *Path(path).parts[1:]]


def _names(seen: list[_Seen]) -> dict[str, str]:
    common = os.path.commonprefix([_parts(one.root) for one in seen])  # noqa: RUF071 (of lists, not of strings)
    ends = {path: "/" if path.endswith("/") else "" for path in (one.entry.path for one in seen)}
    return {path: "/".join(_parts(path)[len(common) :]) + end for path, end in ends.items()}


def _check_names(names: list[str]) -> None:
    problem = name_problem(names)
    if problem is not None:
        raise UsageError(problem)
    if len(set(names)) != len(names):
        raise UsageError("two shards have the same name")


def _join_manifest(listing: Listing, manifest: str, base: Path) -> Listing:
    path = absolute_path(manifest, base)
    entries = read_manifest(path)
    folder = _parts(manifest_folder(path))
    by_folder = {
        "/".join(parts[len(folder) :]): shard
        for shard in listing.shards
        if (parts := _parts(shard.path))[: len(folder)] == folder
    }
    by_name = {shard.name: shard for shard in listing.shards}
    keyed = max((by_folder, by_name), key=lambda names: len(names.keys() & entries.keys()))
    left = {
        "/".join(_parts(file.path)[len(folder) :]) if keyed is by_folder else file.name
        for file in listing.unread
        if file.reason in (UnreadReason.IGNORED, UnreadReason.SAME_FILE)
    }
    expected = {shard.path: entries[name] for name, shard in keyed.items() if name in entries}
    missing = [name for name in entries if name not in keyed and name not in left and format_of(name) is not None]
    unlisted = [shard.name for shard in listing.shards if shard.path not in expected]
    problems = []
    if missing:
        problems.append(f"listed, but not in the snapshot: {_some(missing)}")
    if unlisted:
        problems.append(f"in the snapshot, but not listed: {_some(unlisted)}")
    if problems:
        raise UsageError(f"manifest {manifest}: {'; '.join(problems)}")
    return replace(
        listing, shards=tuple(replace(shard, expected_sha256=expected[shard.path]) for shard in listing.shards)
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
