"""Run directories: staged, digested, published by one rename, and read back with their digests checked.

<output>/LATEST                      name of the newest run
<output>/<run>/run.json              what was audited, coverage, versions, the digest of every file
<output>/<run>/tables/*.parquet      schemas.tables
<output>/<run>/report.html
<output>/<run>/outputs/              the run for other programs: JUnit, SARIF, Markdown, OpenLineage, Croissant, a card
<output>/<run>/MANIFEST.sha256       the shards, as sha256sum writes them
<output>/<run>/timings.json          clocks and hosts, apart from everything that is reproducible
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.storage.atomic import atomic_write, publish_folder
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run.run_file import RUN_FILE, PublishedFile, RunFile, read_run_file
from corpus_audit.schemas.tables.run_tables import TABLES

ROW_GROUP = 131_072
"""Rows; the widest table, that of signatures, then holds 67 MB at once."""

STAGING = ".staging"
LATEST = "LATEST"


def write_table(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> int:
    """Write a Parquet file in the one configuration that all tables have; returns its rows.

    Row groups hold `ROW_GROUP` rows, or what the schema's metadata say, whatever the pieces are, so that equal rows are
    equal bytes.
    """
    group = int((schema.metadata or {}).get(b"row_group", ROW_GROUP))
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    dictionary = [field.name for field in schema if _repeats(field)]
    delta = {
        field.name: "DELTA_BINARY_PACKED"
        for field in schema
        if pa.types.is_integer(field.type) and field.name not in dictionary
    }
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionary,
        column_encoding=delta or None,
        write_statistics=True,
        write_page_checksum=True,
        store_schema=True,
    ) as writer:
        held: list[pa.Table] = []
        size = 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            while size >= group:
                whole = pa.concat_tables(held)
                # Pages end where chunks do, so a row group is made one chunk.
                writer.write_table(whole.slice(0, group).combine_chunks(), row_group_size=group)
                held, size = [whole.slice(group)], size - group
                rows += group
        if size:
            writer.write_table(pa.concat_tables(held).combine_chunks(), row_group_size=group)
            rows += size
    return rows


def _repeats(field: pa.Field) -> bool:
    """Whether a column repeats few values, so that a dictionary pays."""
    return pa.types.is_dictionary(field.type) or field.name in (
        "facet",
        "value",
        "domain",
        "unit",
        "metric",
        "shard",
        "reason",
    )


class StagedRun:
    """A run directory being filled; it appears in the output folder when `publish` is called."""

    def __init__(self, output: Path, name: str) -> None:
        self.output = output
        self.name = name
        self.folder = output / STAGING / name
        (self.folder / "tables").mkdir(parents=True)

    def add_table(self, name: str, pieces: Iterable[pa.Table]) -> int:
        """Write a table of `schemas.tables.run_tables`; returns its rows."""
        return write_table(self.folder / "tables" / f"{name}.parquet", TABLES[name], pieces)

    def add_text(self, name: str, text: str) -> None:
        """Write a text file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def table(self, name: str) -> pa.Table:
        """A table that was written before."""
        return pq.read_table(self.folder / "tables" / f"{name}.parquet")

    def add_run_file(self, record: RunFile) -> None:
        """Write run.json, in the place of an earlier one."""
        (self.folder / RUN_FILE).write_bytes(record.to_json())

    def digests(self) -> dict[str, PublishedFile]:
        """Digest and size of every file written so far but run.json, by relative name."""
        found = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != RUN_FILE):
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(self.folder).as_posix()] = PublishedFile(sha256=sha256, bytes=path.stat().st_size)
        return found

    def publish(self) -> Path:
        """Rename the folder to its place and point LATEST at it; returns the place."""
        place = self.output / self.name
        publish_folder(self.folder, place)
        atomic_write(self.output / LATEST, f"{self.name}\n".encode())
        return place


def clear_staging(output: Path) -> None:
    """Remove staged folders of killed runs; only the holder of the output's lock may call this."""
    shutil.rmtree(output / STAGING, ignore_errors=True)


def read_run_table(folder: Path, name: str) -> pa.Table:
    """A table of a run directory, its page checksums verified; `run.json` is not read.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        return pq.read_table(folder / "tables" / f"{name}.parquet", page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"cannot read table {name} of {folder}: {error}") from error


class RunDirectory:
    """A published run, or one that is being staged and whose record is at hand.

    Attributes:
        folder: the run directory.
        facts: its `run.json`.

    Raises:
        StoreError: when it is not one, or a file is damaged.
    """

    def __init__(self, folder: Path, facts: RunFile | None = None) -> None:
        self.folder = folder
        self.facts: RunFile = read_run_file(folder) if facts is None else facts

    def table(self, name: str) -> pa.Table:
        """A table, its page checksums verified."""
        return read_run_table(self.folder, name)

    def damaged(self, names: Iterable[str] | None = None) -> list[str]:
        """Names of files, among those named or all, that are missing or differ from run.json."""
        wrong = []
        for name in self.facts.files if names is None else names:
            known = self.facts.files.get(name)
            path = self.folder / name
            if known is None or not path.is_file():
                wrong.append(name)
                continue
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != known.sha256:
                    wrong.append(name)
        return wrong


def open_run(folder: Path) -> RunDirectory:
    """A run directory, or the newest run of an output folder.

    Raises:
        UsageError: there is no run.
    """
    place = folder
    latest = folder / LATEST
    if not (folder / RUN_FILE).exists() and latest.exists():
        folder = folder / latest.read_text(encoding="utf-8").strip()
    if not (folder / RUN_FILE).exists():
        raise UsageError(f"{place} is neither a run directory nor an output folder with a finished run")
    return RunDirectory(folder)
