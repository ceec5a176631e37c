"""Stores the receptive fields of an index's examples beside the index, one file a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.stored_results import index_provenance, read_table, results_folder, write_table
from corpus_audit.embeddings.unit_reading.receptive import KEPT, ReceptiveField, ReceptiveFields
from corpus_audit.embeddings.unit_reading.unit_reader import open_unit
from corpus_audit.schemas.units import Unit

FORMAT = "corpus-audit/receptive-fields/2"

_KEY = [("window", pa.uint64()), ("position", pa.int32()), ("lowest", pa.bool_())]
_FIELD = [
    ("first", pa.int32()), ("end", pa.int32()), ("value", pa.float64()), ("whole", pa.float64()), ("exact", pa.bool_()),
]  # fmt: skip
RECEPTIVE_FIELDS = pa.schema([*_KEY, *_FIELD], metadata={"title": "Tokens that keep most of a unit's activations"})
"""Window, position of the peak, whether it is a minimum, and the fields of `ReceptiveField`."""


def receptive_fields(
    index: Index, unit: Unit, examples: Sequence[Example], lowest: bool = False, model: str | None = None
) -> list[ReceptiveField]:
    """The receptive field of each example; the model is loaded only if one is not stored.

    Raises:
        UsageError: the model does not exist or is not the index's, or it has no receptive fields.
    """
    path = results_folder(index.folder, "receptive-fields") / f"{unit}.parquet".replace(":", "_")
    provenance = {"format": FORMAT, "unit": str(unit), "kept": KEPT, **index_provenance(index)}
    stored = read_table(path, RECEPTIVE_FIELDS, provenance)
    known = {}
    for row in [] if stored is None else stored.table.to_pylist():
        key = row.pop("window"), row.pop("position"), row.pop("lowest")
        known[key] = ReceptiveField(**row)
    keys = [(example.window, example.position, lowest) for example in examples]
    if any(key not in known for key in keys):
        finder = ReceptiveFields(open_unit(index.facts, index.folder, unit, model))
        for key, example in zip(keys, examples, strict=True):
            if key not in known:
                row = int(np.searchsorted(index.window_names, np.uint64(example.window)))
                known[key] = finder.find(index.windows["tokens"][row].as_py(), example.position, lowest)
        columns = zip(*((*key, *astuple(field)) for key, field in known.items()), strict=True)
        table = pa.table(dict(zip(RECEPTIVE_FIELDS.names, columns, strict=True)), schema=RECEPTIVE_FIELDS)
        write_table(path, table, provenance)
    return [known[key] for key in keys]
