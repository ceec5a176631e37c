"""Finds files that are listed under several names, so that each counts once: links, hard links, overlapping paths.

Two files with equal bytes are two files. Stores that keep equal files once (the Hugging Face hub cache, git-annex) link
two files of a data set to one: there each name within the data set counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from corpus_audit.pipelines.reading.snapshot.trees import Identity, links_in

_HUB = re.compile(r"(.*)/snapshots/[^/]+/(.+)", re.DOTALL)


def other_names(files: Mapping[str, Identity]) -> dict[str, str]:
    """Paths that are further names of a file: path -> the path under which the file counts.

    The file counts under the path with the fewest links; of several, under the first by its bytes.

    Args:
        files: local paths and what identifies each file.
    """
    groups: dict[object, list[str]] = {}
    for path, identity in files.items():
        groups.setdefault(identity, []).append(path)
    first_names: dict[str, str] = {}
    for names in groups.values():
        if len(names) < 2:
            continue
        for same in _within_stores(names):
            first = _first(same)
            first_names |= {path: first for path in same if path != first}
    return first_names


def _first(same: list[str]) -> str:
    common = os.path.commonpath(same)
    return min(same, key=lambda path: (links_in(path, common), os.fsencode(path)))


def _within_stores(names: Iterable[str]) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for path in names:
        groups.setdefault(_name_in_store(path), []).append(path)
    return groups.values()


def _name_in_store(path: str) -> str:
    """The name within its data set of a link into a content store; empty for any other file."""
    target = os.path.realpath(path)
    if target == path:
        return ""
    folder = os.path.dirname(target)  # noqa: PTH120
    match = _HUB.fullmatch(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))  # noqa: PTH118, PTH119, PTH120
    if match is not None and folder == f"{match[1]}/blobs":
        return match[2]
    if "/.git/annex/objects/" in target:
        return path
    return ""
