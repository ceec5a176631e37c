"""Synthetic token sequences that maximise a unit, kept in a file; `prototype_search.py` says how they are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.attribution.results import result_path
from corpus_audit.embeddings.attribution.settings import provenance_of
from corpus_audit.embeddings.attribution.sources import unit_source
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.stored_results import read_table, write_table
from corpus_audit.schemas.errors import UsageError, needs_extra
from corpus_audit.schemas.tables.attribution_tables import PROTOTYPES
from corpus_audit.schemas.units import Kind, Unit, parse_unit


@dataclass(frozen=True)
class PrototypeResult:
    """The sequences of one call.

    Attributes:
        rows: in the schema `PROTOTYPES`, highest activation first, as plain values.
        provenance: everything that decides them; JSON.
        path: the file.
        cached: whether they were read from it.
    """

    rows: list[dict[str, Any]]
    provenance: dict[str, Any]
    path: Path
    cached: bool


def prototype(
    index: Index,
    unit: str | Unit,
    settings: dict[str, int],
    audit: Path | None = None,
    model: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> PrototypeResult:
    """Search token sequences that maximise a unit.

    Args:
        index: the index of the unit.
        unit: its address.
        settings: the fields of `prototype_search.PrototypeSettings`.
        audit: the audit that names the unit's autoencoder or directions.
        model: path of the model, if it has moved since indexing.
        say: is called with a line when the model is run.

    Raises:
        UsageError: the model cannot be loaded or is not the index's, or a sequence is longer than a window.
    """
    address = parse_unit(unit) if isinstance(unit, str) else unit
    best = index.lookup(address, k=1)
    source = unit_source(address, audit)
    inputs = [[f"{example.window:016x}", example.position] for example in best]
    provenance = provenance_of(index, address, source, settings, inputs, "prototype")
    path = result_path(index.folder, address, "prototype", provenance)
    stored = read_table(path, PROTOTYPES, provenance)
    if stored is not None:
        return PrototypeResult(stored.table.to_pylist(), stored.provenance, path, cached=True)
    with needs_extra("embeddings"):
        from corpus_audit.embeddings.attribution.compute import unit_files
        from corpus_audit.embeddings.attribution.prototype_search import PrototypeSearch, PrototypeSettings
        from corpus_audit.embeddings.attribution.unit_function import open_unit
        from corpus_audit.embeddings.scan.encoder import open_model
    say(f"running {index.facts.model['name']} to search sequences for {address}")
    loaded = open_model(index.facts, index.folder, model, with_head=address.point.kind is Kind.LOGIT)
    around = len(loaded.card.prefix) + len(loaded.card.suffix)
    if settings["length"] + around > index.facts.window:
        raise UsageError(f"a sequence of {settings['length']} tokens is longer than a window ({index.facts.window})")
    tokens: list[int] = []
    if best:
        row = int(np.searchsorted(index.window_names, np.uint64(best[0].window)))
        tokens = index.windows["tokens"][row].as_py()[len(loaded.card.prefix) : best[0].position + 1]
    with open_unit(loaded, address, unit_files(address, source)) as function:
        results = PrototypeSearch(function, PrototypeSettings(**settings)).best_first(tokens)
    rows = [asdict(result) for result in results]
    provenance = provenance | {"device": str(loaded.device)}
    write_table(path, pa.Table.from_pylist(rows, PROTOTYPES), provenance)
    return PrototypeResult(rows, provenance, path, cached=False)
