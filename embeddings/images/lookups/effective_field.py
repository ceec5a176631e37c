"""Effective receptive fields: the box of a model's input that holds most of the squared gradient of a unit's value.

The gradient of the value at its peak with respect to the input, on the image itself, squared and summed over colours
(after Luo et al. 2016, 1701.04128, who average gradients over images). The box is the shortest range of rows and the
shortest range of columns that each hold all but half of what may be left out. So it holds `SHARE` at least; what it
does hold is given with it. Unlike the exact field it says nothing of what lies outside, which counts less, but does
count.

The gradient is that of the value before the activation function, as an activation that is at its limit (a ReLU6 at 6)
has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from corpus_audit.embeddings.images.card import ImageCard
from corpus_audit.embeddings.images.image_units import ACTIVATIONS, MapPoint
from corpus_audit.embeddings.images.lookups.crops import Crop, EffectiveField
from corpus_audit.embeddings.images.model import ImageModel
from corpus_audit.embeddings.images.reading import run_reading
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.schemas.units import Unit

SHARE = 0.95
"""Of the squared gradient, that the box of an effective field holds at least."""

SAME = 1e-3
"""Of the larger of a stored activation and 1, by how much the one that is computed now may differ."""


def with_effective_fields(
    index: Index, unit: Unit, examples: Sequence[Example], crops: Sequence[Crop | str], model: ImageModel
) -> list[Crop | str]:
    """Crops with the effective fields of the examples' peaks, or with the reason why there is none.

    Args:
        index: of an image model.
        unit: of the index.
        examples: of the unit.
        crops: their images, in the same order; reasons for missing ones stay.
        model: of the index.
    """
    card, point = ImageCard.from_json(index.facts.model), model.units.of(unit.point)
    done: list[Crop | str] = []
    for example, crop in zip(examples, crops, strict=True):
        if isinstance(crop, str):
            done.append(crop)
            continue
        inputs = model.preprocess(crop.pixels).to(model.device)
        value, mass = squared_gradient(model, point, unit.index, example.position, inputs)
        if not abs(value - example.value) <= SAME * max(abs(example.value), 1.0):
            reason = f"the activation is {value:.5g} now, and the index holds {example.value:.5g}"
            done.append(replace(crop, effective=reason))
        elif not mass.any():
            done.append(replace(crop, effective="the gradient is zero at every pixel"))
        else:
            box, share = holding_box(mass)
            geometry = card.preprocessing.geometry(*crop.pixels.shape[:2])
            done.append(replace(crop, effective=EffectiveField(box, geometry.to_image(*box), share)))
    return done


def squared_gradient(
    model: ImageModel, point: MapPoint, channel: int, position: int, inputs: torch.Tensor
) -> tuple[float, np.ndarray]:
    """A unit's activation at a position, and the squared gradient of its value before the activation function.

    Args:
        model: the model.
        point: where the unit is read.
        channel: its index there.
        position: y * width + x in its map; 0 for a logit.
        inputs: float32 [3, h, w], of one image.

    Returns:
        The activation, and the squared gradient summed over colours, float64 [h, w].
    """
    points = {"activation": point, "value": _before_activation(model, point)}
    read: dict[MapPoint, torch.Tensor] = {}

    def keep(at: MapPoint, values: torch.Tensor) -> None:
        # A copy: an activation function may work in place, and a view would follow it.
        read[at] = values.reshape(1, point.channels, -1)[0, channel, position].clone()

    with torch.inference_mode(False), torch.enable_grad():
        leaf = inputs.detach().clone()[None].requires_grad_(True)
        run_reading(model, leaf, dict.fromkeys(points.values()), keep)
        (gradient,) = torch.autograd.grad(read[points["value"]], leaf, allow_unused=True)
    activation = float(read[points["activation"]].detach())
    if gradient is None:
        return activation, np.zeros(tuple(inputs.shape[1:]))
    mass: np.ndarray = gradient[0].double().square().sum(0).cpu().numpy()
    return activation, mass


def holding_box(mass: np.ndarray, share: float = SHARE) -> tuple[tuple[int, int, int, int], float]:
    """A box that holds a share of a mass at least: left, top, right and bottom (excluded), and the share that it holds.

    Args:
        mass: float64 [h, w], not negative, not all zero.
        share: below 1.
    """
    each = 1 - (1 - share) / 2
    top, bottom = _shortest(mass.sum(1), each)
    left, right = _shortest(mass.sum(0), each)
    return (left, top, right, bottom), float(mass[top:bottom, left:right].sum() / mass.sum())


def _shortest(mass: np.ndarray, share: float) -> tuple[int, int]:
    """The shortest range, first and last (excluded), that holds a share; of several the one that holds most."""
    sums = np.concatenate([[0.0], np.cumsum(mass)])
    ends = np.searchsorted(sums, sums[:-1] + share * sums[-1] * (1 - 1e-12))
    starts = np.flatnonzero(ends < len(sums))
    ends = ends[starts]
    best = np.lexsort((sums[starts] - sums[ends], ends - starts))[0]
    return int(starts[best]), int(ends[best])


def _before_activation(model: ImageModel, point: MapPoint) -> MapPoint:
    """Where a unit's value is read before its activation function; the point itself if that cannot be watched for."""
    operation = model.trace.operations[point.operation]
    source = operation.inputs[0] if operation.name in ACTIVATIONS and len(point.after) > 1 else None
    before = None if source is None else model.trace.operations[source]
    if before is None or before.key is None:
        return point
    return replace(point, operation=before.index, key=before.key)
