"""Walks local folders: every folder is entered once, and names that are not regular files are reported.

A folder that has several names (a link to it, a link to a folder above it, a cycle of links) is listed under one of
them, the name without a link if there is one; every other name gives an entry of the kind `SAME_FOLDER`. Names that
begin with ``.`` or ``_`` are hidden, as in `pyarrow.dataset`, with everything below them: they are listed as hidden,
and links among them are not followed.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from corpus_audit.pipelines.reading.files.filesystems import FileStat, local_stat

Identity = tuple[int, int]
"""Device and inode: the same for every name of a file or folder."""


class EntryKind(Enum):
    """What a path is, as far as reading it is concerned."""

    FILE = auto()
    HIDDEN = auto()
    BROKEN_LINK = auto()
    SPECIAL = auto()
    SAME_FOLDER = auto()
    EXCLUDED = auto()


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A file, or a folder whose content is not listed; the path of a folder ends with a slash.

    Attributes:
        path: an absolute local path or a URL.
        kind: the kind of the entry.
        stat: its size and version; None for folders, broken links and special files.
        identity: the same for all names of one file; None if unknown.
        same_as: of `EntryKind.SAME_FOLDER`, the path under which the folder is listed.
    """

    path: str
    kind: EntryKind
    stat: FileStat | None = None
    identity: Identity | None = None
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and its entries, sorted by name; ``hidden`` if its name or that of a folder above it is."""

    path: str
    entries: tuple[os.DirEntry[str], ...]
    hidden: bool


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped by convention."""
    return name.startswith((".", "_"))


def links_in(path: str, above: str) -> int:
    """The number of symbolic links on the way to a path below the folder ``above``, links to links included."""
    links = 0
    while len(path) > len(above):
        step = path
        while os.path.islink(step) and links < 100:  # noqa: PTH114
            links += 1
            step = os.path.join(os.path.dirname(step), os.readlink(step))  # noqa: PTH115, PTH118, PTH120
        path = os.path.dirname(path)  # noqa: PTH120
    return links


def identity_of(path: str) -> Identity:
    """Device and inode of a file or folder, links followed.

    Raises:
        OSError: there is no such file or folder.
    """
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def read_folder(path: str) -> tuple[os.DirEntry[str], ...]:
    """The entries of a folder, sorted by the bytes of their names.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(path) as entries:
        return tuple(sorted(entries, key=lambda entry: os.fsencode(entry.name)))


def folders(
    root: str, excluded: Collection[Identity] = frozenset(), hidden: bool = False
) -> Iterator[Folder | PathEntry]:
    """A folder and every folder below it, each once.

    Args:
        root: the folder.
        excluded: folders that are not listed, such as the audit's own output.
        hidden: whether all of it is hidden.

    Yields:
        Folders as they are entered, and a `PathEntry` for each that is not: excluded, or listed under another name.

    Raises:
        OSError: a folder cannot be listed.
    """
    listed: dict[Identity, str] = {}
    # Linked folders wait until all real folders are listed under their own names, and links to links wait longer: the
    # name `latest` says less than that of the folder it points to.
    later = [(0, os.fsencode(root), root)]
    while later:
        stack = [(heapq.heappop(later)[2], hidden)]
        while stack:
            path, below_hidden = stack.pop()
            identity = identity_of(path)
            if identity in excluded:
                yield PathEntry(f"{path}/", EntryKind.EXCLUDED)
                continue
            if not below_hidden:
                if identity in listed:
                    yield PathEntry(f"{path}/", EntryKind.SAME_FOLDER, same_as=f"{listed[identity]}/")
                    continue
                listed[identity] = path
            try:
                entries = read_folder(path)
            except PermissionError:
                if not below_hidden:
                    raise
                yield PathEntry(f"{path}/", EntryKind.HIDDEN)
                continue
            yield Folder(path, entries, below_hidden)
            inner = []
            for entry in entries:
                entry_hidden = below_hidden or is_hidden(entry.name)
                if not is_folder(entry, follow=not entry_hidden):
                    continue
                if entry.is_symlink():
                    heapq.heappush(later, (links_in(entry.path, root), os.fsencode(entry.path), entry.path))
                else:
                    inner.append((entry.path, entry_hidden))
            stack += reversed(inner)


def walk(root: str, excluded: Collection[Identity] = frozenset(), hidden: bool = False) -> Iterator[PathEntry]:
    """Every file below a folder, and an entry for every folder that is not listed; see `folders`.

    Raises:
        OSError: a folder cannot be listed.
    """
    for folder in folders(root, excluded, hidden):
        if isinstance(folder, PathEntry):
            yield folder
            continue
        for entry in folder.entries:
            entry_hidden = folder.hidden or is_hidden(entry.name)
            if not is_folder(entry, follow=not entry_hidden):
                yield file_entry(entry.path, entry_hidden)


def is_folder(entry: os.DirEntry[str], follow: bool = True) -> bool:
    """Whether an entry is a folder or, with ``follow``, a link to a folder; False for a cycle of links."""
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def file_entry(path: str, hidden: bool = False) -> PathEntry:
    """The entry of a path that is not a folder: a file, a link or a special file."""
    try:
        status = os.lstat(path) if hidden else os.stat(path)  # noqa: PTH116
    except OSError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        return PathEntry(path, EntryKind.BROKEN_LINK)
    if hidden:
        return PathEntry(path, EntryKind.HIDDEN, local_stat(status))
    if not stat.S_ISREG(status.st_mode):
        return PathEntry(path, EntryKind.SPECIAL)
    return PathEntry(path, EntryKind.FILE, local_stat(status), (status.st_dev, status.st_ino))
