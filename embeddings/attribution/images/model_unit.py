"""A unit of a loaded image model as a function of its input, which attribution and maximisation take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from corpus_audit.embeddings.attribution.images.compute import ImageUnit, modules_of
from corpus_audit.embeddings.attribution.images.names import ImageBaseline
from corpus_audit.embeddings.images.image_units import MapPoint
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.reading import read_maps
from corpus_audit.embeddings.images.receptive_fields import receptive_field
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit, check_exists


@dataclass(frozen=True)
class UnitAtPeak:
    """A unit on one image.

    Attributes:
        unit: what attribution takes: the activation at the position.
        position: of the highest activation, y and x in the unit's map; None for a logit.
        field: the receptive field of that position: left, top, right and bottom in the model's input.
        patch: the patch of that position, of a unit of a vision transformer; None for others.
    """

    unit: ImageUnit
    position: tuple[int, int] | None
    field: tuple[int, int, int, int]
    patch: tuple[int, int, int, int] | None = None


def point_of(model: ImageModel, unit: Unit) -> MapPoint:
    """Where a unit is read.

    Raises:
        UsageError: the model has no such unit; where it is a convolution without units, the message says why.
    """
    for refused in model.units.refused:
        if (refused.kind, refused.name) == (unit.point.kind, unit.point.name):
            raise UsageError(f"{unit.point} of {model.name} has no units: {refused.reason}")
    check_exists(unit, model.units.widths())
    return model.units.of(unit.point)


def unit_at_peak(model: ImageModel, unit: Unit, image: torch.Tensor, layer: str | None = None) -> UnitAtPeak:
    """A unit at its highest activation on an image.

    Args:
        model: the model.
        unit: its address.
        image: float32 [3, h, w], as `ImageModel.preprocess` gives it, on the model's device.
        layer: name of the module whose feature maps Grad-CAM weighs; of a vision transformer ``resid.N``.

    Raises:
        UsageError: the model has no such unit or module.
    """
    point = point_of(model, unit)
    tokens = model.units.tokens.stream is not None
    module = None
    if layer is not None and not tokens:
        modules = dict(model.module.named_modules())
        if layer not in modules:
            raise UsageError(f"{model.name} has no module {layer!r}")
        module = modules[layer]

    def values(batch: torch.Tensor) -> torch.Tensor:
        return read_maps(model, batch, [point])[point]

    if unit.point.kind is Kind.LOGIT:
        function: Callable[[torch.Tensor], torch.Tensor] = lambda batch: values(batch)[:, unit.index]  # noqa: E731
        at, flat, logits = None, 0, values
    else:
        with torch.no_grad():
            flat = int(values(image[None])[0, unit.index].argmax())
        y, x = at = divmod(flat, point.width)
        function, logits = lambda batch: values(batch)[:, unit.index, y, x], None
    field = receptive_field(model.trace, point, unit.index, flat)
    unknown = model.units.tokens.refused and layer is None and not tokens
    patches = _patches(model, point, unit.index, at, layer) if tokens or unknown else None
    made = ImageUnit(function, modules_of(model.module, function, image), logits, unit.index, module, patches)
    patch = None
    if point.tokens is not None and at is not None:
        (top, bottom), (left, right) = point.tokens.grid.rows[at[0]], point.tokens.grid.columns[at[1]]
        patch = left, top, right + 1, bottom + 1
    return UnitAtPeak(made, at, field.box, patch)


def _patches(
    model: ImageModel, point: MapPoint, index: int, at: tuple[int, int] | None, layer: str | None
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """What Grad-CAM weighs of a vision transformer: the stream at the patches, and the unit as it depends on it.

    By default of a logit, the stream that the last block reads: behind that block a head may read the class token
    alone.
    """
    streams = {str(each.point): each for each in model.units.points if each.point.kind is Kind.RESID}

    def maps_and_value(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        name = layer
        if not streams:
            reason = model.units.tokens.refused[0][1]
            raise UsageError(f"grad_cam: this model's tokens are no maps ({reason}); name a module with --layer")
        if name is None and point.point.kind is Kind.LOGIT and len(streams) > 1:
            name = f"{Kind.RESID}.{len(streams) - 2}"
        if name is None:
            raise UsageError(
                "grad_cam of a vision transformer weighs its stream: name the block with --layer, such as resid.0"
            )
        if name not in streams:
            known = ", ".join(streams)
            known = ", ".join(streams)
            raise UsageError(f"grad_cam of a vision transformer weighs its stream: --layer is one of {known}")
        if streams[name] is point:
            raise UsageError(f"grad_cam: {name} is the layer of the unit itself; name an earlier one")
        maps = read_maps(model, batch, [streams[name], point])
        value = maps[point][:, index]
        return maps[streams[name]], value if at is None else value[:, at[0], at[1]]

    return maps_and_value


def highest(model: ImageModel, unit: Unit) -> Callable[[torch.Tensor], torch.Tensor]:
    """The unit's activation on each of a batch of inputs [B, 3, h, w]: of a convolution, the highest of its map."""
    point = point_of(model, unit)

    def function(batch: torch.Tensor) -> torch.Tensor:
        values = read_maps(model, batch, [point])[point][:, unit.index]
        return values if values.dim() == 1 else values.amax(dim=(1, 2))

    return function


def baseline_of(model: ImageModel, image: torch.Tensor, baseline: ImageBaseline) -> torch.Tensor:
    """An input without content, float32 [3, h, w]: of one colour."""
    if baseline is ImageBaseline.MEAN:
        return image.mean(dim=(1, 2), keepdim=True).expand_as(image).contiguous()
    height, width = model.input_size
    level = 0 if baseline is ImageBaseline.BLACK else 255
    return as_input(model, np.full((height, width, 3), level, np.uint8))


def as_input(model: ImageModel, pixels: np.ndarray) -> torch.Tensor:
    """The input for an image, uint8 [H, W, 3], on the model's device."""
    return model.preprocess(pixels).to(model.device)


def of_colours(model: ImageModel, colours: torch.Tensor) -> torch.Tensor:
    """Inputs for images whose colours are from 0 to 1, [B, 3, h, w], with gradients; neither resized nor cropped."""
    steps = model.preprocessing
    mean, std = (torch.tensor(each, device=colours.device)[:, None, None] for each in (steps.mean, steps.std))
    return (colours * (255 * steps.scale) - mean) / std
