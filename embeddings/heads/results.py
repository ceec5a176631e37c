"""Results on heads, stored beside the index and used again (`index/stored_results.py`); nothing here needs torch.

The folder of a computation is named by a digest of all that decides its result: kind, settings, model, snapshot, the
index's own files, and the versions of this package, torch and transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.stored_results import (
    digest_of,
    index_provenance,
    library_versions,
    read_table,
    results_folder,
    write_table,
)
from corpus_audit.schemas.tables.attention_tables import ATTENTION_TABLES
from corpus_audit.schemas.units import Unit

FORMAT = "corpus-audit/attention/1"
VERSION = 3
"""Part of every digest: how results are computed."""

INDUCTION = 0.3
"""Prefix matching from which a head is listed as an induction head; a convention, chance is far below."""

ABLATIONS = ("head_ablations",)
EXAMPLES = ("attention_examples",)

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
    return read_results(computation_folder(index, provenance), provenance, names)


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
        "versions": library_versions(),
    }


def computation_folder(index: Index, provenance: Mapping[str, Any]) -> Path:
    """The folder of a computation over an index."""
    return results_folder(index.folder, "attention") / f"{provenance['kind']}-{digest_of(provenance)[:16]}"


def read_results(folder: Path, provenance: Mapping[str, Any], names: Sequence[str]) -> HeadResults | None:
    """The tables of a computation that was made before; None if one cannot be used (`stored_results.read_table`)."""
    tables = {}
    for name in names:
        stored = read_table(folder / f"{name}.parquet", ATTENTION_TABLES[name], provenance)
        if stored is None:
            return None
        tables[name] = stored.table.to_pylist()
    return HeadResults(folder, dict(provenance), tables)


def write_results(folder: Path, provenance: Mapping[str, Any], tables: Mapping[str, Rows]) -> HeadResults:
    """Write the tables of a computation, each in one step, and return them."""
    for name, rows in tables.items():
        table = pa.Table.from_pylist(list(rows), schema=ATTENTION_TABLES[name])
        write_table(folder / f"{name}.parquet", table, provenance)
    return HeadResults(folder, dict(provenance), {name: list(rows) for name, rows in tables.items()})
