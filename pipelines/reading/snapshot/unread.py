"""Summaries of the files among the shards that are not read: by ending, and as a phrase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from corpus_audit.pipelines.reading.snapshot.conventions import ending_of
from corpus_audit.schemas.run.snapshot import UnreadFile


def unread_data(files: Iterable[UnreadFile]) -> list[UnreadFile]:
    """The unread files that may be data."""
    return [file for file in files if file.reason.may_be_data]


def counted_endings(names: Iterable[str]) -> list[tuple[str, int]]:
    """(ending, number of files), the most frequent first; the ending is empty for names without one."""
    return sorted(Counter(map(ending_of, names)).items(), key=lambda item: (-item[1], item[0]))


def files_by_ending(names: Sequence[str]) -> str:
    """Files by ending as a phrase: ``12 .mds files and 1 file without an ending``; at most eight endings."""
    parts = []
    for ending, count in counted_endings(names)[:8]:
        noun = "file" if count == 1 else "files"
        parts.append(f"{count:,} {ending} {noun}" if ending else f"{count:,} {noun} without an ending")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
