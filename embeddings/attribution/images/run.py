"""Attributes a unit of an image model to an image file, and writes the result: the function behind the command.

A result is named by the digest of its provenance: unit, method, parameters, digests of model and image. A second call
with the same reads the file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus_audit.embeddings.attribution.images import drawing
from corpus_audit.embeddings.attribution.images.names import FACTS, ImageBaseline, ImageMethod
from corpus_audit.embeddings.attribution.images.results import StoredAttribution, read_result, write_result
from corpus_audit.embeddings.attribution.images.settings import ImageSettings
from corpus_audit.embeddings.index.stored_results import digest_of, library_versions
from corpus_audit.pipelines.images.decoding import ImageLimits, ImageRefused, decode_image
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import StoreError, UsageError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.units import Kind, Unit, parse_unit

FORMAT = "corpus-audit/image-attribution/1"
LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=50_000_000, max_frames=1000)
"""Of an image that is given as a file."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageResult:
    """An attribution of an image file.

    Attributes:
        stored: the attribution, what the model saw, and the provenance.
        files: safetensors, PNG and SVG, in this order.
        cached: whether it was read from the first of them.
    """

    stored: StoredAttribution
    files: tuple[Path, Path, Path]
    cached: bool


def attribute_file(
    model_name: str,
    unit: str | Unit,
    image: Path,
    output: Path,
    settings: ImageSettings | None = None,
    baseline: ImageBaseline = ImageBaseline.MEAN,
    layer: str | None = None,
    checked: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> ImageResult:
    """Attribute a unit's activation on an image, and write the result.

    Args:
        model_name: as `embeddings.images.model.load_image_model` takes it.
        unit: its address, ``conv.MODULE:CHANNEL`` or ``logit:CLASS``.
        image: the file.
        output: a folder for the files; it is made.
        settings: the method and its parameters.
        baseline: the image without content.
        layer: name of the module whose feature maps Grad-CAM weighs.
        checked: whether the checks are computed.
        say: is called with a line when the model is run.

    Raises:
        UsageError: the image or the model cannot be read, there is no such unit, or the method is not defined for it.
    """
    from corpus_audit.embeddings.images.model import load_image_model

    address = parse_unit(unit) if isinstance(unit, str) else unit
    data = read_bytes(image)
    model = load_image_model(model_name)
    settings = (settings or ImageSettings()).of_side(min(model.input_size))
    provenance = {
        "format": FORMAT,
        "unit": str(address),
        "method": str(settings.method),
        "parameters": {key: value for key, value in asdict(settings).items() if key != "method"}
        | {"baseline": str(baseline), "layer": layer, "checked": checked},
        "image": {"name": image.name, "sha256": hashlib.sha256(data).hexdigest()},
        "model": {"name": model_name, "digest": model.digest},
        "versions": library_versions(),
    }
    files = _files(output, image, address, settings.method, provenance)
    try:
        stored = read_result(files[0], provenance)
    except StoreError as error:
        _LOG.warning("corpus-audit: %s; it is computed again", error)
        stored = None
    cached = stored is not None
    if stored is None:
        say(f"running {model_name} to attribute {address}")
        stored = _computed(model, address, image, data, settings, baseline, layer, checked, provenance)
        write_result(files[0], stored)
    if not (cached and files[1].is_file() and files[2].is_file()):
        draw(stored, files)
    return ImageResult(stored, files, cached)


def read_bytes(image: Path) -> bytes:
    """The bytes of an image file, within `LIMITS`.

    Raises:
        UsageError: there is no such file, or it is too large.
    """
    try:
        if image.stat().st_size > LIMITS.max_bytes:
            raise UsageError(f"{image} has more than {LIMITS.max_bytes >> 20} MiB")
        return image.read_bytes()
    except OSError as error:
        raise UsageError(f"{image} cannot be read: {error.strerror or error}") from None


def pixels_of(image: Path, data: bytes) -> Any:
    """The pixels of an image file, uint8 [H, W, 3].

    Raises:
        UsageError: it is no image, is damaged, or has too many pixels.
    """
    try:
        return decode_image(data, LIMITS).pixels
    except ImageRefused as error:
        raise UsageError(f"{image} cannot be used: {error.detail} ({error.reason.value})") from None


def caption(stored: StoredAttribution) -> list[str]:
    """Lines for a picture of an attribution."""
    provenance, attribution = stored.provenance, stored.attribution
    method = ImageMethod(provenance["method"])
    name = stored.found.get("class_name")
    what = f"{provenance['unit']}{f' ({name})' if name else ''}, {method}"
    evidence = "" if FACTS[method].evidence else ": NOT EVIDENCE"
    lines = [what + evidence, f"F(x) {attribution.value:.4g}, F(b) {attribution.baseline_value:.4g}"]
    if attribution.converged is False:
        lines[-1] += ", NOT CONVERGED"
    box = stored.found["field"]
    size = f"{stored.image.shape[1]} x {stored.image.shape[0]}"
    lines.append(
        f"{provenance['image']['name']}, as the model sees it: {size}; model {provenance['model']['digest'][:12]}"
    )
    if stored.found["position"] is not None:
        y, x = stored.found["position"]
        lines.append(
            f"activation at row {y}, column {x} of the map; its receptive field {box[2] - box[0]} x {box[3] - box[1]}"
        )
    return lines


def draw(stored: StoredAttribution, files: tuple[Path, Path, Path]) -> None:
    """Write the pictures of an attribution."""
    field = stored.found["field"] if stored.found["position"] is not None else None
    signed = ImageMethod(stored.provenance["method"]) is not ImageMethod.SALIENCY
    picture = drawing.Picture(
        stored.image, stored.attribution.values, signed, caption(stored), tuple(field) if field else None
    )
    metadata = strict_json.dumps(stored.provenance).decode()
    atomic_write(files[1], drawing.png(picture, metadata))
    atomic_write(files[2], drawing.svg(picture, metadata).encode())


def _files(
    output: Path, image: Path, unit: Unit, method: ImageMethod, provenance: dict[str, Any]
) -> tuple[Path, Path, Path]:
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in image.stem)[:60] or "image"
    name = f"{stem}-{str(unit).replace(':', '.')}-{method}-{digest_of(provenance)[:12]}"
    return output / f"{name}.safetensors", output / f"{name}.png", output / f"{name}.svg"


def _computed(
    model: Any,
    unit: Unit,
    image: Path,
    data: bytes,
    settings: ImageSettings,
    baseline: ImageBaseline,
    layer: str | None,
    checked: bool,
    provenance: dict[str, Any],
) -> StoredAttribution:
    from corpus_audit.embeddings.attribution.images.compute import attribute_image
    from corpus_audit.embeddings.attribution.images.model_unit import as_input, baseline_of, unit_at_peak

    pixels = pixels_of(image, data)
    inputs = as_input(model, pixels)
    at = unit_at_peak(model, unit, inputs, layer)
    attribution = attribute_image(at.unit, inputs, baseline_of(model, inputs, baseline), settings, checked)
    names = model.class_names if unit.point.kind is Kind.LOGIT else ()
    found = {
        "position": None if at.position is None else list(at.position),
        "field": list(at.field),
        "class_name": names[unit.index] if unit.index < len(names) else None,
        "device": str(model.device),
    }
    return StoredAttribution(attribution, model.preprocessing.cropped(pixels), provenance, found)
