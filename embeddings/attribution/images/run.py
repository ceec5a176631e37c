"""Attributes a unit of an image model to image files, and writes the results: what the command runs.

A result is named by the digest of its provenance: unit, method, parameters, digests of model and image. A second call
with the same reads the file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
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


class Attributor:
    """Attributes a unit of one model to images, and writes the results.

    Args:
        model: an `embeddings.images.model.ImageModel`.
        unit: its address: ``conv.MODULE:CHANNEL``, ``logit:CLASS``, or of a vision transformer ``mlp.3:417``.
        output: a folder for the files; it is made.
        settings: the method and its parameters.
        baseline: the image without content.
        layer: name of the module whose feature maps Grad-CAM weighs.
        say: is called with a line when the model is run.
    """

    def __init__(
        self,
        model: Any,
        unit: str | Unit,
        output: Path,
        settings: ImageSettings | None = None,
        baseline: ImageBaseline = ImageBaseline.MEAN,
        layer: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.model, self.output = model, output
        self.unit = parse_unit(unit) if isinstance(unit, str) else unit
        self._settings = _sized(settings or ImageSettings(), model)
        self._baseline, self._layer, self._say = baseline, layer, say

    def attribute(self, name: str, data: bytes, checked: bool = True) -> ImageResult:
        """Attribute the unit's activation on an image, or read the result of an earlier call.

        Args:
            name: of the image; the files are named after it.
            data: its file's bytes.
            checked: whether the checks are computed.

        Raises:
            UsageError: the image cannot be used, there is no such unit, or the method is not defined for it.
        """
        settings = self._settings
        provenance = {
            "format": FORMAT,
            "unit": str(self.unit),
            "method": str(settings.method),
            "parameters": {key: value for key, value in asdict(settings).items() if key != "method"}
            | {"baseline": str(self._baseline), "layer": self._layer, "checked": checked},
            "image": {"name": name, "sha256": hashlib.sha256(data).hexdigest()},
            "model": {"name": self.model.name, "digest": self.model.digest},
            "versions": library_versions(),
        }
        files = _files(self.output, Path(name).stem, self.unit, settings.method, provenance)
        try:
            stored = read_result(files[0], provenance)
        except StoreError as error:
            _LOG.warning("corpus-audit: %s; it is computed again", error)
            stored = None
        cached = stored is not None
        if stored is None:
            self._say(f"running {self.model.name} to attribute {self.unit} on {name}")
            stored = self._computed(name, data, checked, provenance)
            write_result(files[0], stored)
        if not (cached and files[1].is_file() and files[2].is_file()):
            draw(stored, files)
        return ImageResult(stored, files, cached)

    def _computed(self, name: str, data: bytes, checked: bool, provenance: dict[str, Any]) -> StoredAttribution:
        from corpus_audit.embeddings.attribution.images.compute import attribute_image
        from corpus_audit.embeddings.attribution.images.model_unit import as_input, baseline_of, unit_at_peak

        model, pixels = self.model, pixels_of(name, data)
        inputs = as_input(model, pixels)
        at = unit_at_peak(model, self.unit, inputs, self._layer)
        baseline = baseline_of(model, inputs, self._baseline)
        attribution = attribute_image(at.unit, inputs, baseline, self._settings, checked)
        names = model.class_names if self.unit.point.kind is Kind.LOGIT else ()
        target = {
            "position": None if at.position is None else list(at.position),
            "field": list(at.field),
            "patch": None if at.patch is None else list(at.patch),
            "class_name": names[self.unit.index] if self.unit.index < len(names) else None,
            "device": str(model.device),
        }
        return StoredAttribution(attribution, model.preprocessing.cropped(pixels), provenance, target)


def _sized(settings: ImageSettings, model: Any) -> ImageSettings:
    """The settings with a patch and a stride of occlusion: of a vision transformer, its own patches."""
    if settings.method is ImageMethod.OCCLUSION and not settings.patch:
        grid = model.units.tokens.grid
        if grid is not None:
            top, bottom = grid.rows[0]
            settings = replace(settings, patch=bottom - top + 1, stride=settings.stride or bottom - top + 1)
    return settings.of_side(min(model.input_size))


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


def pixels_of(image: str, data: bytes) -> Any:
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
    name = stored.target.get("class_name")
    what = f"{provenance['unit']}{f' ({name})' if name else ''}, {method}"
    evidence = "" if FACTS[method].evidence else ": NOT EVIDENCE"
    lines = [what + evidence, f"F(x) {attribution.value:.4g}, F(b) {attribution.baseline_value:.4g}"]
    if attribution.converged is False:
        lines[-1] += ", NOT CONVERGED"
    if attribution.deletion is not None:
        low, high = attribution.random_areas[0], attribution.random_areas[-1]
        lines.append(
            f"deletion {attribution.deletion:.2f}, insertion {attribution.insertion:.2f}; "
            f"random orders {low:.2f} to {high:.2f}"
        )
    if attribution.randomised_all is not None:
        lines.append(f"Spearman with the map of permuted weights {attribution.randomised_all:.2f}")
    box = stored.target["field"]
    size = f"{stored.image.shape[1]} x {stored.image.shape[0]}"
    lines.append(
        f"{provenance['image']['name']}, as the model sees it: {size}; model {provenance['model']['digest'][:12]}"
    )
    if stored.target["position"] is not None:
        y, x = stored.target["position"]
        what = f"the map; its receptive field {box[2] - box[0]} x {box[3] - box[1]}"
        lines.append(f"activation at row {y}, column {x} of {'the patches' if stored.target.get('patch') else what}")
    return lines


def draw(stored: StoredAttribution, files: tuple[Path, Path, Path]) -> None:
    """Write the pictures of an attribution."""
    field = stored.target["field"] if stored.target["position"] is not None else None
    field = stored.target.get("patch") or field
    signed = ImageMethod(stored.provenance["method"]) is not ImageMethod.SALIENCY
    picture = drawing.Picture(
        stored.image, stored.attribution.values, signed, caption(stored), tuple(field) if field else None
    )
    metadata = strict_json.dumps(stored.provenance).decode()
    atomic_write(files[1], drawing.png(picture, metadata))
    atomic_write(files[2], drawing.svg(picture, metadata).encode())


def _files(
    output: Path, image: str, unit: Unit, method: ImageMethod, provenance: dict[str, Any]
) -> tuple[Path, Path, Path]:
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in image)[:60] or "image"
    name = f"{stem}-{str(unit).replace(':', '.')}-{method}-{digest_of(provenance)[:12]}"
    return output / f"{name}.safetensors", output / f"{name}.png", output / f"{name}.svg"
