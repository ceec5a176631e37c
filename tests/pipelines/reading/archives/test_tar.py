"""Tar archives of images: members joined by key, every cut an error, odd members counted."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.archives.samples import key_and_ending
from corpus_audit.pipelines.reading.archives.tar_members import Content, Member, MemberKind, read_members
from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import DocumentSpec, ImagesSpec, LimitsSpec
from tests.pipelines.reading.image_shards import SETTINGS, images_of, png, read_images, tar
from tests.pipelines.reading.shard_files import zstd

IMAGES = [png(seed) for seed in range(4)]
SHARD = Shard("/a.tar", "a.tar", ShardFormat.TAR, 0, "")


def samples(count: int = 3) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    members: list[tuple[str | tarfile.TarInfo, bytes]] = []
    for i in range(count):
        members.append((f"d/{i:03}.png", IMAGES[i]))
        members.append((f"d/{i:03}.json", json.dumps({"source": "ab"[i % 2], "meta": {"n": i}}).encode()))
        members.append((f"d/{i:03}.txt", f"caption {i}".encode()))
    return members


def members_of(data: bytes) -> list[tuple[Member, bytes]]:
    return [(member, content.read()) for member, content in read_members(SHARD, io.BytesIO(data).read)]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst"])
def test_members_are_joined_by_key(tmp_path: Path, name: str) -> None:
    data = tar(samples(), pad=True)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else zstd(data) if name.endswith("zst") else data)
    documents = read_images(path)
    assert documents.texts == ["caption 0", "caption 1", "caption 2"]
    assert documents.ids == ["d/000", "d/001", "d/002"]
    assert documents.domains == ["a", "b", "a"]
    assert images_of(documents) == IMAGES[:3]
    assert documents.tallies[0].row_bytes == sum(len(data) for _, data in samples())


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_cut_is_never_silent(format_: int) -> None:
    members = [("a.png", b"\1" * 700), ("b" * 120 + ".png" if format_ else "b.png", b""), ("c.png", b"\1" * 512)]
    data = tar(members, format_)
    assert [len(content) for _, content in members_of(data)] == [700, 0, 512]
    # At every member's end, at every block, and around them; only zeros after both end blocks can be missing unseen.
    for stop in sorted({max(0, block + odd) for block in range(0, len(data), 512) for odd in (-1, 0, 1, 100)}):
        if stop < len(data):
            with pytest.raises(ShardError, match="truncated"):
                members_of(data[:stop])


def test_a_cut_of_a_compressed_archive_is_never_silent(tmp_path: Path) -> None:
    data = gzip.compress(tar(samples()), mtime=0)
    path = tmp_path / "a.tar.gz"
    for stop in (*range(1, len(data), 97), len(data) - 1):
        path.write_bytes(data[:stop])
        with pytest.raises(ShardError):
            read_images(path)


def test_a_changed_header_is_damage() -> None:
    data = bytearray(tar([("a.png", b"12345")]))
    for position in (0, 124, 148, 156, 345, 500):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(ShardError, match=r"damaged|truncated"):
            members_of(bytes(changed))


def test_what_follows_the_end_is_said() -> None:
    data = tar([("a.png", b"1")])
    assert len(members_of(data + bytes(9_216))) == 1
    with pytest.raises(ShardError, match="goes on after the two blocks"):
        members_of(data + data)
    with pytest.raises(ShardError, match="lone block of zeros"):
        members_of(bytes(512) + data)


def test_names_and_sizes_of_all_dialects() -> None:
    long = "folder/" + "n" * 150 + ".png"
    for format_ in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert members_of(tar([(long, b"x"), ("é.png", b"y")], format_)) == [
            (Member(long, MemberKind.FILE, 1), b"x"),
            (Member("é.png", MemberKind.FILE, 1), b"y"),
        ]
    prefix = "p" * 100 + "/" + "n" * 90 + ".png"
    assert [member.name for member, _ in members_of(tar([(prefix, b"")]))] == [prefix]
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"path": "b.png"}
    assert members_of(tar([(info, b"1")], tarfile.PAX_FORMAT))[0][0].name == "b.png"
    large = tarfile.TarInfo("large.bin")
    large.size = 9 * 2**30
    header = large.tobuf(tarfile.GNU_FORMAT)
    (member, content) = next(read_members(SHARD, io.BytesIO(header).read))
    assert (member.size, content.remaining) == (9 * 2**30, 9 * 2**30)


def test_links_devices_and_sparse_files_are_no_files() -> None:
    kinds = {}
    for type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
        info = tarfile.TarInfo(f"{type_.decode()}.png")
        info.type, info.linkname = type_, "target"
        info.size = 700 if type_ == tarfile.LNKTYPE else 0
        kinds[type_] = info
    data = tar([*((info, b"") for info in kinds.values()), ("z.png", b"z")])
    read = members_of(data)
    assert [member.kind for member, _ in read] == [MemberKind.OTHER] * 4 + [MemberKind.FOLDER, MemberKind.FILE]
    assert [content for _, content in read] == [b""] * 5 + [b"z"]
    sparse = tarfile.TarInfo("s.png")
    sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 3
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 256 + sum(header[156:]))
    more = bytearray(512)
    archive = bytes(header) + bytes(more) + b"abc" + bytes(509) + tar([("z.png", b"z")])
    assert [(member.kind, content) for member, content in members_of(archive)] == [
        (MemberKind.OTHER, b"abc"),
        (MemberKind.FILE, b"z"),
    ]


def test_odd_samples_are_dead_letters_and_their_neighbours_stay(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "d/000.png"
    members = [
        *samples(1),
        (link, b""),
        ("two.png", IMAGES[1]),
        ("two.jpg", IMAGES[2]),
        ("none.txt", b"no image"),
        ("bad.png", IMAGES[1]),
        ("bad.json", b"{"),
        ("latin.png", IMAGES[1]),
        ("latin.txt", b"\xff"),
        ("twice.png", IMAGES[1]),
        ("twice.PNG", IMAGES[1]),
        ("cut.png", IMAGES[1][:-9]),
        ("d/000.txt", b"the key occurred before"),
        ("README", b"?"),
        ("__meta__", b"?"),
        ("last.png", IMAGES[3]),
        ("last.npy", b"?"),
    ]
    path = tmp_path / "a.tar"
    path.write_bytes(tar(members))
    documents = read_images(path)
    assert documents.ids == ["d/000", "last"]
    assert documents.dead == {
        "not_a_regular_member": 1,
        "several_images": 1,
        "missing_image": 1,
        "not_json": 1,
        "invalid_utf8": 1,
        "repeated_key": 2,
        "image_truncated": 1,
    }
    assert documents.tallies[0].members == {"no ending": 2, "npy": 1}
    assert [batch.captioned.tolist() for batch in documents.batches] == [[True, False]]  # type: ignore[union-attr]
    assert sum(documents.tallies[0].dead_bytes.values()) < documents.tallies[0].row_bytes


def test_an_ending_names_the_image_and_limits_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar([("1.seg.png", IMAGES[0]), ("1.jpg", b"?"), ("2.seg.png", png(9, 64)), ("2.txt", b"t" * 99)]))
    settings = ReadSettings(DocumentSpec(image="seg.png"), images=ImagesSpec(max_bytes=len(IMAGES[0])))
    documents = read_images(path, settings)
    assert images_of(documents) == IMAGES[:1]
    assert documents.dead == {"image_too_large": 1}
    assert documents.tallies[0].members == {"jpg": 1}
    long = ReadSettings(DocumentSpec(image="seg.png", text="txt"), limits=LimitsSpec(document_bytes=98))
    assert read_images(path, long).dead == {"too_large": 1}


def test_rows_are_numbered_over_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus_audit.pipelines.reading.archives.samples.BATCH_BYTES", 300)
    path = tmp_path / "a.tar"
    path.write_bytes(tar([*samples(4)[:9], ("x.txt", b"no image"), ("y.png", IMAGES[3])]))
    documents = read_images(path, SETTINGS)
    assert len(documents.batches) > 1
    assert documents.rows == [(0, 0), (0, 1), (0, 2), (0, 4)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.c/d.seg.PNG", ("a/b.c/d", "seg.png")),
        ("x.jpg", ("x", "jpg")),
        ("a/.hidden.jpg", None),
        ("noending", None),
        ("__index__.json__", None),
        ("a/__x__.jpg", ("a/__x__", "jpg")),
    ],
)
def test_keys_are_those_of_webdataset(name: str, expected: tuple[str, str] | None) -> None:
    assert key_and_ending(name) == expected


def test_content_is_digested_in_pieces() -> None:
    source = io.BytesIO(b"abc" * 1_000_000)
    content = Content(source.read, 3_000_000)
    digest, head = content.digest(5)
    assert head == b"abcab" and content.remaining == 0 and len(digest) == 64


def test_every_byte_of_a_header_counts() -> None:
    """Contents have no checksum in a tar archive; those of images show damage when they are decoded."""
    data = tar([("a.png", b"12345")])
    for position in range(512):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(ShardError):
            members_of(bytes(changed))
