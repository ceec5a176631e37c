"""Shards of every format on disk, and what the readers make of them, for the tests of reading."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.reading.documents.batches import PRIMARY, DocumentBatch, ReadSettings, SplitTally
from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.pipelines.reading.files.errors import ShardError
from corpus_audit.pipelines.reading.files.unchanged import check_unchanged
from corpus_audit.pipelines.reading.formats.reader import read_split
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES, plan_shard
from corpus_audit.pipelines.reading.snapshot.conventions import format_of
from corpus_audit.schemas.run.snapshot import Shard, ShardPlan
from corpus_audit.schemas.spec.audit import DocumentSpec

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".arrow")
SETTINGS = ReadSettings(DocumentSpec(id="id", domain="domain"))


def zstd(data: bytes) -> bytes:
    """One frame without its decoded size (a stream)."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def zstd_sized(data: bytes) -> bytes:
    """One frame whose header says its decoded size."""
    return bytes(pa.Codec("zstd").compress(data))


def json_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """One JSON object a line."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def write(path: Path, rows: Sequence[dict[str, Any]], part: int = 7) -> Path:
    """Write rows of text, id and domain in the format of the name, ``part`` rows a row group, batch or frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [rows[start : start + part] for start in range(0, len(rows), part)] or [rows]
    name = path.name
    if name.endswith((".parquet", ".arrow")):
        schema = pa.schema([("text", pa.string()), ("id", pa.string()), ("domain", pa.string())])
        table = pa.Table.from_pylist(list(rows), schema=schema)
        if name.endswith(".parquet"):
            pq.write_table(table, path, row_group_size=part, compression="zstd", write_page_checksum=True)
        else:
            with pa.ipc.new_file(path, schema) as sink:
                sink.write_table(table, max_chunksize=part)
    elif name.endswith(".gz"):
        path.write_bytes(b"".join(gzip.compress(json_lines(rows_), mtime=0) for rows_ in parts))
    elif name.endswith(".zst"):
        path.write_bytes(b"".join(zstd_sized(json_lines(rows_)) for rows_ in parts))
    else:
        path.write_bytes(json_lines(rows))
    return path


def shard_of(path: Path, sha256: str | None = None) -> Shard:
    """The shard that a listing would make of a file."""
    stat = filesystems.stat_file(str(path))
    format_ = format_of(path.name)
    assert format_ is not None
    return Shard(str(path), path.name, format_, stat.size, stat.stamp, sha256)


def plan(path: Path, split_bytes: int = SPLIT_BYTES, sha256: str | None = None) -> ShardPlan:
    """Plan a file."""
    return plan_shard(shard_of(path, sha256), None, lambda count: None, split_bytes)


@dataclass
class Documents:
    """What a shard held."""

    texts: list[str] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)
    tallies: list[SplitTally] = field(default_factory=list)
    batches: list[DocumentBatch] = field(default_factory=list)

    @property
    def dead(self) -> dict[str, int]:
        """Dead letters by reason, over all splits."""
        return _sum([tally.dead for tally in self.tallies])

    @property
    def filtered(self) -> dict[str, int]:
        """Filtered rows by clause, over all splits."""
        return _sum([tally.filtered for tally in self.tallies])


def read(path: Path, settings: ReadSettings = SETTINGS, split_bytes: int = SPLIT_BYTES) -> Documents:
    """Plan and read a file; every split's tally is checked."""
    return read_plan(plan(path, split_bytes), settings)


def read_plan(planned: ShardPlan, settings: ReadSettings = SETTINGS) -> Documents:
    """Read all splits of a plan."""
    assert planned.error is None, planned.error
    check_unchanged(planned.shard)
    result = Documents()
    for split in planned.splits:
        tally = SplitTally()
        for batch in read_split(planned.shard, split, settings, tally):
            assert len(batch.rows) == len(batch.text) > 0
            batch.text.validate(full=True)
            assert not batch.text.null_count
            result.batches.append(batch)
            result.texts += batch.text.to_pylist()
            result.ids += [None] * len(batch) if batch.ids is None else batch.ids.to_pylist()
            result.domains += batch.facets[PRIMARY].to_pylist()
            result.rows += [(split.index, int(row)) for row in batch.rows]
        assert tally.conserved
        result.tallies.append(tally)
    assert sum(tally.documents for tally in result.tallies) == len(result.texts)
    return result


def _sum(counters: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counter in counters:
        for key, count in counter.items():
            total[key] = total.get(key, 0) + count
    return total


def error_and_texts(path: Path, sha256: str | None = None, split_bytes: int = 10_000) -> tuple[str | None, list[str]]:
    """The error that a shard ends with (from its plan or its reading), or None and the texts."""
    planned = plan(path, split_bytes, sha256)
    if planned.error is not None:
        return planned.error, []
    try:
        return None, read_plan(planned).texts
    except ShardError as error:
        return str(error), []
