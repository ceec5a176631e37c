"""Heat maps of examples: the activation of every token, computed when it is needed and kept beside the index.

An index holds where units peak. The activations of all other tokens in these windows would be most of its bytes and a
third of the time to make it, and few of them are ever looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.stored_results import index_provenance, read_table, results_folder, write_table
from corpus_audit.embeddings.numpy_models.bert import UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import NumpyModel, open_numpy_model
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.units import Kind, Unit

TOLERANCE = 1e-3
"""By how much the activation at the peak may differ from the stored one, over the larger of that and 1."""

FORMAT = "corpus-audit/heat-maps/2"
HEAT_MAPS = pa.schema(
    [("window", pa.uint64()), ("activations", pa.list_(pa.float32()))],
    metadata={"title": "Activations of a unit on every token of windows"},
)

Read = Callable[[np.ndarray], np.ndarray]
"""Activations float32 [B, L] of a unit on ids [B, L]."""


def with_heat(
    index: Index, unit: Unit, examples: Sequence[Example], model: str | None = None, quick: bool = False
) -> list[Example]:
    """Examples of a unit's highest activations with heat maps; those of lowest ones have none.

    Args:
        index: the index.
        unit: whose examples they are.
        examples: from its top list, a domain's list or its samples.
        model: path of the model, if it has moved since the index was made.
        quick: only if they are cached or the model is one of `numpy_models`; else the examples are as they were.

    Raises:
        UsageError: the model does not exist, or is not the index's.
        StoreError: the model does not give the stored activations.
        ModuleNotFoundError: the extra is not installed.
    """
    path = results_folder(index.folder, "heat-maps") / f"{unit}.parquet".replace(":", "_")
    provenance = {"format": FORMAT, "unit": str(unit), **index_provenance(index)}
    stored = read_table(path, HEAT_MAPS, provenance)
    known: dict[int, np.ndarray] = {}
    if stored is not None:
        values = (np.array(row.values, np.float32) for row in stored.table["activations"])
        known = dict(zip(stored.table["window"].to_pylist(), values, strict=True))
    missing = [example for example in examples if example.heat is None and example.window not in known]
    if missing:
        read = _reader(index, unit, model, quick)
        if read is None:
            return list(examples)
        for length in sorted({len(example.tokens) for example in missing}):
            same = {example.window: example for example in missing if len(example.tokens) == length}
            read_values = read(np.stack([example.tokens for example in same.values()]))
            known |= dict(zip(same, read_values, strict=True))
        _write(path, known, provenance)
    return [example if example.heat is not None else _heated(example, known[example.window]) for example in examples]


def _heated(example: Example, values: np.ndarray) -> Example:
    """The example with its heat map, whose peak is the stored value: a batch of another shape rounds differently."""
    peak = float(values[example.position])
    if abs(peak - example.value) > TOLERANCE * max(1.0, abs(example.value)):
        raise StoreError(f"the model gives {peak:.4g} where the index has {example.value:.4g}: make the index again")
    heat = np.where(example.counted, np.minimum(values, np.float32(example.value)), values).astype(np.float32)
    heat[example.position] = example.value
    return replace(example, heat=heat)


def _reader(index: Index, unit: Unit, model: str | None, quick: bool) -> Read | None:
    light = open_numpy_model(index.facts, index.folder, model)
    if light is not None and unit.point.kind in (Kind.MLP, Kind.RESID, Kind.HEAD):
        return _numpy_reader(light, unit)
    if quick:
        return None
    from corpus_audit.embeddings.unit_reading.unit_reader import open_unit

    return open_unit(index.facts, index.folder, unit, model).activations


def _numpy_reader(light: NumpyModel, unit: Unit) -> Read:
    block = unit.point.block
    assert block is not None

    def read(ids: np.ndarray) -> np.ndarray:
        seen: list[np.ndarray] = []

        def visit(kind: Kind, number: int, values: np.ndarray) -> None:
            if kind is unit.point.kind and number == block:
                seen.append(values[:, :, unit.index])

        try:
            light.network.run(ids, block, visit)
        except UnknownModelError as error:
            raise StoreError(f"the windows of the index are not the model's: {error}") from None
        return seen[0]

    return read


def _write(path: Path, known: dict[int, np.ndarray], provenance: dict[str, Any]) -> None:
    values = pa.array(list(known.values()), pa.list_(pa.float32()))
    table = pa.table({"window": pa.array(list(known), pa.uint64()), "activations": values}, schema=HEAT_MAPS)
    write_table(path, table, provenance)
