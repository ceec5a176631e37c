"""Copy tables and metrics of an activation index into a run of the same snapshot, for a policy to judge."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from corpus_audit.pipelines.figures.index_metrics import embedding_metrics
from corpus_audit.pipelines.storage.run_directory import StagedRun
from corpus_audit.runners.audit.publish import add_metrics
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.run_file import NoIndex, RunFile, RunIndex, first_problem
from corpus_audit.schemas.spec.audit import AuditSpec
from corpus_audit.schemas.tables.embedding_tables import EMBEDDING_TABLES

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.files import IndexFacts

OF_EXCERPTS = ("unit_crops",)
"""Tables of an index that hold parts of documents: a run with ``excerpts: false`` does not copy them."""


def add_index(staged: StagedRun, facts: RunFile, spec: AuditSpec, base: Path) -> RunFile:
    """Add the tables and metrics of the newest index of this very snapshot; returns ``facts`` with which one it was.

    Without such an index, run.json says so; metrics that a policy requires are then missing, which does not pass.

    Raises:
        StoreError: the index is damaged.
    """
    if spec.embedding is None:
        return facts
    from corpus_audit.embeddings.index.files import find_index, read_facts

    try:
        folder = find_index(base / spec.embedding.output, facts.snapshot.digest)
    except UsageError:
        missing = "no index of this snapshot: 'corpus-audit index' makes one"
        return facts.model_copy(update={"embedding": NoIndex(index=None, reason=missing)})
    known = read_facts(folder)
    tables = {}
    for name, schema in EMBEDDING_TABLES.items():
        if f"{name}.parquet" in known.files and (spec.excerpts or name not in OF_EXCERPTS):
            tables[name] = _read(folder / f"{name}.parquet", known.files[f"{name}.parquet"]["sha256"], schema)
    index = _record(folder, known)
    if known.vectors and not known.of_images and spec.embedding.vectors and spec.embedding.vectors.projection:
        with suppress(ModuleNotFoundError):  # without the extra, the report has no drawing of the windows
            from corpus_audit.embeddings.build.projection import stored_projection

            tables["projection"] = stored_projection(folder, spec.embedding.vectors.projection)
    for name, table in (tables | _results(folder, spec.excerpts)).items():
        staged.add_table(name, [table])
    add_metrics(staged, [embedding_metrics(tables)])
    return facts.model_copy(update={"embedding": index})


def _results(folder: Path, excerpts: bool) -> dict[str, pa.Table]:
    """What is stored beside the index: attributions of its units, and scores of its heads."""
    from corpus_audit.embeddings.attribution.run_tables import attribution_tables
    from corpus_audit.embeddings.heads.run_tables import head_result_tables
    from corpus_audit.embeddings.index.reader import Index

    index = Index(folder)
    return attribution_tables(index, excerpts) | head_result_tables(index, excerpts)


def _record(folder: Path, known: IndexFacts) -> RunIndex:
    from corpus_audit.embeddings.index.files import INDEX_FILE

    record = {
        "index": folder.name,
        "sha256": hashlib.sha256((folder / INDEX_FILE).read_bytes()).hexdigest(),
        "model": known.model["name"],
        "model_sha256": known.model["digest"],
        "units": sum(size for _, size in known.points),
        "windows": known.counts["windows"],
        "tokens": known.counts["tokens"],
    }
    if known.autoencoders:
        record["autoencoders"] = known.autoencoders
    if known.of_images:
        record["of_images"] = True
    try:
        return RunIndex.model_validate_json(strict_json.dumps(record))  # JSON, as `index.json` has lists for tuples
    except ValidationError as error:
        raise StoreError(f"the index {folder} is damaged or of another version: {first_problem(error)}") from None


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
