"""Heat maps of examples: the activation of every token, computed when it is needed and kept beside the index.

An index holds where units peak. The activations of all other tokens in these windows would be most of its bytes and a
third of the time to make it, and few of them are ever looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.stored_results import index_provenance, read_table, results_folder, write_table
from corpus_audit.embeddings.numpy_models.bert import IN_NUMPY, UnknownModelError
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
    cache = _Cache(index, unit)
    known = cache.read()
    missing = _missing(examples, known)
    if missing:
        read = _reader(index, unit, model, quick)
        if read is None:
            return list(examples)
        for length in sorted({len(example.tokens) for example in missing}):
            same = {example.window: example for example in missing if len(example.tokens) == length}
            read_values = read(np.stack([example.tokens for example in same.values()]))
            known |= dict(zip(same, read_values, strict=True))
        cache.write(known)
    return _all_heated(examples, known)


def with_heat_of_units(
    index: Index, examples: Mapping[Unit, Sequence[Example]], model: str | None = None
) -> dict[Unit, list[Example]]:
    """Examples of many units with heat maps, as `with_heat`; the model is loaded once, and runs once over a window.

    Args:
        index: the index.
        examples: by unit.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError, StoreError, ModuleNotFoundError: as `with_heat`.
    """
    # Here, as it imports what cuts windows, whose kernels take longer to import than a lookup.
    from corpus_audit.embeddings.lookup.corpus_pass import each_batch, stored_windows

    known = {unit: _Cache(index, unit).read() for unit in examples}
    missing = {unit: {e.window for e in _missing(own, known[unit])} for unit, own in examples.items()}
    names = np.array(sorted(set().union(*missing.values())), np.uint64)
    if len(names):
        units_of_row = {index.row_of(unit): unit for unit, windows in missing.items() if windows}
        windows = stored_windows(index, np.searchsorted(index.window_names, names))

        def visit(batch: np.ndarray, first: int, activations: np.ndarray) -> None:
            for row in units_of_row.keys() & set(range(first, first + activations.shape[-1])):
                unit = units_of_row[row]
                for number, name in enumerate(names[batch].tolist()):
                    if name in missing[unit]:
                        known[unit][name] = activations[number, :, row - first].copy()

        each_batch(index, windows, list(dict.fromkeys(unit.point for unit in units_of_row.values())), visit, model)
        for unit in units_of_row.values():
            _Cache(index, unit).write(known[unit])
    return {unit: _all_heated(own, known[unit]) for unit, own in examples.items()}


def _missing(examples: Sequence[Example], known: Mapping[int, np.ndarray]) -> list[Example]:
    return [example for example in examples if example.heat is None and example.window not in known]


def _all_heated(examples: Sequence[Example], known: Mapping[int, np.ndarray]) -> list[Example]:
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
    if light is not None and unit.point.kind in IN_NUMPY:
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
            seen.append(values[:, :, unit.index])

        try:
            light.network.run(ids, block, visit, {(unit.point.kind, block)})
        except UnknownModelError as error:
            raise StoreError(f"the windows of the index are not the model's: {error}") from None
        return seen[0]

    return read


class _Cache:
    """The file beside an index in which the heat maps of a unit are kept."""

    def __init__(self, index: Index, unit: Unit) -> None:
        self.path = results_folder(index.folder, "heat-maps") / f"{unit}.parquet".replace(":", "_")
        self.provenance: dict[str, Any] = {"format": FORMAT, "unit": str(unit), **index_provenance(index)}

    def read(self) -> dict[int, np.ndarray]:
        """Activations float32 [L] by window; none if there is no file, or it is damaged or of something else."""
        stored = read_table(self.path, HEAT_MAPS, self.provenance)
        if stored is None:
            return {}
        values = (np.array(row.values, np.float32) for row in stored.table["activations"])
        return dict(zip(stored.table["window"].to_pylist(), values, strict=True))

    def write(self, known: Mapping[int, np.ndarray]) -> None:
        """Replace the file."""
        values = pa.array(list(known.values()), pa.list_(pa.float32()))
        table = pa.table({"window": pa.array(list(known), pa.uint64()), "activations": values}, schema=HEAT_MAPS)
        write_table(self.path, table, self.provenance)
