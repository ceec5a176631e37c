"""Writes units for other tools: Parquet tables, Neuronpedia's files of features and activations, delphi's caches."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.lookup.compare_units import firing
from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.embeddings.lookup.heat import with_heat_of_units
from corpus_audit.embeddings.lookup.unit_tables import records_table, unit_domains_table
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Point, Unit

Format = Literal["parquet", "neuronpedia", "delphi"]

LEAST = 1e-5
"""Magnitude from which delphi's cache holds an activation."""

BATCH = 2048
"""Units of a file of Neuronpedia's."""


def export(
    index: Index, rows: np.ndarray, folder: Path, form: Format, most: int = 2000, model: str | None = None
) -> int:
    """Write units to a folder; returns how many.

    * parquet: ``records.parquet`` and ``unit_domains.parquet`` of all units, in the schemas RECORDS and UNIT_DOMAINS.
    * neuronpedia: ``features/batch-N.jsonl.gz`` and ``activations/batch-N.jsonl.gz``, top lists with the activation of
      every token. Special tokens around a window are left out.
    * delphi: a folder a point with ``FIRST_LAST.safetensors`` (locations, activations, tokens) of the windows that have
      vectors; windows shorter than the longest are filled with token 0, where nothing is active.

    Args:
        index: the index.
        rows: of the units, int64 ascending.
        folder: is made.
        form: the format.
        most: windows of delphi's cache at most, chosen by hash.
        model: path of the model, if it has moved since the index was made.

    Raises:
        UsageError: the folder is not empty, or as `with_heat_of_units` and `corpus_values`.
        ModuleNotFoundError: the extra is not installed.
    """
    index.facts.check_reads_text("exports")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    every = list(index.units())
    units = [every[row] for row in rows.tolist()]
    if form == "parquet":
        pq.write_table(records_table(index), folder / "records.parquet", compression="zstd")
        pq.write_table(unit_domains_table(index), folder / "unit_domains.parquet", compression="zstd")
        return len(every)
    if form == "neuronpedia":
        _neuronpedia(index, rows, units, folder, model)
    else:
        _delphi(index, units, folder, most, model)
    return len(units)


def layer_name(index: Index, point: Point) -> str:
    """What Neuronpedia calls a point: its block and its kind, or the name of its autoencoder."""
    if point.block is not None:
        return f"{point.block}-{point.kind.value}"
    checked = (index.facts.autoencoders or {}).get(str(point.name)) or {}
    block = str(checked.get("hook", "")).split(".")[1:2]
    return f"{block[0] if block else 0}-{point.name or point.kind.value}"


def _neuronpedia(index: Index, rows: np.ndarray, units: Sequence[Unit], folder: Path, model: str | None) -> None:
    created = datetime.now(UTC).isoformat()
    share, _ = firing(index, rows)
    name = Path(str(index.facts.model["name"])).name
    for number, begin in enumerate(range(0, len(units), BATCH)):
        features, activations = [], []
        some = units[begin : begin + BATCH]
        heated = with_heat_of_units(index, {unit: index.lookup(unit, k=index.facts.sizes["k"]) for unit in some}, model)
        for at, (unit, examples) in enumerate(heated.items(), begin):
            layer = layer_name(index, unit.point)
            identity = {"modelId": name, "layer": layer, "index": unit.index, "createdAt": created}
            highest = examples[0].value if examples else 0.0
            features.append(identity | {"maxActApprox": highest, "frac_nonzero": float(share[at])})
            activations += [identity | _activation(example) for example in examples]
        _write_lines(folder / "features" / f"batch-{number}.jsonl.gz", features)
        _write_lines(folder / "activations" / f"batch-{number}.jsonl.gz", activations)


def _activation(example: Example) -> dict[str, Any]:
    """One example in the fields of Neuronpedia's activations."""
    assert example.heat is not None
    shown = np.flatnonzero(example.starts >= 0)
    texts = example.token_texts
    values = [float(f"{value:.6g}") for value in example.heat[shown].tolist()]
    origin = example.locations[0] if example.locations else None
    return {
        "tokens": [texts[at] for at in shown.tolist()],
        "values": values,
        "maxValue": max(values),
        "minValue": min(values),
        "maxValueTokenIndex": int(np.searchsorted(shown, example.position)),
        "dataIndex": None if origin is None else (origin.id or f"{origin.shard}:{origin.row}"),
        "dataSource": None if origin is None else origin.domain,
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _delphi(index: Index, units: Sequence[Unit], folder: Path, most: int, model: str | None) -> None:
    from safetensors.numpy import save_file

    points = list(dict.fromkeys(unit.point for unit in units))
    for point in points:
        own = [unit for unit in units if unit.point == point]
        result = corpus_values(index, own, most, model)
        windows = result.windows
        tokens = np.zeros((len(windows), int(windows.lengths.max())), np.int64)
        number = np.repeat(np.arange(len(windows)), windows.lengths)
        within = np.arange(len(windows.tokens)) - windows.offsets[:-1][number]
        tokens[number, within] = windows.tokens
        at, column = np.nonzero(np.abs(result.values) > LEAST)
        indices = np.array([unit.index for unit in own])
        first, last = int(indices.min()), int(indices.max())
        locations = np.stack([number[at], within[at], indices[column] - first], axis=1)
        small = np.uint16 if locations.max(initial=0) < 2**16 else np.uint32
        target = folder / str(point)
        target.mkdir(parents=True, exist_ok=True)
        arrays = {
            "locations": locations.astype(small),
            "activations": result.values[at, column].astype(np.float16),
            "tokens": tokens,
        }
        save_file(arrays, str(target / f"{first}_{last}.safetensors"))
        config = {"model_name": str(index.facts.model["name"]), "cache_ctx_len": tokens.shape[1],
                  "n_tokens": len(windows.tokens)}  # fmt: skip
        (target / "config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")
