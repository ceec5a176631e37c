"""Run directories: all or nothing, every flip found, and bytes that follow from rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.storage import atomic, run_directory
from corpus_audit.pipelines.storage.run_directory import (
    LATEST,
    STAGING,
    RunDirectory,
    StagedRun,
    clear_staging,
    write_table,
)
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables import coverage_tables, document_tables, run_tables
from tests.run_files import run_record, write_run_json


def samples_table(rows: int, seed: int = 0) -> pa.Table:
    """Random rows of the table with the most kinds of columns: dictionary, bytes, text with nulls, lists."""
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, 4096, rng.integers(0, 30)) for _ in range(rows)]
    domain = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, 3, rows, np.int32)), pa.array(["a", "b", "ä"]))
    return pa.table(
        {
            "domain": domain,
            "hash": pa.array([rng.bytes(16) for _ in range(rows)], pa.binary(16)),
            "documents": rng.integers(0, 9, rows),
            "tokens": rng.integers(0, 2**40, rows),
            "excerpt": pa.array([None if n % 7 == 0 else f"{rng.integers(10**9)} " * (n % 9) for n in range(rows)]),
            "buckets": pa.array([values.astype(np.int16) for values in lists], pa.list_(pa.int16())),
            "counts": pa.array([values.astype(np.int32) for values in lists], pa.list_(pa.int32())),
        },
        schema=document_tables.SAMPLES,
    )


def written(folder: Path, table: pa.Table, cuts: list[int]) -> bytes:
    bounds = sorted({0, len(table), *(cut % (len(table) + 1) for cut in cuts)})
    parts = [table.slice(start, stop - start) for start, stop in zip(bounds, bounds[1:] or bounds, strict=False)]
    assert write_table(folder / "t.parquet", table.schema, iter(parts)) == len(table)
    return (folder / "t.parquet").read_bytes()


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(0, 60), cuts=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 5))
def test_bytes_do_not_depend_on_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, rows: int, cuts: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    table = samples_table(rows, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_directory, "ROW_GROUP", 16)
        assert written(folder, table, cuts) == written(folder, table, [])
        groups = pq.ParquetFile(folder / "t.parquet").metadata.num_row_groups
        assert groups == -(-rows // 16)
    assert pq.read_table(folder / "t.parquet").equals(table)


def test_bytes_of_many_pages_do_not_depend_on_the_pieces(tmp_path: Path) -> None:
    table = samples_table(40_000)
    whole = written(tmp_path, table, [])
    column = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0).column(5)
    assert column.total_uncompressed_size > 2**20  # more than a page
    for step in (777, 9_001):
        assert written(tmp_path, table, list(range(0, 40_000, step))) == whole


@pytest.mark.parametrize("name", run_tables.TABLES)
def test_schemas_and_units_survive(tmp_path: Path, name: str) -> None:
    schema = run_tables.TABLES[name]
    write_table(tmp_path / "t.parquet", schema, [schema.empty_table()])
    back = pq.read_schema(tmp_path / "t.parquet")
    assert back.equals(schema)
    assert back.metadata == schema.metadata
    assert [field.metadata for field in back] == [field.metadata for field in schema]
    assert [field.nullable for field in back] == [field.nullable for field in schema]


def test_page_checksums_are_written(tmp_path: Path) -> None:
    table = samples_table(50)
    written(tmp_path, table, [7])
    back = pq.read_table(tmp_path / "t.parquet", page_checksum_verification=True)
    assert back.equals(table)
    raw = bytearray((tmp_path / "t.parquet").read_bytes())
    raw[len(raw) // 4] ^= 1
    (tmp_path / "t.parquet").write_bytes(raw)
    with pytest.raises((OSError, pa.ArrowException)):
        pq.read_table(tmp_path / "t.parquet", page_checksum_verification=True)


def test_rows_that_are_not_of_the_schema_are_refused(tmp_path: Path) -> None:
    with pytest.raises((ValueError, pa.ArrowException)):
        write_table(tmp_path / "t.parquet", coverage_tables.OUTCOMES, [samples_table(3)])


def outcomes(rows: int = 1) -> pa.Table:
    return pa.Table.from_pylist([{"outcome": "document", "reason": "", "rows": rows}], coverage_tables.OUTCOMES)


def staged(output: Path, name: str, rows: int = 1) -> StagedRun:
    """A staged run of one table and one text."""
    run = StagedRun(output, name)
    assert run.add_table("outcomes", [outcomes(rows)]) == 1
    run.add_text("timings.json", "{}\n")
    run.add_run_file(run_record(run=name).with_files(run.digests()))
    return run


def test_publishing(tmp_path: Path) -> None:
    run = staged(tmp_path, "first")
    assert not (tmp_path / "first").exists()
    folder = run.publish()
    assert folder == tmp_path / "first"
    assert (tmp_path / LATEST).read_text() == "first\n"
    published = RunDirectory(folder)
    assert sorted(published.facts.files) == ["tables/outcomes.parquet", "timings.json"]
    assert published.damaged() == []
    assert published.table("outcomes").to_pylist() == outcomes().to_pylist()
    staged(tmp_path, "second").publish()
    assert (tmp_path / LATEST).read_text() == "second\n"
    assert RunDirectory(folder).damaged() == []
    clear_staging(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LATEST, "first", "second"]


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_failure_while_publishing_leaves_the_old_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    staged(tmp_path, "old").publish()
    run = staged(tmp_path, "new")

    def fail(*_: Any) -> None:
        raise OSError("no space")

    if failing == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no space"):
        run.publish()
    monkeypatch.undo()
    clear_staging(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LATEST, "old"]
    assert (tmp_path / LATEST).read_text() == "old\n"
    assert RunDirectory(tmp_path / "old").damaged() == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    clear_staging(tmp_path)
    staged(tmp_path, "killed")
    assert (tmp_path / STAGING / "killed" / "tables").is_dir()
    clear_staging(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_flip_is_found(tmp_path: Path) -> None:
    folder = staged(tmp_path, "run").publish()
    for name in ("tables/outcomes.parquet", "timings.json"):
        raw = (folder / name).read_bytes()
        for at in range(0, len(raw), max(1, len(raw) // 40)):
            flipped = bytearray(raw)
            flipped[at] ^= 8
            (folder / name).write_bytes(flipped)
            assert RunDirectory(folder).damaged() == [name]
        (folder / name).write_bytes(raw[:-1])
        assert RunDirectory(folder).damaged() == [name]
        (folder / name).unlink()
        assert RunDirectory(folder).damaged() == [name]
        (folder / name).write_bytes(raw)
    assert RunDirectory(folder).damaged() == []


def test_what_is_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a published run directory"):
        RunDirectory(tmp_path / "absent")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        RunDirectory(tmp_path)
    write_run_json(tmp_path)
    with pytest.raises(StoreError, match="cannot read table outcomes"):
        RunDirectory(tmp_path).table("outcomes")
