"""Results as Parquet files with their provenance, kept beside the index and used again; no torch.

The folder of a computation is named by a digest of all that decides its result: kind, settings, model, snapshot, the
index's own files, and the versions of this package, torch and transformers.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.tables.attention_tables import ATTENTION_TABLES
from corpus_audit.schemas.units import Unit

FORMAT = "corpus-audit/attention/1"
VERSION = 2
"""Part of every digest: how results are computed."""

INDUCTION = 0.3
"""Prefix matching from which a head is listed as an induction head; a convention, chance is far below."""

ABLATIONS = ("head_ablations",)
EXAMPLES = ("attention_examples",)

_KEY = b"corpus-audit"

Rows = list[dict[str, Any]]


def head_tables(windows: int) -> tuple[str, ...]:
    """The tables of ``heads``, with or without windows of the corpus."""
    corpus = ("head_domains", "induction_evidence") if windows else ()
    return ("head_scores", "head_circuits", *corpus)


def example_settings(unit: Unit, examples: Sequence[Example]) -> dict[str, Any]:
    """What decides which examples of a head are computed."""
    return {"unit": str(unit), "examples": [[f"{each.window:016x}", each.position] for each in examples]}


def known_results(index: Index, kind: str, settings: Mapping[str, Any], names: Sequence[str]) -> HeadResults | None:
    """The results of a computation over an index that was made before; None if there are none."""
    provenance = provenance_of(kind, settings, index_provenance(index))
    return read_results(results_folder(index, provenance), provenance, names)


def versions() -> dict[str, str | None]:
    """Versions of what computes the results; None for what is not installed."""
    installed: dict[str, str | None] = {}
    for name in ("corpus-audit", "torch", "transformers"):
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = None
    return installed


def index_provenance(index: Index) -> dict[str, Any]:
    """The model, the snapshot and the index that results are of."""
    facts = index.facts
    files = sorted((name, file["sha256"]) for name, file in facts.files.items())
    return {
        "model": facts.model["name"],
        "model_digest": facts.model["digest"],
        "tokenizer": facts.model["tokenizer"],
        "snapshot": facts.snapshot,
        "index": index.folder.name,
        "index_files": hashlib.sha256(repr(files).encode()).hexdigest(),
    }


@dataclass(frozen=True)
class HeadResults:
    """Tables of one computation.

    Attributes:
        folder: where they are.
        provenance: what they are of; also in the metadata of every file.
        tables: their rows, by name.
    """

    folder: Path | None
    provenance: dict[str, Any]
    tables: dict[str, Rows]


def provenance_of(kind: str, settings: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the result of a computation."""
    return {
        "schema": FORMAT,
        "version": VERSION,
        "kind": kind,
        "settings": dict(settings),
        **source,
        "versions": versions(),
    }


def results_folder(index: Index, provenance: Mapping[str, Any]) -> Path:
    """The folder of a computation over an index."""
    digest = hashlib.sha256(strict_json.dumps(dict(provenance))).hexdigest()
    return index.folder.parent / ".attention" / index.folder.name / f"{provenance['kind']}-{digest[:16]}"


def read_results(folder: Path, provenance: Mapping[str, Any], names: Sequence[str]) -> HeadResults | None:
    """The tables of a computation that was made before; None if one is missing, damaged, or of something else."""
    tables = {}
    expected = strict_json.dumps(dict(provenance))
    for name in names:
        try:
            table = pq.read_table(folder / f"{name}.parquet")
        except (OSError, pa.ArrowException):
            return None
        if (table.schema.metadata or {}).get(_KEY) != expected or not table.schema.equals(ATTENTION_TABLES[name]):
            return None
        tables[name] = table.to_pylist()
    return HeadResults(folder, dict(provenance), tables)


def write_results(folder: Path, provenance: Mapping[str, Any], tables: Mapping[str, Rows]) -> HeadResults:
    """Write the tables of a computation, each in one step, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        schema = ATTENTION_TABLES[name]
        described = {**(schema.metadata or {}), _KEY: strict_json.dumps(dict(provenance))}
        table = pa.Table.from_pylist(list(rows), schema=schema).replace_schema_metadata(described)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        atomic_write(folder / f"{name}.parquet", buffer.getvalue())
    return HeadResults(folder, dict(provenance), {name: list(rows) for name, rows in tables.items()})
