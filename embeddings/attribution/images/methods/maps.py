"""Class activation maps: which cells of a feature map a number is made of.

* CAM (Zhou et al. 2016, 1512.04150): where logits are a linear map of the spatial mean of feature maps A_k, the map of
  class c is sum_k w_ck A_k. Its mean plus the bias is the logit, exactly; for any other head it is not defined.
* Grad-CAM (Selvaraju et al. 2017, 1610.02391): sum_k alpha_k A_k with alpha_k the mean of dF/dA_k over positions. Of a
  mean and a linear map it is CAM over the number Z of positions. Of a vision transformer A_k are the dimensions of the
  residual stream at the patches.

Both are returned raw: signed, in the unit's own scale, at the resolution of the feature map. Packages that rectify a
map and stretch it to [0, 1] make maps that cannot be compared between images and hide what speaks against a class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from corpus_audit.schemas.errors import UsageError

_EXACT = 1e-4
"""Of the larger of a logit and 1, by how much a map's mean and the bias may differ from it."""


@dataclass(frozen=True)
class CellMap:
    """A map over the cells of a feature map.

    Attributes:
        values: float64 [h, w], signed.
        value: F(x), the number that is explained.
        bias: what the head adds to the map's mean; None for Grad-CAM.
    """

    values: np.ndarray
    value: float
    bias: float | None = None


class _Calls(TorchFunctionMode):  # type: ignore[misc]
    """Records feature maps, [B, K, h, w] of more than one position, and linear maps of vectors, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[torch.Tensor] = []
        self.linear: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        result = func(*args, **named)
        if not isinstance(result, torch.Tensor):
            return result
        if result.dim() == 4 and result.shape[2] * result.shape[3] > 1:
            self.maps.append(result)
        if func is functional.linear or (func in (functional.conv2d, torch.conv2d) and result.shape[2:] == (1, 1)):
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | named
            if given["input"].flatten(1).shape[1] == given["weight"].flatten(1).shape[1]:
                self.linear.append((given["input"].detach(), given["weight"], given.get("bias"), result.detach()))
        return result


def cam(logits: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, index: int) -> CellMap:
    """The class activation map of a logit.

    Args:
        logits: [B, C, H, W] -> [B, classes], before the softmax.
        image: [C, H, W].
        index: the class.

    Raises:
        UsageError: the logits are not a linear map of the spatial mean of a feature map.
    """
    with _Calls() as calls, torch.no_grad():
        output = logits(image[None])
    for vector, weight, bias, result in reversed(calls.linear):
        if result.flatten(1).shape != output.shape or not torch.equal(result.flatten(1), output):
            continue
        pooled = vector.flatten(1)
        for features in reversed(calls.maps):
            if features.shape[1] == pooled.shape[1] and _close(features.mean(dim=(2, 3)), pooled):
                return _cam(features[0], weight.flatten(1)[index], bias, index, float(output[0, index]))
    raise UsageError(
        "cam is defined where the logits are a linear map of the spatial mean of a feature map, and this model's are "
        "not: use grad_cam"
    )


def _cam(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, index: int, value: float) -> CellMap:
    values = torch.tensordot(weight.detach().double(), features.double(), 1).cpu().numpy()
    added = 0.0 if bias is None else float(bias.detach()[index])
    if abs(values.mean() + added - value) > _EXACT * max(abs(value), 1.0):
        raise UsageError(f"cam: the map's mean and the bias are {values.mean() + added:.6g}, the logit is {value:.6g}")
    return CellMap(values, value, added)


def _close(first: torch.Tensor, second: torch.Tensor) -> bool:
    scale = float(second.abs().max())
    return scale > 0 and float((first - second).abs().max()) <= 1e-5 * scale


def patch_grad_cam(
    maps_and_value: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], image: torch.Tensor
) -> CellMap:
    """Grad-CAM of a number over the patches of a vision transformer.

    Args:
        maps_and_value: [B, C, H, W] -> maps of the stream [B, K, h, w], and the number [B], which depends on them.
        image: [C, H, W].

    Raises:
        UsageError: the number does not depend on any patch there.
    """
    with torch.enable_grad():
        maps, value = maps_and_value(image[None].detach().requires_grad_(True))
        (gradient,) = torch.autograd.grad(value[0], maps, allow_unused=True)
    if gradient is None or not gradient.any():
        raise UsageError(
            "grad_cam: the unit does not depend on the patches at this layer: behind it only the class token is read"
        )
    return _weighed(maps[0], gradient[0], float(value[0].detach()))


def _weighed(features: torch.Tensor, gradient: torch.Tensor, value: float) -> CellMap:
    """Feature maps [K, h, w] weighed by their mean gradients."""
    alpha = gradient.double().mean(dim=(1, 2))
    return CellMap(torch.tensordot(alpha, features.detach().double(), 1).cpu().numpy(), value)


def grad_cam(
    function: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, layer: nn.Module | None = None
) -> CellMap:
    """Grad-CAM of a number.

    Args:
        function: [B, C, H, W] -> [B].
        image: [C, H, W].
        layer: its output are the feature maps (of its last call); by default the last feature maps of more than one
            position on which the number depends.

    Raises:
        UsageError: it depends on no feature map, or not on that of the layer.
    """
    leaf = image[None].detach().requires_grad_(True)
    outputs: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _m, _i, result: outputs.append(result)) if layer is not None else None
    try:
        with _Calls() as calls, torch.enable_grad():
            value = function(leaf)[0]
    finally:
        if hook is not None:
            hook.remove()
    for features in reversed(calls.maps if layer is None else outputs):
        if features is leaf or not features.requires_grad or features.dim() != 4:
            continue
        (gradient,) = torch.autograd.grad(value, features, retain_graph=True, allow_unused=True)
        if gradient is not None:
            return _weighed(features[0], gradient[0], float(value.detach()))
    raise UsageError(
        "grad_cam needs feature maps [channels, height, width] on which the unit depends, and there are none"
        + ("" if layer is None else " at this layer")
    )
