"""kagglehub#246, datumaro#1255: folders behind links were not listed, so that most of a corpus was left out.

``ln -s ../elsewhere/web data/web`` and ``paths: [data]`` read 1,100 of 4,100 documents and was COMPLETE, and `verify`
said VERIFIED after shards were added behind the link. Right: linked folders are read, cycles of links end, and an
unsigned shard there is refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.spec.audit import SnapshotSpec
from tests.checks.signoff.world import World, build_world, sign_world


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{{"text": "{name}"}}\n')


def listed(base: Path, *paths: str) -> Listing:
    return list_files(SnapshotSpec(paths=paths), base)


def names(listing: Listing) -> list[str]:
    return [shard.name for shard in listing.shards]


@pytest.mark.parametrize("path", ["data", "data/**", "data/**/*.jsonl", "data/*"])
def test_a_linked_folder_is_read(tmp_path: Path, path: str) -> None:
    put(tmp_path / "elsewhere", "web/b.jsonl", "web/deep/c.jsonl")
    put(tmp_path / "data", "code/a.jsonl")
    (tmp_path / "data" / "web").symlink_to("../elsewhere/web")
    assert names(listed(tmp_path, path)) == ["code/a.jsonl", "web/b.jsonl", "web/deep/c.jsonl"]


@pytest.mark.parametrize("path", ["data", "data/**", "data/**/*.jsonl", "data/*"])
def test_cycles_of_links_end(tmp_path: Path, path: str) -> None:
    put(tmp_path / "data", "a.jsonl", "code/b.jsonl")
    (tmp_path / "data" / "code" / "up").symlink_to("..")
    (tmp_path / "data" / "self").symlink_to("self")
    (tmp_path / "other").mkdir()
    put(tmp_path / "other", "c.jsonl")
    (tmp_path / "other" / "back").symlink_to("../data")
    (tmp_path / "data" / "web").symlink_to("../other")
    result = listed(tmp_path, path)
    assert names(result) == ["a.jsonl", "code/b.jsonl", "web/c.jsonl"]
    assert {file.reason.value for file in result.unread} <= {"same_file", "broken_link"}


def world_of_a_folder(root: Path) -> World:
    """A signed run whose snapshot is the whole folder, with a link in it."""
    world = build_world(root)
    (root / "elsewhere").mkdir()
    (world.corpus / "web").rename(root / "elsewhere" / "web")
    (world.corpus / "web").symlink_to("../elsewhere/web")
    timings = json.loads((world.run / "timings.json").read_bytes()) | {"paths": [str(world.corpus)]}
    sign_world(world)
    world.rewrite("timings.json", json.dumps(timings).encode())
    return world


@pytest.mark.parametrize("extra", ["web/unsigned.jsonl", "web/deep/unsigned.parquet", "web/unsigned.jsonl.xz"])
def test_verify_refuses_unsigned_files_behind_a_link(tmp_path: Path, extra: str) -> None:
    world = world_of_a_folder(tmp_path / "world")
    assert len(world.verify().shards) == 3
    put(tmp_path / "world" / "elsewhere", "web/README.md")  # is never data
    assert len(world.verify().shards) == 3
    put(tmp_path / "world" / "elsewhere", extra)
    with pytest.raises(VerificationError, match="unsigned") as refused:
        world.verify()
    assert refused.value.code == "shard_extra"


def test_verify_refuses_a_new_link_to_signed_shards(tmp_path: Path) -> None:
    world = world_of_a_folder(tmp_path / "world")
    (world.corpus / "again").symlink_to("../elsewhere/web")
    with pytest.raises(VerificationError, match="again") as refused:
        world.verify()
    assert refused.value.code == "shard_extra"


def test_the_folder_of_a_moved_corpus_is_requested(tmp_path: Path) -> None:
    """`verify` after a move did not mention --corpus."""
    world = sign_world(build_world(tmp_path / "world"))
    world.corpus.rename(tmp_path / "world" / "moved")
    with pytest.raises(VerificationError, match="give its folder with --corpus"):
        world.verify()
    assert len(world.verify(corpus=str(tmp_path / "world" / "moved")).shards) == 3
