"""Sparse autoencoders in SAELens' format (``cfg.json`` and ``sae_weights.safetensors``)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from corpus_audit.schemas.errors import UsageError

_HOOK = re.compile(r"blocks\.(\d+)\.(hook_resid_pre|hook_resid_post|mlp\.hook_post)")
_ARCHITECTURES = ("standard", "jumprelu", "topk")


@dataclass(frozen=True)
class Autoencoder:
    """The encoder half of a sparse autoencoder.

    Attributes:
        block, is_mlp: what it reads: the residual stream after the block (-1: before the first), or its MLP's neurons.
        w: [inputs, latents]; b: [latents], the decoder's bias folded in where it is subtracted from the input.
        threshold: [latents] of a JumpReLU; else None. k: latents of a top-k autoencoder that stay; else 0.
    """

    block: int
    is_mlp: bool
    w: torch.Tensor
    b: torch.Tensor
    threshold: torch.Tensor | None = None
    k: int = 0

    @property
    def inputs(self) -> int:
        """Width of what it reads."""
        return int(self.w.shape[0])

    @property
    def latents(self) -> int:
        """Number of latents."""
        return int(self.w.shape[1])

    def to(self, device: torch.device) -> Autoencoder:
        """A copy on a device."""
        threshold = None if self.threshold is None else self.threshold.to(device)
        return replace(self, w=self.w.to(device), b=self.b.to(device), threshold=threshold)

    def encode(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Latents ``[start, stop)`` of [.., inputs], after their activation function."""
        before = x @ self.w[:, start:stop] + self.b[start:stop]
        if self.threshold is not None:
            return torch.where(before > self.threshold[start:stop], before, 0.0).clamp_min_(0.0)
        if self.k:
            # The k-th highest of all latents, found tile by tile: the k highest of each are enough.
            best = before.new_empty((*x.shape[:-1], 0))
            for at in range(0, self.latents, stop - start):
                tile = x @ self.w[:, at : at + stop - start] + self.b[at : at + stop - start]
                best = torch.cat([best, tile], -1).topk(min(self.k, best.shape[-1] + tile.shape[-1]), -1).values
            before = torch.where(before >= best[..., -1:], before, 0.0)
        return before.clamp_min_(0.0)


def load_autoencoder(folder: Path) -> Autoencoder:
    """Read a sparse autoencoder.

    Raises:
        UsageError: it is not there, is a pickle, or of an architecture or a hook point that is not supported.
    """
    from safetensors.torch import load_file

    weights_path = folder / "sae_weights.safetensors"
    if not weights_path.is_file() or not (folder / "cfg.json").is_file():
        raise UsageError(f"{folder} is no sparse autoencoder: it needs cfg.json and sae_weights.safetensors")
    config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    try:
        weights = {name: tensor.float() for name, tensor in load_file(weights_path).items()}
    except Exception as error:  # safetensors raises its own kind
        raise UsageError(f"{weights_path} cannot be read: {error}") from error
    kind = config.get("architecture") or ("topk" if config.get("activation_fn_str") == "topk" else "standard")
    if config.get("activation_fn_str") == "topk":
        kind = "topk"
    if kind not in _ARCHITECTURES:
        raise UsageError(f"{folder}: architecture {kind!r} is not supported (known: {', '.join(_ARCHITECTURES)})")
    if config.get("normalize_activations", "none") not in ("none", None):
        raise UsageError(f"{folder}: normalize_activations {config['normalize_activations']!r} is not supported")
    block, is_mlp = _place(folder, config)
    try:
        w, b = weights["W_enc"], weights["b_enc"]
        if config.get("apply_b_dec_to_input", True):
            b = b - weights["b_dec"] @ w
        threshold = weights["threshold"] if kind == "jumprelu" else None
    except KeyError as error:
        raise UsageError(f"{folder} lacks the weights {error}") from error
    k = int((config.get("activation_fn_kwargs") or {}).get("k", config.get("k", 0))) if kind == "topk" else 0
    if kind == "topk" and k < 1:
        raise UsageError(f"{folder}: a top-k autoencoder needs k in cfg.json")
    return Autoencoder(block, is_mlp, w, b, threshold, k)


def _place(folder: Path, config: dict[str, Any]) -> tuple[int, bool]:
    hook = config.get("hook_name") or (config.get("metadata") or {}).get("hook_name") or ""
    found = _HOOK.fullmatch(hook)
    if not found:
        raise UsageError(
            f"{folder}: hook {hook!r} is not supported (blocks.N.hook_resid_pre, .hook_resid_post, .mlp.hook_post)"
        )
    return int(found[1]) - (found[2] == "hook_resid_pre"), found[2] == "mlp.hook_post"
