"""SPARK-7868, delta#489: what a writer had not committed was counted with the data.

A folder that Spark wrote held ``_temporary/0/…/part-0.parquet``: 8 rows of 4. Right: 4, as `pyarrow.dataset` reads the
folder: names that begin with ``_`` or ``.`` are left out at every depth, and counted. A table's transaction log says
which files are part of it: it is not read, so the table is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import FileSelector, LocalFileSystem

from corpus_audit.pipelines.reading.snapshot.listing import Listing, list_files
from corpus_audit.schemas.errors import NoVerdictError
from corpus_audit.schemas.spec.audit import SnapshotSpec
from tests.pipelines.memory_bucket import memory_bucket

HIDDEN = [
    "_temporary/0/task_1/part-0.parquet",
    "_temporary/0/part-1.parquet",
    "lang=en/.part-2.parquet",
    "lang=en/_tmp.parquet",
    "lang=en/.hidden/deep/part-3.parquet",
]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": ["a", "b"]}), folder / name)


def listed(base: Path, *paths: str, ignore: tuple[str, ...] = ()) -> Listing:
    return list_files(SnapshotSpec(paths=paths, ignore=ignore), base)


def rows(listing: Listing) -> int:
    return sum(pq.read_metadata(shard.path).num_rows for shard in listing.shards)


def by_pyarrow(folder: Path) -> set[str]:
    """The files that `pyarrow.dataset` finds in a folder."""
    selector = FileSelector(str(folder), recursive=True)
    factory = pads.FileSystemDatasetFactory(LocalFileSystem(), selector, pads.ParquetFileFormat())
    return set(factory.finish(pa.schema([("text", pa.string())])).files)


@pytest.mark.parametrize("path", ["_out", "_out/**", "_out/**/*.parquet", "_out/*"])
def test_a_folder_that_spark_wrote(tmp_path: Path, path: str) -> None:
    put(tmp_path / "_out", "part-0.parquet", "lang=en/part-1.parquet", *HIDDEN)
    (tmp_path / "_out" / "_SUCCESS").touch()
    result = listed(tmp_path, path)
    assert rows(result) == 4
    assert {shard.path for shard in result.shards} == by_pyarrow(tmp_path / "_out")
    expected = {*HIDDEN, "_SUCCESS"} if path != "_out/**/*.parquet" else set(HIDDEN)
    assert {file.name: file.reason.value for file in result.unread} == dict.fromkeys(expected, "hidden")


def test_what_is_named_expressly_is_read(tmp_path: Path) -> None:
    put(tmp_path / "out", *HIDDEN)
    for path, count in [("out/lang=en/_tmp.parquet", 1), ("out/_temporary", 2), ("out/*/_*.parquet", 1),
                        ("out/_temp*/*/*.parquet", 1), ("out/.*/*.parquet", 0)]:  # fmt: skip
        try:
            assert len(listed(tmp_path, path).shards) == count, path
        except Exception as error:
            assert count == 0 and "matches no file" in str(error)


def test_a_partition_that_only_some_programs_read_is_no_silent_loss(tmp_path: Path) -> None:
    put(tmp_path / "out", "_lang=en/part-0.parquet", "part-1.parquet", "_lang=en/_part.parquet")
    result = listed(tmp_path, "out")
    assert {shard.path for shard in result.shards} == by_pyarrow(tmp_path / "out")
    assert {file.name: file.reason.value for file in result.unread} == {
        "_lang=en/_part.parquet": "hidden",
        "_lang=en/part-0.parquet": "hidden_partition",
    }
    assert [file.name for file in result.unread if file.reason.may_be_data] == ["_lang=en/part-0.parquet"]


@pytest.mark.parametrize("path", ["t", "t/*.parquet", "t/**/*.parquet", "t/day=1", "t/day=*/*.parquet", "."])
@pytest.mark.parametrize("log", ["_delta_log/00000.json", ".hoodie/hoodie.properties"])
def test_a_table_with_a_log_is_refused(tmp_path: Path, path: str, log: str) -> None:
    put(tmp_path / "t", "part-0.parquet", "day=1/part-1.parquet")
    (tmp_path / "t" / log).parent.mkdir()
    (tmp_path / "t" / log).write_text("{}")
    name = log.partition("/")[0]
    with pytest.raises(NoVerdictError, match=f"{name}: (Delta|Hudi) tables are not supported"):
        listed(tmp_path, path)
    assert listed(tmp_path, path, ignore=(name,)).shards


@pytest.fixture
def bucket() -> Iterator[MemoryFileSystem]:
    with memory_bucket() as store:
        yield store


def test_an_object_store_likewise(bucket: MemoryFileSystem, tmp_path: Path) -> None:
    put(tmp_path, "part.parquet")
    data = (tmp_path / "part.parquet").read_bytes()
    for name in ("part-0.parquet", "lang=en/part-1.parquet", *HIDDEN, "b.jsonl.xz"):
        bucket.pipe(f"/bucket/out/{name}", data)
    for path in ("s3://bucket/out", "s3://bucket/out/**"):
        result = listed(tmp_path, path)
        assert [shard.name for shard in result.shards] == ["lang=en/part-1.parquet", "part-0.parquet"]
        unread = {file.name: file.reason.value for file in result.unread}
        assert unread == {"b.jsonl.xz": "unknown_format"} | dict.fromkeys(HIDDEN, "hidden")
    bucket.pipe("/bucket/out/_delta_log/0.json", b"{}")
    for path in ("s3://bucket/out", "s3://bucket/out/*.parquet"):
        with pytest.raises(NoVerdictError, match="_delta_log"):
            listed(tmp_path, path)
