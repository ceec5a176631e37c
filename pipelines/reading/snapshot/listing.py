"""Lists the shards of a snapshot from the paths of a spec, in the order of their names, and the files left out.

Every file that is seen is a shard or is listed as unread with the reason: what is below a named folder, and what a
pattern matches.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.snapshot import trees
from corpus_audit.pipelines.reading.snapshot.conventions import (
    TABLE_LOGS,
    Ignore,
    format_of,
)
from corpus_audit.pipelines.reading.snapshot.datasets_folders import arrow_copies
from corpus_audit.pipelines.reading.snapshot.manifest import manifest_folder, read_manifest
from corpus_audit.pipelines.reading.snapshot.names import name_problem, printable
from corpus_audit.pipelines.reading.snapshot.path_expansion import (
    READABLE,
    Expander,
    Seen,
    absolute_path,
    parent_of,
    table_log,
)
from corpus_audit.pipelines.reading.snapshot.same_files import other_names
from corpus_audit.pipelines.reading.snapshot.unread import files_by_ending
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import UNREAD_WORDS, Shard, ShardFormat, UnreadFile, UnreadReason
from corpus_audit.schemas.spec.audit import SnapshotSpec

_NAMED = 20  # names that an error lists before it says how many more there are


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that a spec's paths lead to.

    Attributes:
        shards: sorted by the bytes of their names.
        unread: every other file that was seen, sorted likewise; disjoint from the shards.
    """

    shards: tuple[Shard, ...]
    unread: tuple[UnreadFile, ...]


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
    lister = Expander(base, asked, Ignore(snapshot.ignore, base), excluded)
    seen: dict[str, Seen] = {}
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
        where = empty or [_some(list(snapshot.paths)) + _unread_summary(list(seen.values()))]
        raise NoVerdictError(
            f"no shard in {_some(where)}: an empty corpus has no verdict. Read are {READABLE}; files of "
            "other names in these formats are read if snapshot.format says which, and paths name the files"
        )
    listing = _listing(seen.values(), _namer({one.root for one in seen.values()}), same_as)
    _check_names([shard.name for shard in listing.shards])
    return listing if snapshot.manifest is None else _join_manifest(listing, snapshot.manifest, base)


def list_shards(snapshot: SnapshotSpec, base: Path) -> list[Shard]:
    """The shards of `list_files`; raises what that raises."""
    return list(list_files(snapshot, base).shards)


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


def _leave_copies(seen: dict[str, Seen], snapshot: SnapshotSpec) -> None:
    """Leave out what the datasets library keeps beside its data; files that are named by themselves stay."""
    if snapshot.format not in ("auto", ShardFormat.ARROW):
        return
    found = [path for path, one in seen.items() if one.format is ShardFormat.ARROW and not one.named]
    for path, reason in arrow_copies(found).items():
        if path in seen:
            seen[path] = replace(seen[path], format=None, reason=reason)


def _leave_other_names(seen: dict[str, Seen]) -> dict[str, str]:
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


def _listing(seen: Collection[Seen], name_of: Callable[[str], str], same_as: dict[str, str]) -> Listing:
    shards, unread = [], []
    for one in seen:
        path, stat, name = one.entry.path, one.entry.stat, name_of(one.entry.path)
        if one.format is not None:
            assert stat is not None
            shards.append(Shard(path, name, one.format, stat.size, stat.stamp))
        else:
            assert one.reason is not None
            other = same_as.get(path)
            known_as = None if other is None else printable(name_of(other))
            unread.append(UnreadFile(path, printable(name), one.reason, stat.size if stat else None, known_as))
    return Listing(
        tuple(sorted(shards, key=lambda shard: os.fsencode(shard.name))),
        tuple(sorted(unread, key=lambda file: os.fsencode(file.name))),
    )


def _check_table_logs(seen: Collection[Seen], ignore: Ignore) -> None:
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
        folder = parent_of(one.entry.path)
        while folder not in folders:
            folders[folder] = one.root
            folder = parent_of(folder)
    for folder, root in folders.items():
        for name in TABLE_LOGS:
            log = f"{folder.rstrip('/')}/{name}"
            if not ignore.names(root, log) and filesystems.kind(log) == "folder":
                raise table_log(log, name)


def _unread_summary(matches: Sequence[Seen]) -> str:
    """What was found instead of shards, in brackets; empty if there was nothing."""
    if not matches:
        return ""
    data = [match.entry.path for match in matches if match.reason is not None and match.reason.may_be_data]
    if data:
        verb = "is" if len(data) == 1 else "are"
        reasons = {match.reason for match in matches if match.reason is not None and match.reason.may_be_data}
        why = "".join(f": {UNREAD_WORDS[reason]}" for reason in reasons - {UnreadReason.UNKNOWN_FORMAT})
        return f" (found {files_by_ending(data)}, which {verb} not read{why if len(reasons) == 1 else ''})"
    other = Counter(match.reason.value.replace("_", " ") for match in matches if match.reason is not None)
    return f" (found only files that are {', '.join(sorted(other))})"


def _parts(path: str) -> list[str]:
    """Components; a URL's begin with its protocol and bucket, so that mixed snapshots keep distinct names."""
    protocol, marker, rest = path.partition("://")
    return [protocol, *rest.strip("/").split("/")] if marker else ["local", *Path(path).parts[1:]]


def _namer(roots: Iterable[str]) -> Callable[[str], str]:
    """What gives a path its name: the path from the common folder of all that was listed."""
    common = len(os.path.commonprefix([_parts(root) for root in roots]))  # noqa: RUF071 (of lists, not of strings)

    def name_of(path: str) -> str:
        name = "/".join(_parts(path)[common:])
        return f"{name or '.'}/" if path.endswith("/") else name

    return name_of


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
