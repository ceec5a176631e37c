"""A trace index: the segments of all splits of a snapshot, and what they hold in total.

The folder holds ``index.json``, which is replaced as a whole, and ``segments/``, with a folder for each split, named by
a digest of all that decides its content. `checked.json` notes the files whose bytes have been compared with their
digests, by their size and time of change.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.storage.array_files import check_arrays
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.pipelines.tracing.segment import Segment, map_segment
from corpus_audit.pipelines.tracing.words import WORDS_VERSION
from corpus_audit.schemas.errors import StoreError, UsageError

FORMAT = "corpus-audit/trace-index/1"
INDEX_FILE, CHECKED_FILE, SEGMENTS = "index.json", "checked.json", "segments"
SPLIT_FILE = "split.json"
"""The list of a split's segments, written last: a folder without it is not complete."""


@dataclass(frozen=True, slots=True)
class SegmentOrigin:
    """Where the documents of a segment come from.

    Attributes:
        shard: name of the shard.
        split: number of its split.
    """

    shard: str
    split: int


@dataclass(frozen=True)
class TraceIndex:
    """An opened trace index.

    Attributes:
        folder: its folder.
        facts: the content of its index.json.
        segments: its segments.
        origins: of each segment.
    """

    folder: Path
    facts: dict[str, Any]
    segments: tuple[Segment, ...]
    origins: tuple[SegmentOrigin, ...]

    @property
    def words(self) -> int:
        """Words of all documents, punctuation marks and symbols included."""
        return int(self.facts["counts"]["words_and_marks"])


def find_trace_index(path: Path) -> Path:
    """The folder of the index at ``path``, or in the folder ``trace`` of an audit's output folder.

    Raises:
        UsageError: there is none.
    """
    for folder in (path, path / "trace"):
        if (folder / INDEX_FILE).is_file():
            return folder
    raise UsageError(f"there is no trace index in {path}; 'corpus-audit trace build audit.yaml' builds one")


def read_facts(folder: Path) -> dict[str, Any]:
    """The content of an index's index.json.

    Raises:
        StoreError: it cannot be read, is of another version, or was made with another version of Unicode.
    """
    try:
        facts = json.loads((folder / INDEX_FILE).read_bytes())
        version = facts["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"cannot read {folder / INDEX_FILE}: {error}") from None
    if version != FORMAT:
        raise StoreError(f"{folder} is a trace index of another version: {version}; build it again")
    if facts["words_version"] != WORDS_VERSION:
        raise StoreError(
            f"{folder} was built with words of version {facts['words_version']}, and this Python has "
            f"{WORDS_VERSION}: build it again"
        )
    return dict(facts)


def open_trace_index(path: Path) -> TraceIndex:
    """Open an index; files that were not read since they were written are compared with their digests.

    Raises:
        UsageError: there is none.
        StoreError: a file is missing, damaged or of another version.
    """
    folder = find_trace_index(path)
    facts = read_facts(folder)
    _check_new_files(folder, facts)
    segments, origins = [], []
    for split in facts["splits"]:
        for file in split["segments"]:
            segments.append(map_segment(folder / SEGMENTS / file["path"], file["sha256"]))
            origins.append(SegmentOrigin(split["shard"], split["split"]))
    return TraceIndex(folder, facts, tuple(segments), tuple(origins))


def damaged_segments(folder: Path, facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of an index that are missing or damaged, and what is wrong with each; every byte is read."""
    for file in _files(facts):
        path = folder / SEGMENTS / file["path"]
        try:
            map_segment(path, file["sha256"])
            check_arrays(path)
        except StoreError as error:
            yield file["path"], str(error)


def publish_trace_index(folder: Path, name: str, splits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Write index.json, and remove the segments of splits that it does not name; returns its content.

    Args:
        folder: the index's folder.
        name: the audit's name.
        splits: what `build.split_facts` returns for each split of the snapshot, with its ``shard`` and ``split``.
    """
    counts: Counter[str] = Counter()
    domains: dict[str, Counter[str]] = {}
    for split in splits:
        counts.update(split["counts"])
        for domain, numbers in split["domains"].items():
            domains.setdefault(domain, Counter()).update(numbers)
    facts = {
        "schema": FORMAT,
        "name": name,
        "words_version": WORDS_VERSION,
        "counts": dict(counts),
        "domains": {domain: dict(domains[domain]) for domain in sorted(domains)},
        "splits": [{key: split[key] for key in ("shard", "split", "segments")} for split in splits],
    }
    atomic_write(folder / INDEX_FILE, json.dumps(facts, ensure_ascii=False).encode())
    used = {Path(file["path"]).parts[0] for file in _files(facts)} | {split["folder"] for split in splits}
    for path in (folder / SEGMENTS).iterdir():
        if path.name not in used:
            shutil.rmtree(path, ignore_errors=True)
    return facts


def _files(facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    seen = set()
    for split in facts["splits"]:
        for file in split["segments"]:
            if file["path"] not in seen:  # two shards of equal bytes have the same segments
                seen.add(file["path"])
                yield file


def _check_new_files(folder: Path, facts: dict[str, Any]) -> None:
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = dict(json.loads((folder / CHECKED_FILE).read_bytes()))
    stamps: dict[str, Any] = {}
    for file in _files(facts):
        path = folder / SEGMENTS / file["path"]
        try:
            status = path.stat()
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error}; build the index again") from None
        stamp = [file["sha256"], status.st_size, status.st_mtime_ns, status.st_ino]
        if known.get(file["path"]) != stamp:
            check_arrays(path)
        stamps[file["path"]] = stamp
    if stamps != known:
        with suppress(OSError):  # an index that cannot be written to is checked every time
            atomic_write(folder / CHECKED_FILE, json.dumps(stamps).encode())


def domain_counts(segment: Segment) -> dict[str, dict[str, int]]:
    """Documents and words, by domain."""
    documents = np.bincount(segment.domain_codes, minlength=len(segment.domains))
    words = np.bincount(segment.domain_codes, segment.document_words, len(segment.domains))
    return {
        name: {"documents": int(documents[code]), "words": int(words[code])}
        for code, name in enumerate(segment.domains)
    }
