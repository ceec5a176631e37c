"""Norms as linear maps: the gain and the bias of a LayerNorm or RMSNorm, whatever its class is called."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from corpus_audit.embeddings.attention.trace import same


@dataclass(frozen=True)
class Norm:
    """A norm: x -> s * gain * (x - mean(x) if it centres, else x) + bias, where the scale s depends on x.

    Attributes:
        gain, bias: float32 [d].
        centres: whether the mean is subtracted first (LayerNorm), or not (RMSNorm).
    """

    gain: torch.Tensor
    bias: torch.Tensor
    centres: bool

    def unscaled(self, vectors: torch.Tensor) -> torch.Tensor:
        """The linear part without the scale, [..., d]."""
        centred = vectors - vectors.mean(-1, keepdim=True) if self.centres else vectors
        return centred * self.gain

    def scale(self, stream: torch.Tensor, normed: torch.Tensor) -> torch.Tensor:
        """The scale s of vectors [..., d] whose norm is ``normed``, [..., 1], by least squares."""
        linear = self.unscaled(stream)
        square = (linear * linear).sum(-1, keepdim=True).clamp_min(torch.finfo(linear.dtype).tiny)
        return ((normed - self.bias) * linear).sum(-1, keepdim=True) / square


def norm_of(module: nn.Module, width: int) -> Norm | None:
    """The norm that a module computes, found by calling it; None if it is no LayerNorm or RMSNorm.

    Args:
        module: takes and gives vectors [1, 1, d].
        width: d.
    """
    if width % 2:
        return None
    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    signs = torch.tensor([1.0, -1.0]).repeat(width // 2).to(device)
    probe = torch.randn(width, generator=generator).to(device)
    try:
        with torch.inference_mode():
            up, down, out, shifted = (
                module(x[None, None])[0, 0].float() for x in (signs, -signs, probe, probe + probe.std())
            )
    except (RuntimeError, TypeError, IndexError, AttributeError):
        return None
    if up.shape != signs.shape:
        return None
    norm = Norm((up - down) / 2 * signs, (up + down) / 2, centres=same(shifted, out))
    return norm if same(norm.scale(probe, out) * norm.unscaled(probe) + norm.bias, out) else None
