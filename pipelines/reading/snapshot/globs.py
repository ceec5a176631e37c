"""Matches glob patterns (``**``, ``*``, ``?``, ``[]``, ``{a,b}``) against local paths, one component at a time.

A component that exists literally is that file or folder: ``data[1]/*.jsonl`` is the folder ``data[1]``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from fnmatch import translate

from corpus_audit.pipelines.reading.snapshot.trees import (
    Identity,
    PathEntry,
    file_entry,
    folders,
    is_folder,
    is_hidden,
    read_folder,
    walk,
)
from corpus_audit.schemas.errors import UsageError

_MAGIC = "*?["
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def is_pattern(path: str) -> bool:
    """Whether a path has a wildcard; braces are expanded before."""
    return any(sign in path for sign in _MAGIC)


def expand_braces(pattern: str, local: bool = True) -> list[str]:
    """The patterns that ``{a,b}`` expands to, in order; braces in a name that exists are literal.

    Args:
        pattern: an absolute path or a URL.
        local: whether the pattern is a local path, so that existing names are looked up.
    """
    for braces in _BRACES.finditer(pattern):
        end = pattern.find("/", braces.end())
        name = pattern[: end if end >= 0 else None]
        if local and not is_pattern(name) and os.path.lexists(name):
            continue
        around = pattern[: braces.start()], pattern[braces.end() :]
        options = [f"{around[0]}{option}{around[1]}" for option in braces[1].split(",")]
        return list(dict.fromkeys(each for option in options for each in expand_braces(option, local)))
    return [pattern]


def static_root(pattern: str, local: bool = True) -> tuple[str, list[str]]:
    """The folder before the first component with a wildcard, and the components from there on.

    Raises:
        UsageError: a component is both a name that exists and a pattern that matches others.
    """
    protocol, marker, rest = pattern.partition("://") if not local else ("", "", pattern)
    parts = rest.split("/")
    root = parts.pop(0)
    while parts and (not is_pattern(parts[0]) or (local and _is_name(root or "/", parts[0]))):
        root = f"{root}/{parts.pop(0)}"
    return f"{protocol}{marker}{root}" or "/", parts


def match(root: str, parts: list[str], excluded: Collection[Identity] = frozenset()) -> Iterator[PathEntry]:
    """The files that match below a folder; a folder that matches the last component is listed recursively.

    Hidden names (see `trees`) are yielded as hidden, unless the component begins with the same character.

    Args:
        root: the folder.
        parts: the components below it.
        excluded: folders that are not listed.

    Raises:
        OSError: a folder cannot be listed.
        UsageError: a component is both a name that exists and a pattern that matches others.
    """
    if not os.path.isdir(root):  # noqa: PTH112
        return
    yield from _match(root, parts, excluded, hidden=False, anywhere=False)


def _match(
    folder: str, parts: list[str], excluded: Collection[Identity], hidden: bool, anywhere: bool
) -> Iterator[PathEntry]:
    part, rest = parts[0], parts[1:]
    if part in ("", "."):
        if rest:
            yield from _match(folder, rest, excluded, hidden, anywhere)
        else:
            yield from walk(folder, excluded, hidden)
        return
    if part == "**":
        if not rest:
            yield from walk(folder, excluded, hidden)
            return
        for below in folders(folder, excluded, hidden):
            if isinstance(below, PathEntry):
                yield below
            else:
                yield from _match(below.path, rest, excluded, below.hidden, anywhere=True)
        return
    for entry in _matching_entries(folder, part):
        entry_hidden = hidden or (is_hidden(entry.name) and part[0] != entry.name[0])
        if not is_folder(entry, follow=not entry_hidden):
            if not rest:
                yield file_entry(entry.path, entry_hidden)
        elif rest:
            yield from _match(entry.path, rest, excluded, entry_hidden, anywhere=False)
        elif not (anywhere and part == "*"):  # otherwise ** has already listed its files
            yield from walk(entry.path, excluded, entry_hidden)


def _matching_entries(folder: str, part: str) -> list[os.DirEntry[str]]:
    entries = read_folder(folder)
    if not is_pattern(part) or _is_name(folder, part):
        return [entry for entry in entries if entry.name == part]
    matches = re.compile(translate(part)).match
    return [entry for entry in entries if matches(entry.name)]


def _is_name(folder: str, part: str) -> bool:
    """Whether a component with brackets is a name that exists."""
    if any(sign in part for sign in "*?"):
        return False
    path = os.path.join(folder, part)  # noqa: PTH118
    if not os.path.lexists(path):
        return False
    matches = re.compile(translate(part)).match
    other = next((entry.name for entry in read_folder(folder) if matches(entry.name)), None)
    if other is not None:
        escaped = part.replace("[", "[[]")
        raise UsageError(
            f"{path} exists, but as a pattern it also matches {other!r}: write {escaped!r} for the file of this exact "
            "name, or name the other file directly"
        )
    return True
