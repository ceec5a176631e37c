"""Lists the shards of a snapshot from the paths of a spec, sorted by name, and the files that are not read.

Every file below a named folder and every file that a pattern matches is either a shard or listed as unread with the
reason.
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
    IgnorePatterns,
    format_of,
)
from corpus_audit.pipelines.reading.snapshot.datasets_folders import arrow_copies
from corpus_audit.pipelines.reading.snapshot.image_folders import join_folders
from corpus_audit.pipelines.reading.snapshot.manifest import manifest_folder, read_manifest
from corpus_audit.pipelines.reading.snapshot.names import name_problem, printable
from corpus_audit.pipelines.reading.snapshot.path_expansion import (
    Expander,
    ListedFile,
    absolute_path,
    parent_of,
    table_log,
)
from corpus_audit.pipelines.reading.snapshot.same_files import other_names
from corpus_audit.pipelines.reading.snapshot.unread import files_by_ending
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import UNREAD_WORDS, Shard, ShardFormat, UnreadFile, UnreadReason
from corpus_audit.schemas.spec.audit import SnapshotSpec

_MAX_SHOWN_NAMES = 20  # names that an error lists before it says how many more there are


@dataclass(frozen=True, slots=True)
class Listing:
    """The files that a spec's paths lead to.

    Attributes:
        shards: sorted by the bytes of their names.
        unread: every other file, sorted likewise; disjoint from the shards.
    """

    shards: tuple[Shard, ...]
    unread: tuple[UnreadFile, ...]


def list_files(snapshot: SnapshotSpec, base: Path, own: Iterable[Path] = (), images: bool = False) -> Listing:
    """The shards that a spec's paths lead to, and every other file that the paths cover.

    Args:
        snapshot: files, folders (read recursively, links to folders too, known endings only) and patterns, what is
            ignored, and the manifest if there is one. A file that is named by itself is always read.
        base: the folder that relative paths start from.
        own: folders that the audit writes into; they are not read.
        images: whether the documents are images: then archives are read, and the images directly in a folder are one
            shard, see `image_folders`.

    Names are relative to the common folder of everything that the spec lists; one file with several names is listed
    once. Names in a manifest are relative to the manifest's folder or, if that fits none, to the common folder.

    Raises:
        UsageError: a path or pattern matches nothing, a file's format is unclear, a name is unsafe or ambiguous, or
            the manifest and the files disagree.
        NoVerdictError: there is no shard, or a folder is a table whose log says which files count.
    """
    format_ = None if snapshot.format == "auto" else ShardFormat(snapshot.format)
    excluded = frozenset(trees.identity_of(str(folder)) for folder in own if folder.is_dir())
    lister = Expander(base, format_, IgnorePatterns(snapshot.ignore, base), excluded, images)
    files: dict[str, ListedFile] = {}
    paths_without_shard: list[str] = []
    for path in snapshot.paths:
        matches = list(lister.expand(path))
        for match in matches:
            known = files.setdefault(match.entry.path, match)
            if match.named or (known.format is None and match.format is not None):
                files[match.entry.path] = match
        if not any(match.format is not None for match in matches):
            paths_without_shard.append(f"{path}{_unread_summary(matches)}")
    if paths_without_shard and any(file.format for file in files.values()):
        raise UsageError(
            f"no shard in {_some(paths_without_shard)}; remove the path from the spec, or find the missing files"
        )
    files = join_folders(files)
    _check_table_logs(files.values(), lister.ignore)
    _exclude_copies(files, snapshot)
    same_as = _exclude_other_names(files)
    if not any(file.format for file in files.values()):
        without_shard = paths_without_shard or [_some(list(snapshot.paths)) + _unread_summary(list(files.values()))]
        raise NoVerdictError(
            f"no shard in {_some(without_shard)}: an empty corpus has no verdict. Supported endings: "
            f"{lister.readable}. To read other names, set snapshot.format and name each file in snapshot.paths"
        )
    listing = _listing(files.values(), _namer({file.root for file in files.values()}), same_as)
    _check_names([shard.name for shard in listing.shards])
    return listing if snapshot.manifest is None else _join_manifest(listing, snapshot.manifest, base)


def list_shards(snapshot: SnapshotSpec, base: Path, images: bool = False) -> list[Shard]:
    """The shards of `list_files`; raises what that raises."""
    return list(list_files(snapshot, base, images=images).shards)


def common_folder(shards: Sequence[Shard]) -> str | None:
    """The folder or URL that the names of a snapshot's shards are relative to; None if they have no such folder."""
    ends = {shard.path.removesuffix(shard.name) for shard in shards if shard.path.endswith(f"/{shard.name}")}
    return ends.pop().rstrip("/") or "/" if len(ends) == 1 else None


def absolute_paths(snapshot: SnapshotSpec, base: Path) -> list[str]:
    """The paths, folders and globs of a spec as absolute paths or URLs."""
    return [absolute_path(path, base) for path in snapshot.paths]


def absolute_ignore(snapshot: SnapshotSpec, base: Path) -> list[str]:
    """The patterns of ``snapshot.ignore`` as written, then those with a slash again as absolute paths."""
    absolute = [absolute_path(pattern, base) for pattern in snapshot.ignore if "/" in pattern.rstrip("/")]
    return [*snapshot.ignore, *(pattern for pattern in absolute if pattern not in snapshot.ignore)]


