"""The kind of datasets#5850, kagglehub#246, datasets#6259 and SPARK-7868 as one property over random trees of folders.

Every file below the root is either a shard or listed as unread, once; no two shards are one file; and the shards are
exactly the files that a plain walk reaches over folders and links whose names are not hidden.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.runners.audit.run_facts import listing_facts
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.spec.audit import SnapshotSpec

STEMS = st.sampled_from(["a", "b", "part-0", ".h", "_t", "README", "_k=1", "k=2", "cafe"])
DATA = (".jsonl", ".ndjson.gz", ".parquet", ".feather", ".jsonlines")
ENDINGS = st.sampled_from([*DATA, "", ".jsonl.xz", ".json", ".mds", ".tar", ".md", ".csv", ".crc"])
FOLDERS = st.sampled_from(["d0", "d1", "d2", "_tmp", ".git", "k=3", "_p=4"])
PLACES = st.lists(FOLDERS, max_size=3).map("/".join)
FILES = st.lists(st.tuples(PLACES, STEMS, ENDINGS), min_size=1, max_size=14)
LINKS = st.lists(
    st.tuples(PLACES, st.sampled_from(["l0", "l1", "l2.jsonl", "_l", "l3.xz"]), st.integers(0, 40)), max_size=6
)
HARD = st.lists(st.tuples(PLACES, st.sampled_from(["h0.jsonl", "h1.mds"]), st.integers(0, 40)), max_size=3)


def build(root: Path, files: list, links: list, hard: list) -> None:
    """The tree; links lead to files, to folders (also to those above them), out of the tree, and to nothing."""
    outside = root.parent / "outside"
    (outside / "more").mkdir(parents=True)
    (outside / "more" / "o.jsonl").write_text("o")
    (outside / "p.jsonl").write_text("p")
    for location, stem, ending in files:
        (root / location).mkdir(parents=True, exist_ok=True)
        if not (root / location / (stem + ending)).exists():
            (root / location / (stem + ending)).write_text(f"{location}/{stem}{ending}")
    targets = [root, outside, outside / "more", outside / "p.jsonl", root / "gone", *sorted(root.rglob("*"))]
    for location, name, at in hard:
        plain = [path for path in targets if path.is_file()]
        new = root / location / name
        new.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(new):
            os.link(plain[at % len(plain)], new)
    for location, name, at in links:
        new = root / location / name
        new.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(new):
            new.symlink_to(targets[at % len(targets)])


def reachable(root: Path) -> set[tuple[int, int]]:
    """Device and inode of every file with the name of a shard, over names that are not hidden."""
    result, seen, todo = set(), set(), [root]
    while todo:
        folder = todo.pop()
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        for path in folder.iterdir():
            if path.name[0] in "._":
                continue
            if path.is_dir():
                todo.append(path)
            elif path.is_file() and path.name.endswith(DATA):
                result.add((path.stat().st_dev, path.stat().st_ino))
    return result


def identities(listing: Listing) -> list[tuple[int, int]]:
    stats = [Path(shard.path).stat() for shard in listing.shards]
    return [(stat.st_dev, stat.st_ino) for stat in stats]


@settings(deadline=None, max_examples=60)
@given(FILES, LINKS, HARD, st.sampled_from(["", "/**", "/*"]))
def test_every_file_is_a_shard_or_is_unread_for_a_reason(files: list, links: list, hard: list, pattern: str) -> None:
    with tempfile.TemporaryDirectory() as location:
        root = Path(location).resolve() / "tree"
        root.mkdir()
        build(root, files, links, hard)
        expected = reachable(root)
        try:
            listing = list_files(SnapshotSpec(paths=(f"{root}{pattern}",)), root)
        except NoVerdictError:
            assert not expected
            return
        assert Counter(identities(listing)) == Counter(expected)
        shards, unread = {shard.path for shard in listing.shards}, {file.path for file in listing.unread}
        assert len(shards) + len(unread) == len(listing.shards) + len(listing.unread) and not shards & unread
        for folder, _, names in os.walk(root):
            for name in names:
                path = str(Path(folder, name))
                below = any(path.startswith(other) for other in unread if other.endswith("/"))
                assert (path in shards) + (path in unread) + below == 1, path
        facts = listing_facts(len(listing.shards), listing.unread)
        assert facts.seen == facts.read + sum(entry.files for entry in facts.unread.values())
        assert all(sum(entry.endings.values()) == entry.files for entry in facts.unread.values())
