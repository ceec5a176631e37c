"""datasets#6259: one file that is reached by two names was counted twice.

A pattern over ``2026-01-01/`` and ``latest -> 2026-01-01``, or two hard links of one file, gave 8 documents of 4.
Right: 4, and it is said. Two files with equal bytes are two files all the same, and links of the hub cache keep their
names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.schemas.spec.audit import SnapshotSpec

LINES = "".join(json.dumps({"text": f"document {n}"}) + "\n" for n in range(4))


def listed(base: Path, *paths: str) -> Listing:
    return list_files(SnapshotSpec(paths=paths), base)


def documents(listing: Listing) -> int:
    return sum(len(Path(shard.path).read_text().splitlines()) for shard in listing.shards)


def same(listing: Listing) -> dict[str, str | None]:
    return {file.name: file.same_as for file in listing.unread if file.reason.value == "same_file"}


@pytest.mark.parametrize("path", ["data", "data/*/*.jsonl", "data/**/*.jsonl", "data/**", "data/*"])
@pytest.mark.parametrize("name", ["latest", "0-latest"])
def test_a_link_to_a_folder_beside_it(tmp_path: Path, path: str, name: str) -> None:
    (tmp_path / "data" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "data" / "2026-01-01" / "a.jsonl").write_text(LINES)
    (tmp_path / "data" / name).symlink_to("2026-01-01")
    result = listed(tmp_path, path)
    assert documents(result) == 4
    assert [shard.name for shard in result.shards] == ["2026-01-01/a.jsonl"]
    assert same(result) in ({f"{name}/": "2026-01-01/"}, {f"{name}/a.jsonl": "2026-01-01/a.jsonl"})


def test_hard_links_and_links_to_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.jsonl").write_text(LINES)
    os.link(tmp_path / "data" / "b.jsonl", tmp_path / "data" / "c.jsonl")
    (tmp_path / "data" / "a.jsonl").symlink_to("c.jsonl")
    result = listed(tmp_path, "data")
    assert documents(result) == 4 and [shard.name for shard in result.shards] == ["b.jsonl"]
    assert same(result) == {"a.jsonl": "b.jsonl", "c.jsonl": "b.jsonl"}


def test_paths_that_overlap(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text(LINES)
    (tmp_path / "link").symlink_to("data")
    assert documents(listed(tmp_path, "data", "data/*.jsonl", "data/a.jsonl", "data/../data")) == 4
    result = listed(tmp_path, "link/*.jsonl", "data")
    assert documents(result) == 4 and same(result) == {"link/a.jsonl": "data/a.jsonl"}


def test_equal_bytes_in_two_files_count_twice(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "data" / name).write_text(LINES)
    result = listed(tmp_path, "data")
    assert documents(result) == 8 and not result.unread


def test_the_hub_cache_keeps_its_names(tmp_path: Path) -> None:
    """In the cache, equal files of a data set are one blob: the data set has both, one of them in two revisions."""
    cache = tmp_path / "datasets--x--y"
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / "0a1b").write_text(LINES)
    (cache / "blobs" / "ff00").write_text("---\n")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("r2")
    for revision in ("r1", "r2"):
        (cache / "snapshots" / revision / "data").mkdir(parents=True)
        for name in ("a.jsonl", "b.jsonl"):
            (cache / "snapshots" / revision / "data" / name).symlink_to("../../../blobs/0a1b")
        (cache / "snapshots" / revision / "README.md").symlink_to("../../blobs/ff00")
    first_listing = listed(tmp_path, "datasets--x--y/snapshots/r2")
    assert [shard.name for shard in first_listing.shards] == ["data/a.jsonl", "data/b.jsonl"] and documents(
        first_listing
    ) == 8
    both = listed(tmp_path, "datasets--x--y")
    assert documents(both) == 8
    assert not any(file.reason.may_be_data for file in both.unread), both.unread
