"""Heat maps of examples: the activation of every token, computed when it is needed and kept beside the index.

An index holds where units peak. The activations of all other tokens in these windows would be most of its bytes and a
third of the time to make it, and few of them are ever looked at.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.numpy_models.bert import UnknownModelError
from corpus_audit.embeddings.numpy_models.encoder import NumpyModel, open_numpy_model
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.units import Kind, Unit

TOLERANCE = 1e-3
"""By how much the activation at the peak may differ from the stored one, over the larger of that and 1."""

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
    path = index.folder.parent / ".heat-maps" / index.folder.name / f"{unit}.npz".replace(":", "_")
    known = _read(path)
    missing = [example for example in examples if example.heat is None and example.window not in known]
    if missing:
        read = _reader(index, unit, model, quick)
        if read is None:
            return list(examples)
        for length in sorted({len(example.tokens) for example in missing}):
            same = {example.window: example for example in missing if len(example.tokens) == length}
            values = read(np.stack([example.tokens for example in same.values()]))
            known |= dict(zip(same, values, strict=True))
        _write(path, known)
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


def _read(path: Path) -> dict[int, np.ndarray]:
    """Cached activations by window; a damaged cache counts as empty."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            windows, ends, values = stored["windows"], stored["ends"], stored["values"]
        return dict(zip(windows.tolist(), np.split(values, ends[:-1]), strict=True)) if len(windows) else {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write(path: Path, known: dict[int, np.ndarray]) -> None:
    import io

    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    ends = np.cumsum([len(values) for values in known.values()])
    np.savez(file, windows=np.array(list(known), np.uint64), ends=ends, values=np.concatenate(list(known.values())))
    atomic_write(path, file.getvalue())
