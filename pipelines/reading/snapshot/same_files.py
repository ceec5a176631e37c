"""One file by two names counts once: links, hard links, and paths of the spec that overlap.

Equal bytes in two files are two files. Stores that keep equal files once (the Hugging Face hub cache, git-annex) link
two files of a data set to one: there each name within the data set counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from corpus_audit.pipelines.reading.snapshot.trees import Identity, links_in

_HUB = re.compile(r"(.*)/snapshots/[^/]+/(.+)", re.DOTALL)


def other_names(files: Mapping[str, Identity]) -> dict[str, str]:
    """Paths that are another name of a file: path -> the path under which the file counts.

    That is the one that leads over the fewest links, and of several the first by its bytes.

    Args:
        files: local paths and what identifies each file.
    """
    groups: dict[object, list[str]] = {}
    for path, identity in files.items():
        groups.setdefault(identity, []).append(path)
    found: dict[str, str] = {}
    for names in groups.values():
        if len(names) < 2:
            continue
        for same in _within_stores(names):
            first = _first(same)
            found |= {path: first for path in same if path != first}
    return found


def _first(same: list[str]) -> str:
    common = os.path.commonpath(same)
    return min(same, key=lambda path: (links_in(path, common), os.fsencode(path)))


def _within_stores(names: Iterable[str]) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for path in names:
        groups.setdefault(_name_in_store(path), []).append(path)
    return groups.values()


def _name_in_store(path: str) -> str:
    """What a link into a store of contents is called in its data set; empty for any other file."""
    target = os.path.realpath(path)
    if target == path:
        return ""
    place = os.path.dirname(target)  # noqa: PTH120
    found = _HUB.fullmatch(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))  # noqa: PTH118, PTH119, PTH120
    if found is not None and place == f"{found[1]}/blobs":
        return found[2]
    if "/.git/annex/objects/" in target:
        return path
    return ""
