"""Folders of images as shards: the archive that they make, its splits, the metadata, and how they are listed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.pipelines.reading.documents.path_patterns import path_values
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.unchanged import check_unchanged
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.listing import list_files
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run.snapshot import ShardFormat, UnreadReason
from corpus_audit.schemas.spec.audit import DocumentSpec, PathSource, SnapshotSpec
from tests.pipelines.reading.image_shards import FOLDER_SETTINGS, image_shard, images_of, png, read_images

IMAGES = {f"{seed}.png": png(seed) for seed in range(5)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cat"
    path.mkdir()
    for name, data in IMAGES.items():
        (path / name).write_bytes(data)
    return path


def archive(folder: Path) -> bytes:
    with filesystems.open_binary(f"{folder}/") as file:
        return file.read()


def test_the_bytes_are_those_of_an_archive(folder: Path) -> None:
    (folder / ("n" * 120 + "é.png")).write_bytes(IMAGES["0.png"])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("not part of it")
    (folder / ".hidden.png").write_bytes(b"nor is this")
    data = archive(folder)
    shard = image_shard(folder)
    assert (len(data), shard.format, shard.name) == (shard.size, ShardFormat.IMAGE_FOLDER, "cat/")
    assert plan_shard(shard, None, lambda count: None).sha256 == hashlib.sha256(data).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        names = read.getnames()
        assert names == sorted(names, key=os.fsencode) and len(names) == 7
        for name in names:
            assert read.extractfile(name).read() == (folder / name).read_bytes()  # type: ignore[union-attr]
    with filesystems.open_binary(f"{folder}/") as file:
        for start, size in ((0, 1), (511, 3), (700, 5_000), (len(data) - 3, 99)):
            file.seek(start)
            assert file.read(size) == data[start : start + size]


def test_gnu_tar_makes_the_same_archive(folder: Path) -> None:
    options = ["--format=gnu", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=0644"]
    command = ["tar", "-b", "1", *options, "-cf", "-", *IMAGES]
    try:
        made = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no GNU tar here")
    assert made == archive(folder)


def test_a_change_to_any_file_is_noticed(folder: Path) -> None:
    shard = image_shard(folder)
    check_unchanged(shard)
    (folder / "2.png").write_bytes(IMAGES["2.png"][:-1] + b"?")
    with pytest.raises(ShardError, match="changed while it was read"):
        check_unchanged(shard)
    (folder / "2.png").unlink()
    with pytest.raises(ShardError, match="bytes when listed"):
        check_unchanged(shard)


@pytest.mark.parametrize("split_bytes", [1, 2_100, 10**9])
def test_splits_hold_every_image_once(folder: Path, split_bytes: int) -> None:
    documents = read_images(folder, FOLDER_SETTINGS, split_bytes)
    assert documents.ids == list(IMAGES)
    assert images_of(documents) == list(IMAGES.values())
    assert len(documents.tallies) == (1 if split_bytes == 10**9 else 5 if split_bytes == 1 else 3)
    assert plan_shard(image_shard(folder), None, lambda count: None).rows == 5


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_metadata_gives_columns(folder: Path, kind: str) -> None:
    rows = [
        {"file_name": "1.png", "source": "a", "caption": "one, with a comma"},
        {"file_name": "3.png", "source": "b", "caption": ""},
        {"file_name": "gone.png", "source": "b", "caption": "no image"},
    ]
    if kind == "jsonl":
        rows[1]["caption"] = None  # type: ignore[assignment]
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = '\ufefffile_name,source,caption\n1.png,a,"one, with a comma"\n3.png,b,\ngone.png,b,no image\n'
    (folder / f"metadata.{kind}").write_text(text, encoding="utf-8")
    documents = read_images(folder, FOLDER_SETTINGS, 2_100)
    assert documents.texts == ["", "one, with a comma", "", "", ""]
    assert documents.domains == ["(none)", "a", "(none)", "b", "(none)"]
    assert documents.dead == {"missing_image": 1}
    captioned = [flag for batch in documents.batches for flag in batch.captioned.tolist()]  # type: ignore[union-attr]
    assert captioned == [False, True, False, False, False]
    assert plan_shard(image_shard(folder), None, lambda count: None).rows is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"metadata.jsonl": '{"file_name": "1.png"}\n{"file_name": "1.png"}\n'}, "names '1.png' twice"),
        ({"metadata.jsonl": '{"name": "1.png"}\n'}, "row 1 of its metadata.jsonl has no file_name"),
        ({"metadata.jsonl": "[1]\n"}, "no JSON object"),
        ({"metadata.csv": "file_name,a\n1.png\n"}, "another number of values"),
        ({"metadata.csv": "file_name\n1.png\n", "metadata.jsonl": ""}, "has both"),
    ],
)
def test_metadata_that_is_not_clear_is_an_error(folder: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(ShardError, match=message):
        read_images(folder, FOLDER_SETTINGS)


def test_listing_makes_a_shard_of_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dog" / "small").mkdir(parents=True)
    (tmp_path / "dog" / "small" / "1.jpeg").write_bytes(b"?")
    (tmp_path / "more.tar").write_bytes(b"?")
    (tmp_path / "rows.jsonl").write_bytes(b"{}\n")
    (tmp_path / "metadata.csv").write_bytes(b"file_name\ncat/0.png\n")
    listing = list_files(SnapshotSpec(paths=(str(tmp_path),)), tmp_path, images=True)
    assert [(shard.name, shard.format.value) for shard in listing.shards] == [
        ("cat/", "imagefolder"),
        ("dog/small/", "imagefolder"),
        ("more.tar", "tar"),
    ]
    assert {file.name: file.reason for file in listing.unread} == dict.fromkeys(
        ("rows.jsonl", "metadata.csv"), UnreadReason.UNKNOWN_FORMAT
    )
    itself = list_files(SnapshotSpec(paths=("cat",)), tmp_path, images=True)
    assert [shard.name for shard in itself.shards] == ["cat/"]
    without = list_files(SnapshotSpec(paths=(str(tmp_path),)), tmp_path)
    assert [shard.name for shard in without.shards] == ["rows.jsonl"]


def test_a_folder_is_listed_whole_or_not_at_all(folder: Path) -> None:
    (folder / "9.jpg").write_bytes(b"?")
    with pytest.raises(UsageError, match=r"9\.jpg is not among snapshot\.paths"):
        list_files(SnapshotSpec(paths=("cat/*.png",)), folder.parent, images=True)
    with pytest.raises(UsageError, match=r"9\.jpg is not among snapshot\.paths"):
        list_files(SnapshotSpec(paths=("cat",), ignore=("9.*",)), folder.parent, images=True)
    assert list_files(SnapshotSpec(paths=("cat/*.{png,jpg}",)), folder.parent, images=True).shards


@pytest.mark.parametrize("pattern", ["{domain}/*.png", "**/{domain}/*", "{domain}/**"])
def test_domains_come_from_folders(folder: Path, pattern: str) -> None:
    document = DocumentSpec(image="image", domain=PathSource(path=pattern))
    assert path_values(image_shard(folder), document) == {"domain": "cat"}
    assert read_images(folder, ReadSettings(document)).domains == ["cat"] * 5


def test_domains_do_not_come_from_names_of_images(folder: Path) -> None:
    document = DocumentSpec(image="image", domain=PathSource(path="cat/{domain}.png"))
    with pytest.raises(UsageError, match="values come from the names of folders"):
        path_values(image_shard(folder), document)
