"""What an activation index says of a snapshot, taken over into a run of the same snapshot for a policy to judge."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.figures.index_metrics import embedding_metrics
from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.runners.audit.publish import add_metrics
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_TABLES


def add_index(staged: StagedRun, facts: dict[str, Any], spec: AuditSpec, base: Path) -> None:
    """Add the tables and metrics of the newest index of this very snapshot, and to ``facts`` which one it was.

    A run without such an index says so; what a policy asks of it is then missing, which is no pass.

    Raises:
        StoreError: the index is damaged.
    """
    from corpus_audit.embeddings.index.files import INDEX_FILE, find_index, read_facts

    if spec.embedding is None:
        return
    snapshot = str(facts["snapshot"]["digest"])
    try:
        folder = find_index(base / spec.embedding.output, snapshot)
    except UsageError:
        missing = "no index of this snapshot: 'corpus-audit index' makes one"
        facts["embedding"] = {"index": None, "reason": missing}
        return
    known = read_facts(folder)
    tables = {}
    for name, schema in EMBEDDING_TABLES.items():
        if f"{name}.parquet" in known.files:
            tables[name] = _read(folder / f"{name}.parquet", known.files[f"{name}.parquet"]["sha256"], schema)
    facts["embedding"] = {
        "index": folder.name,
        "sha256": hashlib.sha256((folder / INDEX_FILE).read_bytes()).hexdigest(),
        "model": known.model["name"],
        "model_sha256": known.model["digest"],
        "units": sum(size for _, size in known.points),
        "windows": known.counts["windows"],
        "tokens": known.counts["tokens"],
    }
    if known.autoencoders:
        facts["embedding"]["autoencoders"] = known.autoencoders
    for name, table in tables.items():
        staged.add_table(name, [table])
    add_metrics(staged, [embedding_metrics(tables)])


def _read(path: Path, sha256: str, schema: pa.Schema) -> pa.Table:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreError(f"{path} was changed after the index was made")
        table = pq.read_table(pa.BufferReader(data))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} of the index cannot be read: {error}") from error
    if not table.schema.equals(schema):
        raise StoreError(f"{path} was written by another version: make the index again")
    return table
