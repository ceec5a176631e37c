"""Results computed from an index and stored beside it: Parquet files with their provenance; nothing here needs torch.

An index is never changed. What is computed from it when it is first asked for (attributions, scores of heads, heat
maps, receptive fields) is stored in folders beside it whose names begin with a point, and used again. Every file has,
in its schema's metadata under the key ``provenance``, all that decides its content, as JSON; where that does not follow
from the path, a digest of it is part of the name. A file appears by one rename. One that cannot be read is computed
again, and a warning is logged.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run import strict_json

PROVENANCE = b"provenance"
LIBRARIES = ("corpus-audit", "torch", "transformers")
"""Packages whose versions can change a result."""

_LOG = logging.getLogger(__name__)
_warned: set[tuple[Path, int]] = set()


@dataclass(frozen=True)
class StoredTable:
    """A table, and everything that decides its content, as plain values."""

    table: pa.Table
    provenance: dict[str, Any]


def results_folder(index_folder: Path, kind: str) -> Path:
    """The folder of an index's results of a kind, such as ``attention``: it is beside the index."""
    return index_folder.parent / f".{kind}" / index_folder.name


def stored_files(index_folder: Path) -> list[tuple[str, int]]:
    """Name (relative to the folder of the index) and size of every stored attribution and result on heads, by name."""
    paths = [
        *results_folder(index_folder, "attributions").glob("*/*.parquet"),
        *results_folder(index_folder, "attention").glob("heads-*/*.parquet"),
    ]
    return sorted((path.relative_to(index_folder.parent).as_posix(), path.stat().st_size) for path in paths)


def digest_of(provenance: Mapping[str, Any]) -> str:
    """The SHA-256 of a provenance, hexadecimal."""
    return hashlib.sha256(strict_json.dumps(dict(provenance))).hexdigest()


def library_versions() -> dict[str, str | None]:
    """Versions of what computes results; None for what is not installed."""
    import importlib.metadata  # here, as a lookup needs none of them and would wait for it

    installed: dict[str, str | None] = {}
    for name in LIBRARIES:
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


def write_table(path: Path, table: pa.Table, provenance: Mapping[str, Any]) -> None:
    """Write a result's table with its provenance in the schema's metadata, atomically."""
    metadata = {**(table.schema.metadata or {}), PROVENANCE: strict_json.dumps(dict(provenance))}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd", write_page_checksum=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, sink.getvalue())


def load_table(path: Path, schema: pa.Schema) -> StoredTable | None:
    """A result's table and its provenance; None if there is no such file.

    Raises:
        StoreError: it is damaged, or of another version.
    """
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        provenance = strict_json.loads((table.schema.metadata or {})[PROVENANCE])
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, strict_json.StrictJsonError):
        raise StoreError(f"{path} is damaged") from None
    except KeyError:
        provenance = None
    if not isinstance(provenance, dict) or not table.schema.equals(schema):
        raise StoreError(f"{path} was written by another version")
    return StoredTable(table, provenance)


def read_table(path: Path, schema: pa.Schema, provenance: Mapping[str, Any]) -> StoredTable | None:
    """A result that was computed before; None if it has to be computed.

    Args:
        path: of the file.
        schema: of its table.
        provenance: what it has to be of; the stored one may say more, such as what was measured on the way.

    Returns:
        None if there is no such file, or if it is damaged, of another version or of something else: that is logged.
    """
    try:
        stored = load_table(path, schema)
        if stored is None:
            return None
        if provenance.items() <= stored.provenance.items():
            return stored
        reason = f"{path} is of something else"
    except StoreError as error:
        reason = str(error)
    _warn(path, reason)
    return None


def _warn(path: Path, reason: str) -> None:
    """Log why a file is not used; once, as a command may look for it before it loads what computes the result."""
    changed = path.stat().st_mtime_ns if path.exists() else 0
    if (path, changed) not in _warned:
        _warned.add((path, changed))
        _LOG.warning("corpus-audit: %s; it is computed again", reason)
