"""A cache of the receptive fields of an index's examples, beside the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.unit_reading.receptive import ReceptiveField, ReceptiveFields
from corpus_audit.embeddings.unit_reading.unit_reader import open_unit
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.units import Unit


def receptive_fields(
    index: Index, unit: Unit, examples: Sequence[Example], lowest: bool = False, model: str | None = None
) -> list[ReceptiveField]:
    """The receptive field of each example; the model is loaded only if one is not in the cache.

    Raises:
        UsageError: the model does not exist or is not the index's, or it has no receptive fields.
    """
    path = index.folder.parent / ".receptive-fields" / f"{index.folder.name}.json"
    known = _read(path)
    keys = [f"{unit}/{example.window:016x}/{example.position}" + ("/min" if lowest else "") for example in examples]
    if any(key not in known for key in keys):
        finder = ReceptiveFields(open_unit(index.facts, index.folder, unit, model))
        for key, example in zip(keys, examples, strict=True):
            if key not in known:
                row = int(np.searchsorted(index.window_names, np.uint64(example.window)))
                known[key] = finder.find(index.windows["tokens"][row].as_py(), example.position, lowest)
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, strict_json.dumps({key: asdict(field) for key, field in known.items()}))
    return [known[key] for key in keys]


def _read(path: Path) -> dict[str, ReceptiveField]:
    """The cached fields by key; a cache that is damaged or of another version counts as empty."""
    try:
        return {str(key): ReceptiveField(**field) for key, field in strict_json.loads(path.read_bytes()).items()}
    except (OSError, strict_json.StrictJsonError, TypeError, AttributeError):
        return {}
