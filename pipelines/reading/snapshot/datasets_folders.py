"""Folders that the datasets library writes: which of their Arrow files are the data, and which are processed copies.

``save_to_disk`` lists its files in ``state.json``. A cache folder keeps the results of ``map`` and ``filter`` beside
the data, as ``cache-<fingerprint>.arrow``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import UnreadReason

_COPY = re.compile(r"cache-[0-9a-f]{16}(_\d{5}_of_\d{5})?\.arrow")


def arrow_copies(paths: Iterable[str]) -> dict[str, UnreadReason]:
    """The Arrow files that are not part of their folder's data set: path -> reason.

    Args:
        paths: files of any format that were listed in folders or matched by patterns.

    Raises:
        UsageError: ``state.json`` names a file that is missing, or selects rows by an index.
    """
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        if path.lower().endswith(".arrow"):
            folder, _, name = path.rpartition("/")
            by_folder.setdefault(folder, []).append(name)
    unread: dict[str, UnreadReason] = {}
    for folder, names in by_folder.items():
        copies = {name for name in names if _COPY.fullmatch(name)}
        others = set(names) - copies
        state = _state(folder)
        if state is None:
            reason = UnreadReason.PROCESSED_COPY if others else UnreadReason.NOT_NAMED
            unread |= {f"{folder}/{name}": reason for name in copies}
            continue
        missing = [name for name in sorted(state - set(names)) if filesystems.kind(f"{folder}/{name}") is None]
        if missing:
            raise UsageError(f"{folder}/state.json names {missing[0]}, which is missing: the data set is incomplete")
        unread |= {f"{folder}/{name}": UnreadReason.PROCESSED_COPY for name in copies - state}
        unread |= {f"{folder}/{name}": UnreadReason.NOT_NAMED for name in others - state}
    return unread


def is_hub_reference(path: str) -> bool:
    """Whether a file is a reference of a hub cache (``refs/main``): the name of a revision, and no data."""
    above, marker, rest = path.rpartition("/refs/")
    return bool(marker) and filesystems.kind(f"{above}/snapshots") == "folder" and "/" not in rest.removeprefix("pr/")


def _state(folder: str) -> frozenset[str] | None:
    """The files that ``state.json`` of ``save_to_disk`` names; None where there is no such file."""
    path = f"{folder}/state.json"
    if filesystems.kind(path) != "file":
        return None
    try:
        with filesystems.open_binary(path) as file:
            state = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    if not isinstance(state, dict) or not isinstance(state.get("_data_files"), list):
        return None
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise UsageError(
            f"{path}: the data set selects its rows by an index, which is not supported; call "
            "flatten_indices() and save it again"
        )
    names = [entry.get("filename") for entry in state["_data_files"] if isinstance(entry, dict)]
    return frozenset(name for name in names if isinstance(name, str))
