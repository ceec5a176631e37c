"""Files of a head on an image: safetensors with provenance, and the weights drawn on the image as PNG and SVG.

``NAME.safetensors`` holds ``attention`` and ``written`` (float64 [rows, columns]) and ``image`` (uint8 [h, w, 3], what
the model saw). Its metadata has under the key ``corpus-audit`` JSON with ``provenance`` and ``figures``.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.embeddings.attention.images.head_map import HeadMap, head_map
from corpus_audit.embeddings.attribution.images import drawing
from corpus_audit.embeddings.attribution.images.results import METADATA
from corpus_audit.embeddings.attribution.images.run import pixels_of
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.index.stored_results import digest_of, library_versions
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.units import Unit

FORMAT = "corpus-audit/image-attention/1"


@dataclass(frozen=True)
class HeadResult:
    """A head on an image, with its files: safetensors, PNG and SVG, in this order."""

    head: HeadMap
    image: np.ndarray
    provenance: dict[str, Any]
    files: tuple[Path, Path, Path]

    def figures(self) -> dict[str, Any]:
        """Everything but the maps, as plain values."""
        values = asdict(self.head)
        return {name: value for name, value in values.items() if name not in ("attention", "written")}


def show_head(model: ImageModel, unit: Unit, name: str, data: bytes, query: str, output: Path) -> HeadResult:
    """Compute what a head takes of each patch of an image, and write the files.

    Args:
        model: a vision transformer.
        unit: the head.
        name: of the image; the files are named after it.
        data: its file's bytes.
        query: as for `head_map`.
        output: a folder; it is made.

    Raises:
        UsageError: as `head_map`, or the image cannot be used.
    """
    pixels = pixels_of(name, data)
    head = head_map(model, unit, model.preprocess(pixels).to(model.device), query)
    image = model.preprocessing.cropped(pixels)
    provenance = {
        "format": FORMAT,
        "unit": str(unit),
        "query": query,
        "image": {"name": name, "sha256": hashlib.sha256(data).hexdigest()},
        "model": {"name": model.name, "digest": model.digest},
        "versions": library_versions(),
    }
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(name).stem)[:60] or "image"
    base = output / f"{stem}-{str(unit).replace(':', '.')}-attention-{digest_of(provenance)[:12]}"
    files = (base.with_name(f"{base.name}.{end}") for end in ("safetensors", "png", "svg"))
    result = HeadResult(head, image, provenance, tuple(files))  # type: ignore[arg-type]
    _write(result)
    return result


def _write(result: HeadResult) -> None:
    from safetensors.numpy import save

    head = result.head
    arrays = {"attention": head.attention, "written": head.written, "image": result.image}
    content = {"provenance": result.provenance, "figures": result.figures()}
    metadata = {METADATA: strict_json.dumps(content).decode()}
    result.files[0].parent.mkdir(parents=True, exist_ok=True)
    atomic_write(result.files[0], save({key: np.ascontiguousarray(each) for key, each in arrays.items()}, metadata))
    of = "the class token" if head.query is None else f"the patch at row {head.query[0]}, column {head.query[1]}"
    caption = [
        f"{result.provenance['unit']}: attention from {of} to each patch",
        f"{head.attention.sum():.1%} is on patches, {sum(head.others):.1%} on other tokens; it writes {head.value:.4g}",
        f"{result.provenance['image']['name']}; model {result.provenance['model']['digest'][:12]}",
    ]
    picture = drawing.Picture(result.image, head.attention, False, caption, head.patch)
    provenance = strict_json.dumps(result.provenance).decode()
    atomic_write(result.files[1], drawing.png(picture, provenance))
    atomic_write(result.files[2], drawing.svg(picture, provenance).encode())
