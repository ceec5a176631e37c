"""Walks local folders: linked folders are entered once, and names that are no plain files are reported.

A folder that is reached by several names (a link to it, a link to a folder above it, a cycle of links) is listed under
one of them, under the one without a link where there is one; every other name gives one entry that says so. Names
that begin with ``.`` or ``_`` are hidden, as in `pyarrow.dataset`, with all that is below them: they are listed, as
hidden, and links among them are not entered.
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


class Kind(Enum):
    """Kind of an entry of a folder."""

    FILE = auto()
    HIDDEN = auto()
    BROKEN_LINK = auto()
    SPECIAL = auto()
    SAME_FOLDER = auto()
    EXCLUDED = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder that is not listed further; the path of a folder ends with a slash.

    Attributes:
        path: where it is.
        kind: what it is.
        stat: its size and version; None for folders, broken links and what is no file.
        identity: the same for all names of one file; None where that is not known.
        same_as: of `Kind.SAME_FOLDER`, the path under which the folder is listed.
    """

    path: str
    kind: Kind
    stat: FileStat | None = None
    identity: Identity | None = None
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and what it holds, by name; ``hidden`` if its name or one above it is."""

    path: str
    entries: tuple[os.DirEntry[str], ...]
    hidden: bool


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped by convention."""
    return name.startswith((".", "_"))


def links_in(path: str, above: str) -> int:
    """How many links a path leads over, those of links to links counted, apart from those in the folder above."""
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
    found = os.stat(path)  # noqa: PTH116
    return found.st_dev, found.st_ino


def read_folder(path: str) -> tuple[os.DirEntry[str], ...]:
    """What a folder holds, sorted by the bytes of the names.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(path) as entries:
        return tuple(sorted(entries, key=lambda entry: os.fsencode(entry.name)))


def folders(root: str, excluded: Collection[Identity] = frozenset(), hidden: bool = False) -> Iterator[Folder | Entry]:
    """A folder and every folder below it, each once.

    Args:
        root: the folder.
        excluded: folders that are not listed, such as the audit's own output.
        hidden: whether all of it is hidden.

    Yields:
        Folders as they are entered, and an `Entry` for each that is not: excluded, or listed under another name.

    Raises:
        OSError: a folder cannot be listed.
    """
    listed: dict[Identity, str] = {}
    # Linked folders wait until all folders proper are listed under their own names, and links to links wait longer:
    # `latest` is a worse name than what it leads to.
    later = [(0, os.fsencode(root), root)]
    while later:
        stack = [(heapq.heappop(later)[2], hidden)]
        while stack:
            path, below_hidden = stack.pop()
            identity = identity_of(path)
            if identity in excluded:
                yield Entry(f"{path}/", Kind.EXCLUDED)
                continue
            if not below_hidden:
                if identity in listed:
                    yield Entry(f"{path}/", Kind.SAME_FOLDER, same_as=f"{listed[identity]}/")
                    continue
                listed[identity] = path
            try:
                entries = read_folder(path)
            except PermissionError:
                if not below_hidden:
                    raise
                yield Entry(f"{path}/", Kind.HIDDEN)
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


def walk(root: str, excluded: Collection[Identity] = frozenset(), hidden: bool = False) -> Iterator[Entry]:
    """Every file below a folder, and what stands for folders that are not listed further; see `folders`.

    Raises:
        OSError: a folder cannot be listed.
    """
    for folder in folders(root, excluded, hidden):
        if isinstance(folder, Entry):
            yield folder
            continue
        for entry in folder.entries:
            entry_hidden = folder.hidden or is_hidden(entry.name)
            if not is_folder(entry, follow=not entry_hidden):
                yield file_entry(entry.path, entry_hidden)


def is_folder(entry: os.DirEntry[str], follow: bool = True) -> bool:
    """Whether an entry is a folder or, with ``follow``, a link to one; a cycle of links is none."""
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def file_entry(path: str, hidden: bool = False) -> Entry:
    """The entry of a file, link or other name that is no folder."""
    try:
        found = os.lstat(path) if hidden else os.stat(path)  # noqa: PTH116
    except OSError:
        if not os.path.islink(path):  # noqa: PTH114
            raise
        return Entry(path, Kind.BROKEN_LINK)
    if hidden:
        return Entry(path, Kind.HIDDEN, local_stat(found))
    if not stat.S_ISREG(found.st_mode):
        return Entry(path, Kind.SPECIAL)
    return Entry(path, Kind.FILE, local_stat(found), (found.st_dev, found.st_ino))