def _exclude_copies(files: dict[str, ListedFile], snapshot: SnapshotSpec) -> None:
    """Mark copies that the datasets library keeps beside its data as unread; files named individually stay."""
    if snapshot.format not in ("auto", ShardFormat.ARROW):
        return
    arrow_paths = [path for path, file in files.items() if file.format is ShardFormat.ARROW and not file.named]
    for path, reason in arrow_copies(arrow_paths).items():
        if path in files:
            files[path] = replace(files[path], format=None, reason=reason)


def _exclude_other_names(files: dict[str, ListedFile]) -> dict[str, str]:
    """Mark all names of a file but one as unread; returns path -> the path under which the file is read."""
    shards = {path: file.entry.identity for path, file in files.items() if file.format is not None}
    same_as = other_names({path: identity for path, identity in shards.items() if identity is not None})
    for path in same_as:
        files[path] = replace(files[path], format=None, reason=UnreadReason.SAME_FILE)
    # A name without a known ending may be another name (a link) of a file that is read or rightly left out: then no
    # document is missing because of it.
    good = {file.entry.identity: file for file in files.values() if file.reason is None or not file.reason.may_be_data}
    good.pop(None, None)
    for path, file in files.items():
        other = good.get(file.entry.identity) if file.reason is UnreadReason.UNKNOWN_FORMAT else None
        if other is not None:
            files[path] = replace(file, reason=other.reason or UnreadReason.SAME_FILE)
            if other.reason in (None, UnreadReason.SAME_FILE):
                same_as[path] = same_as.get(other.entry.path, other.entry.path)
    return same_as | {path: file.entry.same_as for path, file in files.items() if file.entry.same_as is not None}


def _listing(files: Collection[ListedFile], name_of: Callable[[str], str], same_as: dict[str, str]) -> Listing:
    shards, unread = [], []
    for file in files:
        path, stat, name = file.entry.path, file.entry.stat, name_of(file.entry.path)
        if file.format is not None:
            assert stat is not None
            shards.append(Shard(path, name, file.format, stat.size, stat.stamp))
        else:
            assert file.reason is not None
            other = same_as.get(path)
            known_as = None if other is None else printable(name_of(other))
            unread.append(UnreadFile(path, printable(name), file.reason, stat.size if stat else None, known_as))
    return Listing(
        tuple(sorted(shards, key=lambda shard: os.fsencode(shard.name))),
        tuple(sorted(unread, key=lambda file: os.fsencode(file.name))),
    )


def _check_table_logs(files: Collection[ListedFile], ignore: IgnorePatterns) -> None:
    """Refuse files of a Delta or Hudi table whose log lies in a folder above them, outside the listed paths.

    On remote file systems only the listed folder itself is checked.
    """
    folders: dict[str, str] = {}
    for file in files:
        if file.format is None or file.named:
            continue
        if filesystems.is_url(file.root):
            folders[file.root] = file.root
            continue
        folder = parent_of(file.entry.path)
        while folder not in folders:
            folders[folder] = file.root
            folder = parent_of(folder)
    for folder, root in folders.items():
        for name in TABLE_LOGS:
            log = f"{folder.rstrip('/')}/{name}"
            if not ignore.matches(root, log) and filesystems.kind(log) == "folder":
                raise table_log(log, name)


def _unread_summary(matches: Sequence[ListedFile]) -> str:
    """The unread files that matched instead of shards, in parentheses; empty if nothing matched."""
    if not matches:
        return ""
    data = [match.entry.path for match in matches if match.reason is not None and match.reason.may_be_data]
    if data:
        verb = "is" if len(data) == 1 else "are"
        reasons = {match.reason for match in matches if match.reason is not None and match.reason.may_be_data}
        why = "".join(f": {UNREAD_WORDS[reason]}" for reason in reasons - {UnreadReason.UNKNOWN_FORMAT})
        return f" (found {files_by_ending(data)}, which {verb} not read{why if len(reasons) == 1 else ''})"
    reasons_of_others = Counter(match.reason.value.replace("_", " ") for match in matches if match.reason is not None)
    return f" (found only files that are {', '.join(sorted(reasons_of_others))})"


def _parts(path: str) -> list[str]:
    """Components of a path, of a URL with protocol and bucket, so that mixed snapshots keep distinct names."""
    protocol, marker, rest = path.partition("://")
    return [protocol, *rest.strip("/").split("/")] if marker else ["local", *Path(path).parts[1:]]


def _namer(roots: Iterable[str]) -> Callable[[str], str]:
    """A function from a path to its name: the path relative to the common folder of all roots."""
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
    unread_names = {
        "/".join(_parts(file.path)[len(folder) :]) if keyed is by_folder else file.name
        for file in listing.unread
        if file.reason in (UnreadReason.IGNORED, UnreadReason.SAME_FILE)
    }
    expected = {shard.path: entries[name] for name, shard in keyed.items() if name in entries}
    missing = [
        name for name in entries if name not in keyed and name not in unread_names and format_of(name) is not None
    ]
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
    more = f" and {len(names) - _MAX_SHOWN_NAMES} more" if len(names) > _MAX_SHOWN_NAMES else ""
    return ", ".join(names[:_MAX_SHOWN_NAMES]) + more
