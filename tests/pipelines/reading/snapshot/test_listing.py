"""Which files a spec names, what they are called, and how a manifest is held against them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.formats.splits import plan_shard
from corpus_audit.pipelines.reading.snapshot.conventions import format_of
from corpus_audit.pipelines.reading.snapshot.listing import list_shards
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.audit import SnapshotSpec
from tests.pipelines.reading.shard_files import SETTINGS, plan, read_plan, write


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def _list(base: Path, *paths: str, manifest: str | None = None, format: str = "auto") -> list[Shard]:
    spec = SnapshotSpec.model_validate({"paths": paths, "manifest": manifest, "format": format}, strict=False)
    return list_shards(spec, base)


def _names(base: Path, *paths: str, manifest: str | None = None, format: str = "auto") -> list[str]:
    return [shard.name for shard in _list(base, *paths, manifest=manifest, format=format)]


def test_a_hub_dataset_folder_just_works(tmp_path: Path) -> None:
    _touch(tmp_path, "d/README.md", "d/data/train-00001-of-2.parquet", "d/data/train-00000-of-2.parquet")
    _touch(tmp_path, "d/.cache/x.parquet", "d/.gitattributes", "d/dataset_info.json", "d/data/.hidden.parquet")
    blob = tmp_path / "blobs" / "abc"
    _touch(tmp_path, "blobs/abc")
    (tmp_path / "d/data/linked.parquet").symlink_to(blob)
    shards = _list(tmp_path, "d")
    assert [shard.name for shard in shards] == [
        "data/linked.parquet",
        "data/train-00000-of-2.parquet",
        "data/train-00001-of-2.parquet",
    ]
    for shard in shards:
        stat = Path(shard.path).stat()
        assert shard.size == stat.st_size and shard.is_local and Path(shard.path).is_absolute()
        assert shard.stamp == f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.parquet", ShardFormat.PARQUET),
        ("a.PQ", ShardFormat.PARQUET),
        ("a.jsonl", ShardFormat.JSONL),
        ("a.ndjson", ShardFormat.JSONL),
        ("a.json.gz", ShardFormat.JSONL_GZ),
        ("a.jsonl.gz", ShardFormat.JSONL_GZ),
        ("a.jsonl.zst", ShardFormat.JSONL_ZST),
        ("a.feather", ShardFormat.ARROW),
        ("a.ipc", ShardFormat.ARROW),
        ("a.arrow", ShardFormat.ARROW),
        ("a.json", None),
        ("a.txt.gz", None),
        ("parquet", None),
    ],
)
def test_formats_by_name(name: str, expected: ShardFormat | None) -> None:
    assert format_of(name) == expected


def test_names_are_relative_to_the_common_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "a/x/1.jsonl", "a/y/2.jsonl", "a/y/z/3.jsonl", "a/README.md", "a/B.jsonl", "a/b2.jsonl")
    assert _names(tmp_path, "a/x", "a/y") == ["x/1.jsonl", "y/2.jsonl", "y/z/3.jsonl"]
    assert _names(tmp_path, "a/y/2.jsonl") == ["2.jsonl"]
    assert _names(tmp_path, "a/**/*.jsonl") == ["B.jsonl", "b2.jsonl", "x/1.jsonl", "y/2.jsonl", "y/z/3.jsonl"]
    assert _names(tmp_path, "a/y/**") == ["2.jsonl", "z/3.jsonl"]
    assert _names(tmp_path, "a/[xy]") == ["x/1.jsonl", "y/2.jsonl", "y/z/3.jsonl"]
    assert _names(tmp_path, "a/*") == ["B.jsonl", "b2.jsonl", "x/1.jsonl", "y/2.jsonl", "y/z/3.jsonl"]
    assert _names(tmp_path / "a", "../a/y", str(tmp_path / "a/y/2.jsonl"), f"file://{tmp_path}/a/y") == [
        "2.jsonl",
        "z/3.jsonl",
    ]


def test_a_format_in_the_spec_takes_files_of_any_name(tmp_path: Path) -> None:
    _touch(tmp_path, "a.txt", "b.json", "c.jsonl")
    assert [shard.format for shard in _list(tmp_path, "a.txt", "b.json", format="jsonl")] == [ShardFormat.JSONL] * 2
    assert _names(tmp_path, "*", format="jsonl") == ["a.txt", "b.json", "c.jsonl"]
    assert _names(tmp_path, ".", format="jsonl") == ["c.jsonl"]
    with pytest.raises(UsageError, match=r"a\.txt: the name does not say the format"):
        _list(tmp_path, "a.txt")
    with pytest.raises(NoVerdictError, match=r"\*\.txt \(found 1 \.txt file, which is not read\)"):
        _list(tmp_path, "*.txt")


def test_nothing_found(tmp_path: Path) -> None:
    _touch(tmp_path, "full/a.jsonl", "empty/README.md")
    with pytest.raises(UsageError, match=r"full/\*\.parquet: matches no file"):
        _list(tmp_path, "full", "full/*.parquet")
    with pytest.raises(UsageError, match="gone: no such file or folder"):
        _list(tmp_path, "gone")
    with pytest.raises(NoVerdictError, match="no shard in empty"):
        _list(tmp_path, "empty")
    with pytest.raises(UsageError, match="no shard in empty"):
        _list(tmp_path, "full", "empty")


@pytest.mark.parametrize(
    "name",
    ["a\x1b[2J.jsonl", "a\nb.jsonl", "a\u0085.jsonl", "a\u2028.jsonl", "a\\b.jsonl", "e\u0301.jsonl"],
)
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, "d/" + name)
    with pytest.raises(UsageError) as caught:
        _list(tmp_path, "d")
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


def test_names_that_are_not_utf8_or_differ_in_case_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    os.close(os.open(os.fsencode(folder) + b"/\xff.jsonl", os.O_CREAT))
    with pytest.raises(UsageError, match="not UTF-8"):
        _list(tmp_path, "d")
    _touch(tmp_path, "e/a.jsonl", "e/A.jsonl")
    with pytest.raises(UsageError, match="differ in case only"):
        _list(tmp_path, "e")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/x.jsonl",
        "https://example.com/x.parquet",
        "simplecache::s3://b/x.parquet",
        "zip://x.parquet::s3://b/a.zip",
        "reference://x.parquet",
        "github://a:b@c/x.parquet",
        "memory://x.parquet",
        "s3://key:secret@bucket/x.parquet",
        "s3://bucket/../x.parquet",
        "file://host/x.parquet",
    ],
)
def test_other_file_systems_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        _list(tmp_path, url)
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError):
        _touch(tmp_path, "a.jsonl")
        _list(tmp_path, "a.jsonl", manifest=url)


def _sha256sum(folder: Path, *names: str) -> str:
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def test_a_manifest_gives_every_shard_its_digest(tmp_path: Path) -> None:
    _touch(tmp_path, "data/a.jsonl", "data/b c.jsonl", "README.md")
    names = ("data/a.jsonl", "data/b c.jsonl")
    lines = _sha256sum(tmp_path, *names, "README.md")
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names]
    for text in (lines, lines.replace("  ", " *").replace("data", "./data"), lines.replace("\n", "\r\n"), "\n" + lines):
        (tmp_path / "SHA256SUMS").write_bytes(text.encode())
        assert [shard.expected_sha256 for shard in _list(tmp_path, "data", manifest="SHA256SUMS")] == digests
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "MANIFEST.sha256").write_text(
        lines.replace("data/", "").upper().replace("JSONL", "jsonl").replace("A.j", "a.j").replace("B C.j", "b c.j")
    )
    shards = _list(tmp_path, "data", manifest="elsewhere/MANIFEST.sha256")
    assert [shard.expected_sha256 for shard in shards] == digests


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_a_manifest_by_coreutils(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jsonl", "b.jsonl", "odd\nname.jsonl")
    done = subprocess.run(["sha256sum", "a.jsonl", "b.jsonl"], cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "SUMS").write_bytes(done.stdout)
    assert all(shard.expected_sha256 for shard in _list(tmp_path, "[ab].jsonl", manifest="SUMS"))
    done = subprocess.run(["sha256sum", "a.jsonl", "odd\nname.jsonl"], cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "SUMS").write_bytes(done.stdout)
    with pytest.raises(UsageError, match="line 2: escaped names"):
        _list(tmp_path, "a.jsonl", manifest="SUMS")


def test_manifest_and_files_must_agree(tmp_path: Path) -> None:
    _touch(tmp_path, "a.jsonl", "b.jsonl", "c.jsonl")
    (tmp_path / "SUMS").write_text(_sha256sum(tmp_path, "a.jsonl", "b.jsonl") + "0" * 64 + "  gone.jsonl\n")
    with pytest.raises(UsageError) as caught:
        _list(tmp_path, ".", manifest="SUMS")
    assert "not in the snapshot: gone.jsonl" in str(caught.value) and "not listed: c.jsonl" in str(caught.value)
    for text, problem in [
        ("", "the file is empty"),
        ("xyz  a.jsonl\n", "line 1: expected"),
        ("0" * 64 + " a.jsonl\n", "line 1: expected"),
        ("0" * 64 + "  ../a.jsonl\n", "leaves the folder"),
        ("0" * 64 + "  /a.jsonl\n", "is absolute"),
        ("0" * 64 + "  a.jsonl\n" + "1" * 64 + "  a.jsonl\n", "another digest"),
    ]:
        (tmp_path / "SUMS").write_text(text)
        with pytest.raises(UsageError, match=problem):
            _list(tmp_path, "a.jsonl", manifest="SUMS")
    with pytest.raises(UsageError, match="cannot be read"):
        _list(tmp_path, "a.jsonl", manifest="NONE")


def test_a_shard_that_differs_from_its_manifest_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [{"text": "a", "id": "1", "domain": "x"}])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert plan(path, sha256=sha256).error is None
    error = plan(path, sha256="0" * 64).error
    assert error is not None and sha256 in error and "manifest" in error


def test_an_object_store(bucket: MemoryFileSystem, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "id": str(i), "domain": "a"} for i in range(20)]
    for suffix in (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".arrow"):
        bucket.pipe(f"/bucket/d/part/a{suffix}", write(tmp_path / ("a" + suffix), rows).read_bytes())
    bucket.pipe("/bucket/d/README.md", b"x")
    bucket.pipe("/bucket/d/.hidden/a.jsonl", b"x")
    for path in ("s3://bucket/d", "s3://bucket/d/", "s3://bucket/d/**/*.*"):
        shards = _list(tmp_path, path)
        assert [shard.name for shard in shards] == [
            f"part/a{suffix}" for suffix in (".arrow", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
        ]
    for shard in shards:
        assert not shard.is_local
        data = bucket.cat(shard.path)
        planned = plan_shard(shard, None, lambda count: None, 300)
        assert (planned.error, planned.sha256) == (None, hashlib.sha256(data).hexdigest())
        local = plan(tmp_path / Path(shard.name).name, 300)
        assert planned.splits == local.splits
        assert read_plan(planned, SETTINGS).texts == [row["text"] for row in rows]
        bucket.pipe(shard.path, data + b"\n")
        error = plan_shard(shard, None, lambda count: None).error
        assert error is not None and "changed while it was read" in error
    assert _names(tmp_path, "s3://bucket/d/part/a.jsonl", str(tmp_path / "a.jsonl"))[1].startswith("s3/bucket/d/part/")
    with pytest.raises(UsageError, match="no such file or folder"):
        _list(tmp_path, "s3://bucket/gone")
    with pytest.raises(UsageError, match="matches no file"):
        _list(tmp_path, "s3://bucket/d/*.parquet")


def test_local_files_never_go_through_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> None:
        raise AssertionError(url)

    monkeypatch.setattr(filesystems, "remote_filesystem", refuse)
    write(tmp_path / "a.parquet", [{"text": "a", "id": None, "domain": None}])
    (shard,) = _list(tmp_path, "*.parquet")
    assert read_plan(plan(Path(shard.path))).texts == ["a"]
