"""Writes and reads run directories: staged, hashed, published by one rename, read with their digests checked.

<output>/LATEST                      name of the newest run
<output>/<run>/run.json              what was audited, coverage, versions, the digest of every file
<output>/<run>/tables/*.parquet      schemas.tables
<output>/<run>/report.html
<output>/<run>/investigation/        findings of the investigation that the audit names, if it names one
<output>/<run>/outputs/              the results for other programs: JUnit, SARIF, Markdown, OpenLineage, Croissant, a
card <output>/<run>/MANIFEST.sha256       digests of the shards, as sha256sum writes them
<output>/<run>/timings.json          times and host names, apart from everything that is reproducible
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
"""Rows; the widest table, that of MinHash signatures, then needs 67 MB in memory."""

STAGING = ".staging"
LATEST = "LATEST"


def write_table(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> int:
    """Write a Parquet file with the settings that all tables share; returns its number of rows.

    Row groups have `ROW_GROUP` rows, or what the schema's metadata say, however the pieces arrive, so that equal rows
    are equal bytes.
    """
    group = int((schema.metadata or {}).get(b"row_group", ROW_GROUP))
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    dictionary = [field.name for field in schema if _has_few_values(field)]
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
        buffered: list[pa.Table] = []
        size = 0
        for piece in pieces:
            buffered.append(piece)
            size += len(piece)
            while size >= group:
                rows_so_far = pa.concat_tables(buffered)
                # Pages end where chunks end, so the rows of a group are combined into one chunk.
                writer.write_table(rows_so_far.slice(0, group).combine_chunks(), row_group_size=group)
                buffered, size = [rows_so_far.slice(group)], size - group
                rows += group
        if size:
            writer.write_table(pa.concat_tables(buffered).combine_chunks(), row_group_size=group)
            rows += size
    return rows


def _has_few_values(field: pa.Field) -> bool:
    """Whether a column repeats few values, so that dictionary encoding pays."""
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
        """Write a table of `schemas.tables.run_tables`; returns its number of rows."""
        return write_table(self.folder / "tables" / f"{name}.parquet", TABLES[name], pieces)

    def add_text(self, name: str, text: str) -> None:
        """Write a text file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def table(self, name: str) -> pa.Table:
        """A table that was added before."""
        return pq.read_table(self.folder / "tables" / f"{name}.parquet")

    def add_run_file(self, record: RunFile) -> None:
        """Write run.json, replacing an earlier one."""
        (self.folder / RUN_FILE).write_bytes(record.to_json())

    def digests(self) -> dict[str, PublishedFile]:
        """Digest and size of every file written so far except run.json, by name relative to the run."""
        by_name = {}
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != RUN_FILE):
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            by_name[path.relative_to(self.folder).as_posix()] = PublishedFile(sha256=sha256, bytes=path.stat().st_size)
        return by_name

    def publish(self) -> Path:
        """Rename the folder into the output folder and update LATEST; returns the run directory."""
        published = self.output / self.name
        publish_folder(self.folder, published)
        atomic_write(self.output / LATEST, f"{self.name}\n".encode())
        return published


def clear_staging(output: Path) -> None:
    """Remove staged folders of killed runs; the caller must have locked the output folder."""
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
    """A published run, or a staged one whose run.json is passed as ``facts``.

    Attributes:
        folder: the run directory.
        facts: its `run.json`.

    Raises:
        StoreError: run.json is missing or damaged.
    """

    def __init__(self, folder: Path, facts: RunFile | None = None) -> None:
        self.folder = folder
        self.facts: RunFile = read_run_file(folder) if facts is None else facts

    def table(self, name: str) -> pa.Table:
        """A table, its page checksums verified."""
        return read_run_table(self.folder, name)

    def damaged(self, names: Iterable[str] | None = None) -> list[str]:
        """Names of files that are missing or differ from run.json, among ``names`` or all files of the run."""
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
        UsageError: the folder is neither.
    """
    requested = folder
    latest = folder / LATEST
    if not (folder / RUN_FILE).exists() and latest.exists():
        folder = folder / latest.read_text(encoding="utf-8").strip()
    if not (folder / RUN_FILE).exists():
        raise UsageError(f"{requested} is neither a run directory nor an output folder with a finished run")
    return RunDirectory(folder)
