"""Files of attributions of images: safetensors with everything that decides them, and pictures; no torch to read.

``NAME.safetensors`` holds ``attribution`` (float64, of pixels or of cells), ``image`` (uint8 [h, w, 3], what the model
saw) and, of deconvolution and guided backpropagation, ``signal`` (float32 [3, h, w]). Its metadata has under the key
``corpus-audit`` JSON with ``provenance``, ``figures`` (with the checks) and ``target``. The name ends in the digest of
the provenance. The same attribution gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.embeddings.attribution.images.settings import ImageAttribution
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run import strict_json

METADATA = "corpus-audit"
"""The key of the files' metadata."""
_ARRAYS = ("values", "signal")


@dataclass(frozen=True)
class StoredAttribution:
    """What a file holds.

    Attributes:
        attribution: the attribution and its checks.
        image: uint8 [h, w, 3], what the model saw.
        provenance: everything that decides it, as plain values.
        target: what was computed on the way: position, receptive field, class.
    """

    attribution: ImageAttribution
    image: np.ndarray
    provenance: dict[str, Any]
    target: dict[str, Any]


def figures(attribution: ImageAttribution) -> dict[str, Any]:
    """Everything of an attribution but its arrays, as plain values; what is not finite is None."""
    values: dict[str, Any] = {}
    for each in fields(attribution):
        if each.name not in _ARRAYS:
            value = getattr(attribution, each.name)
            values[each.name] = list(value) if isinstance(value, tuple) else value
    error = values["completeness_error"]
    values["completeness_error"] = error if error is None or np.isfinite(error) else None
    return values


def write_result(path: Path, stored: StoredAttribution) -> None:
    """Write an attribution, atomically."""
    from safetensors.numpy import save

    tensors = {"attribution": np.ascontiguousarray(stored.attribution.values), "image": stored.image}
    if stored.attribution.signal is not None:
        tensors["signal"] = np.ascontiguousarray(stored.attribution.signal)
    content = {"provenance": stored.provenance, "figures": figures(stored.attribution), "target": stored.target}
    # One key, as safetensors writes several in a random order.
    metadata = {METADATA: strict_json.dumps(content).decode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, save(tensors, metadata))


def read_result(path: Path, provenance: Mapping[str, Any] | None = None) -> StoredAttribution | None:
    """An attribution that was written before; None if there is no such file.

    Args:
        path: of the file.
        provenance: what it has to be of.

    Raises:
        StoreError: it is damaged, of another version or of something else.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        content = strict_json.loads(metadata[METADATA].encode())
        plain = dict(content["figures"])
        plain["random_areas"] = tuple(plain["random_areas"])
        attribution = ImageAttribution(values=arrays["attribution"], signal=arrays.get("signal"), **plain)
        image = arrays["image"]
        stored, target = dict(content["provenance"]), dict(content["target"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, strict_json.StrictJsonError):
        raise StoreError(f"{path} is damaged, or was written by another version") from None
    if provenance is not None and stored != provenance:
        raise StoreError(f"{path} is of something else")
    return StoredAttribution(attribution, image, stored, target)
