"""Attributes a number that a network computes of an image to pixels or cells, and checks the attribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from corpus_audit.embeddings.attribution.images.methods.maps import cam, grad_cam, patch_grad_cam
from corpus_audit.embeddings.attribution.images.methods.patches import grid_cells, over_pixels, patch_masks
from corpus_audit.embeddings.attribution.images.methods.rules import deconvolution, guided
from corpus_audit.embeddings.attribution.images.names import ImageMethod
from corpus_audit.embeddings.attribution.images.settings import ImageAttribution, ImageSettings
from corpus_audit.embeddings.attribution.methods.faithfulness import faithfulness
from corpus_audit.embeddings.attribution.methods.gradients import (
    gradient_x_input,
    integrate,
    integrated_gradients,
    saliency,
)
from corpus_audit.embeddings.attribution.methods.occlusion import occlusion
from corpus_audit.embeddings.attribution.methods.randomisation import permuted_weights, spearman
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget
from corpus_audit.schemas.errors import UsageError

_RANDOMISED_STEPS = 32
"""Points of integrated gradients of permuted weights: only the order of pixels is used."""


@dataclass(frozen=True)
class ImageUnit:
    """A unit of a network, as attribution needs it.

    Attributes:
        function: images [B, C, H, W], as the network takes them, -> activations [B].
        modules: what the unit is computed by, each with parameters of its own, the last one first.
        logits: -> [B, classes], where the unit is a class; else None.
        index: the class.
        layer: whose feature maps Grad-CAM weighs; None for the last ones.
        patches: of a vision transformer, what Grad-CAM weighs in place of a layer's: see `patch_grad_cam`.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    modules: Sequence[nn.Module]
    logits: Callable[[torch.Tensor], torch.Tensor] | None = None
    index: int = 0
    layer: nn.Module | None = None
    patches: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None


def attribute_image(
    unit: ImageUnit, image: torch.Tensor, baseline: torch.Tensor, settings: ImageSettings, checked: bool = True
) -> ImageAttribution:
    """Attribute a unit's activation on an image.

    Args:
        unit: the unit; its network is in evaluation mode.
        image: float32 [C, H, W], as the network takes it.
        baseline: of the same shape: an image without content.
        settings: the method, its parameters and the checks'.
        checked: whether deletion, insertion and the correlations with permuted weights are computed: about
            ``orders * curve`` forward passes and two more attributions.

    Raises:
        UsageError: the method is not defined for this unit or network; the message has the reason.
    """
    # As much memory as a batch of 8 at 224 x 224 takes, whatever the size.
    settings = settings.of_side(min(image.shape[1:]))
    rows = min(32, max(1, 8 * 224**2 // (image.shape[1] * image.shape[2])))
    target = ScalarTarget(unit.function, image, baseline, (0,), rows)
    result = _by_method(unit, target, settings)
    if not checked:
        return result
    height, width = target.positions
    pixels = over_pixels(result.values, (height, width))
    cells = grid_cells((height, width), settings.grid)
    areas = faithfulness(target, pixels, settings.seed, settings.orders, settings.curve, cells)
    if areas is not None:
        result = replace(result, deletion=areas.deletion, insertion=areas.insertion, random_areas=areas.random)
    last, every = (_randomised(unit, target, settings, result, n) for n in (1, len(unit.modules)))
    return replace(result, randomised_last=last, randomised_all=every)


def _by_method(unit: ImageUnit, target: ScalarTarget, settings: ImageSettings) -> ImageAttribution:
    result = ImageAttribution(np.empty((0, 0)), target.value, target.baseline_value)
    match settings.method:
        case ImageMethod.INTEGRATED_GRADIENTS:
            integral = integrated_gradients(target, settings.tolerance, settings.steps, settings.most_steps)
            return replace(
                result,
                values=integral.values,
                steps=integral.steps,
                completeness_error=integral.error,
                converged=integral.converged,
            )
        case ImageMethod.CAM:
            if unit.logits is None:
                raise UsageError("cam explains logits, and this unit is none: use grad_cam")
            cells = cam(unit.logits, target.input, unit.index)
            return replace(result, values=cells.values, bias=cells.bias)
        case ImageMethod.GRAD_CAM if unit.patches is not None:
            return replace(result, values=patch_grad_cam(unit.patches, target.input).values)
        case ImageMethod.GRAD_CAM:
            if unit.logits is None and unit.layer is None:
                raise UsageError(
                    "grad_cam of a unit that is no logit needs a layer before it whose feature maps it weighs"
                )
            return replace(result, values=grad_cam(target.function, target.input, unit.layer).values)
        case ImageMethod.DECONVOLUTION | ImageMethod.GUIDED:
            of = deconvolution if settings.method is ImageMethod.DECONVOLUTION else guided
            signal = of(target)
            return replace(result, values=target.over_positions(signal), signal=signal.cpu().numpy())
    return replace(result, values=_by_pixel(target, settings))


def _by_pixel(target: ScalarTarget, settings: ImageSettings) -> np.ndarray:
    match settings.method:
        case ImageMethod.OCCLUSION:
            height, width = target.positions
            return occlusion(target, patch_masks((height, width), settings.patch, settings.stride))
        case ImageMethod.GRADIENT_X_INPUT:
            return gradient_x_input(target)
    return saliency(target)


def _randomised(
    unit: ImageUnit, target: ScalarTarget, settings: ImageSettings, result: ImageAttribution, modules: int
) -> float | None:
    """The rank correlation with the attribution after the weights of so many modules, from the last, were permuted."""
    with permuted_weights(unit.modules[:modules], settings.seed):
        again = ScalarTarget(unit.function, target.input, target.baseline, target.features, target.rows)
        match settings.method:
            case ImageMethod.INTEGRATED_GRADIENTS:
                permuted = integrate(again, min(result.steps or _RANDOMISED_STEPS, _RANDOMISED_STEPS))
            case ImageMethod.DECONVOLUTION:  # of the same projection, wherever the activation is now
                permuted = again.over_positions(deconvolution(again, start=1.0))
            case _:
                permuted = _by_method(unit, again, settings).values
    return spearman(result.values.ravel(), permuted.ravel())


def modules_of(
    network: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor
) -> list[nn.Module]:
    """Modules with parameters of their own that a function runs, the one that is run last first, each once."""
    order: dict[nn.Module, None] = {}

    def note(module: nn.Module, _inputs: object, _output: object) -> None:
        order.pop(module, None)
        order[module] = None

    own = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    hooks = [module.register_forward_hook(note) for module in own]
    try:
        with torch.no_grad():
            function(image[None])
    finally:
        for hook in hooks:
            hook.remove()
    return list(reversed(order))
