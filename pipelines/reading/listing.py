"""From the paths of a spec to the shards of a snapshot, in the order of their names."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from corpus_audit.pipelines.reading import filesystems
from corpus_audit.pipelines.reading.filesystems import FileStat
from corpus_audit.pipelines.reading.manifest import manifest_folder, read_manifest
from corpus_audit.pipelines.reading.names import name_problem
from corpus_audit.schemas.audit import SnapshotSpec
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.snapshot import Shard, ShardFormat

SUFFIXES: dict[str, ShardFormat] = {
    ".parquet": ShardFormat.PARQUET,
    ".pq": ShardFormat.PARQUET,
    **dict.fromkeys((".jsonl", ".ndjson"), ShardFormat.JSONL),
    **dict.fromkeys((".jsonl.gz", ".ndjson.gz", ".json.gz"), ShardFormat.JSONL_GZ),
    **dict.fromkeys((".jsonl.zst", ".ndjson.zst", ".json.zst"), ShardFormat.JSONL_ZST),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), ShardFormat.ARROW),
}
"""File name endings (in any case) that are read; a folder's other files are ignored."""

_NAMED = 20  # names that an error lists before it says how many more there are


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    stat: FileStat
    format: ShardFormat
    root: str


def list_shards(snapshot: SnapshotSpec, base: Path) -> list[Shard]:
    """The shards that a spec names, sorted by the bytes of their names.

    Args:
        snapshot: files, folders (read recursively, known suffixes only, hidden names skipped) and globs, and the
            manifest if there is one.
        base: the folder that relative paths start from.

    Names are relative to the common folder of everything that the spec lists; a file that is reached twice is listed
    once. Names in a manifest are relative to the manifest's folder or, if that fits none, to the common folder.

    Raises:
        UsageError: a path or pattern matches nothing, a format cannot be told, a name is unsafe or ambiguous, or
            manifest and files do not agree.
        NoVerdictError: there is not a single shard.
    """
    found: dict[str, _Found] = {}
    empty: list[str] = []
    for path in snapshot.paths:
        matches = _expand(path, snapshot.format, base)
        if not matches:
            empty.append(path)
        for match in matches:
            found.setdefault(match.path, match)
    if not found:
        raise NoVerdictError(f"no shard in {_some(empty)}: an empty corpus has no verdict")
    if empty:
        raise UsageError(f"no shard in {_some(empty)}; take the path out of the spec or look for the missing files")
    names = _names(list(found.values()))
    _check_names(list(names.values()))
    shards = [
        Shard(item.path, names[item.path], item.format, item.stat.size, item.stat.stamp) for item in found.values()
    ]
    shards.sort(key=lambda shard: shard.name.encode())
    return shards if snapshot.manifest is None else _join_manifest(shards, snapshot.manifest, base)


def common_folder(shards: list[Shard]) -> str | None:
    """The folder or URL that the names of a snapshot's shards are relative to; None if there is no such place."""
    ends = {shard.path.removesuffix(shard.name) for shard in shards if shard.path.endswith(f"/{shard.name}")}
    return ends.pop().rstrip("/") or "/" if len(ends) == 1 else None


def absolute_paths(snapshot: SnapshotSpec, base: Path) -> list[str]:
    """The paths, folders and globs of a spec without the folder that they start from."""
    return [absolute_path(path, base) for path in snapshot.paths]


def format_of(name: str) -> ShardFormat | None:
    """The format that a file name stands for, or None."""
    lower = name.lower()
    return next((format_ for suffix, format_ in SUFFIXES.items() if lower.endswith(suffix)), None)


def _expand(path: str, format_: str, base: Path) -> list[_Found]:
    where = absolute_path(path, base)
    asked = None if format_ == "auto" else ShardFormat(format_)
    try:
        kind = filesystems.kind(where)
        if kind == "folder":
            return _folder(where, asked)
        if kind == "file":
            known = asked or format_of(where)
            if known is None:
                raise UsageError(f"{path}: the format cannot be told from the name; set snapshot.format")
            return [_Found(where, filesystems.stat_file(where), known, _parent(where))]
        if any(sign in where for sign in "*?["):
            return _glob(path, where, asked)
    except OSError as error:
        raise UsageError(f"{path}: cannot be listed: {error}") from error
    raise UsageError(f"{path}: there is no such file or folder")


def absolute_path(path: str, base: Path) -> str:
    """A path, folder or glob of a spec without the folder that it starts from; URLs as they are."""
    path = filesystems.local_or_url(path)
    # abspath, not resolve: a link keeps its own name (a hub cache is links to blobs without suffixes).
    return path if filesystems.is_url(path) else os.path.abspath(base / path)  # noqa: PTH100


def _folder(where: str, asked: ShardFormat | None) -> list[_Found]:
    found = []
    for file, stat in filesystems.list_folder(where):
        known = format_of(file)
        if known is not None and asked in (None, known):
            found.append(_Found(file, stat, known, where.rstrip("/") or "/"))
    return found


def _glob(pattern: str, where: str, asked: ShardFormat | None) -> list[_Found]:
    first = min(where.find(sign) for sign in "*?[" if sign in where)
    root = where[:first].rpartition("/")[0]
    found = []
    matched = False
    for file, stat in filesystems.match_glob(where):
        if stat is None:
            if not where.endswith("**"):  # the files below are matched by themselves
                found += [replace(item, root=root) for item in _folder(file, asked)]
            continue
        matched = True
        known = asked or format_of(file)
        if known is not None:
            found.append(_Found(file, stat, known, root))
    if not found:
        problem = "the format of its matches cannot be told; set snapshot.format" if matched else "it matches no file"
        raise UsageError(f"{pattern}: {problem}")
    return found


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _parts(path: str) -> list[str]:
    """Components; a URL's begin with its protocol and bucket, so that mixed snapshots keep distinct names."""
    protocol, marker, rest = path.partition("://")
    return [protocol, *rest.strip("/").split("/")] if marker else ["local", *Path(path).parts[1:]]


def _names(found: list[_Found]) -> dict[str, str]:
    common = os.path.commonprefix([_parts(item.root) for item in found])  # noqa: RUF071 (of lists, not of strings)
    return {item.path: "/".join(_parts(item.path)[len(common) :]) for item in found}


def _check_names(names: list[str]) -> None:
    problem = name_problem(names)
    if problem is not None:
        raise UsageError(problem)
    if len(set(names)) != len(names):
        raise UsageError("two shards have the same name")


def _join_manifest(shards: list[Shard], manifest: str, base: Path) -> list[Shard]:
    path = absolute_path(manifest, base)
    entries = read_manifest(path)
    folder = _parts(manifest_folder(path))
    by_folder = {
        "/".join(parts[len(folder) :]): shard
        for shard in shards
        if (parts := _parts(shard.path))[: len(folder)] == folder
    }
    by_name = {shard.name: shard for shard in shards}
    keyed = max((by_folder, by_name), key=lambda names: len(names.keys() & entries.keys()))
    expected = {shard.path: entries[name] for name, shard in keyed.items() if name in entries}
    missing = [name for name in entries if name not in keyed and format_of(name) is not None]
    unlisted = [shard.name for shard in shards if shard.path not in expected]
    problems = []
    if missing:
        problems.append(f"listed, but not in the snapshot: {_some(missing)}")
    if unlisted:
        problems.append(f"in the snapshot, but not listed: {_some(unlisted)}")
    if problems:
        raise UsageError(f"manifest {manifest}: {'; '.join(problems)}")
    return [replace(shard, expected_sha256=expected[shard.path]) for shard in shards]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
