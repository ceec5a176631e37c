"""Names the fields of a benchmark's rows that are not part of an item, for the report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec

_BYTES, _LINES = 8 * 2**20, 1_000
"""Bytes and lines of a JSONL file that are searched for field names; fields of later rows only are not named."""

_CODECS = {ShardFormat.JSONL_GZ: "gzip", ShardFormat.JSONL_ZST: "zstd"}


def unread_fields(spec: BenchmarkSpec, shards: Iterable[Shard]) -> tuple[str, ...]:
    """Names of top-level fields that are no part of the item, sorted."""
    read = {path.split(".")[0] for path in (spec.prompt, spec.answer, spec.id) if path}
    names: set[str] = set()
    for shard in shards:
        with suppress(OSError, pa.ArrowException, EOFError):  # the readers say what is wrong with a file
            names.update(_field_names(shard))
    return tuple(sorted(names - read - {path for path in (spec.prompt, spec.answer, spec.id) if path}))


def _field_names(shard: Shard) -> Iterable[str]:
    with filesystems.open_arrow(shard.path) as file:
        if shard.format is ShardFormat.PARQUET:
            return list(pq.ParquetFile(file).schema_arrow.names)
        if shard.format is ShardFormat.ARROW:
            try:
                return list(pa.ipc.open_file(file).schema.names)
            except pa.ArrowInvalid:
                file.seek(0)
                return list(pa.ipc.open_stream(file).schema.names)
        codec = _CODECS.get(shard.format)
        stream = pa.CompressedInputStream(file, codec) if codec else file
        names: set[str] = set()
        for line in stream.read(_BYTES).split(b"\n")[:_LINES]:
            with suppress(ValueError):
                row = json.loads(line)
                names.update(row if isinstance(row, dict) else ())
        return names
