"""Loads sparse autoencoders in SAELens' format, and computes their latents tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from corpus_audit.embeddings.models.autoencoder_config import CONFIG_FILE, Hook, SaeConfig, read_config
from corpus_audit.schemas.errors import UsageError

WEIGHTS_FILE = "sae_weights.safetensors"
VERSION = 2
"""Part of the key of a scan that has autoencoders: how their latents are computed."""

_TIED_TOKENS = 1 << 22
"""Latents of tokens with a tie at the k-th place that are computed at once."""


@dataclass(frozen=True)
class Autoencoder:
    """The encoder half of a sparse autoencoder.

    Attributes:
        config: its settings.
        w: [inputs, latents]; b: [latents]. Where the decoder's norms multiply what goes into the activation function,
            both are multiplied by them.
        b_dec: [inputs], subtracted from the input; else None.
        threshold: [latents] of a JumpReLU; else None.
        magnitude: [latents], exp(r_mag) of a gated one, and b_magnitude: [latents] its b_mag; else None.
    """

    config: SaeConfig
    w: torch.Tensor
    b: torch.Tensor
    b_dec: torch.Tensor | None = None
    threshold: torch.Tensor | None = None
    magnitude: torch.Tensor | None = None
    b_magnitude: torch.Tensor | None = None

    @property
    def hook(self) -> Hook:
        """The hook point that it reads."""
        return self.config.hook

    @property
    def inputs(self) -> int:
        """Width of its input."""
        return int(self.w.shape[0])

    @property
    def latents(self) -> int:
        """Number of latents."""
        return int(self.w.shape[1])

    @property
    def has_threshold(self) -> bool:
        """Whether a latent jumps at a threshold, or at the k-th place, and does not grow from 0."""
        return self.config.architecture != "standard"

    def to(self, device: torch.device) -> Autoencoder:
        """A copy on a device."""
        tensors = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{n: t.to(device) for n, t in tensors.items() if isinstance(t, torch.Tensor)})

    def encode(self, x: torch.Tensor, columns: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Latents of float32 [.., inputs], tile by tile: yields (first latent, float32 [.., columns])."""
        x = self._prepare(x)
        if self.config.k:
            yield from self._strongest(x, columns)
            return
        for start in range(0, self.latents, columns):
            yield start, self._tile(x, slice(start, start + columns))

    def _prepare(self, x: torch.Tensor) -> torch.Tensor:
        """The input as the encoder's weights take it."""
        if self.config.is_centered:
            x = x - x.mean(dim=-1, keepdim=True)
        match self.config.normalization:
            case "constant_norm_rescale":
                norm = x.norm(dim=-1, keepdim=True)
                x = torch.where(norm > 0, x * (self.inputs**0.5 / norm), x)
            case "layer_norm":  # SAELens': the spread over one input less, and the epsilon outside of the root
                x = x - x.mean(dim=-1, keepdim=True)
                x = x / (x.std(dim=-1, keepdim=True) + 1e-5)
        return x if self.b_dec is None else x - self.b_dec

    def _before(self, x: torch.Tensor, part: slice) -> torch.Tensor:
        return x @ self.w[:, part] + self.b[part]

    def _tile(self, x: torch.Tensor, part: slice) -> torch.Tensor:
        if self.magnitude is not None and self.b_magnitude is not None:
            product = x @ self.w[:, part]
            is_open = product + self.b[part] > 0
            return self._activate(product * self.magnitude[part] + self.b_magnitude[part]) * is_open
        before = self._before(x, part)
        if self.threshold is not None:
            return self._activate(before) * (before > self.threshold[part])
        return self._activate(before)

    def _activate(self, before: torch.Tensor) -> torch.Tensor:
        latents = before.clamp_min(0.0)
        return latents.tanh() if self.config.is_tanh else latents

    def _strongest(self, x: torch.Tensor, columns: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Tiles of a top-k autoencoder: exactly k latents of a token, those above 0; of equal ones the first.

        1. While the tiles are computed, each once, the k + 1 highest of each token are kept.
        2. Where the last two of these are equal, a tie crosses the k-th place, and the kept indices depend on the
           order in which ``topk`` returns equal values. That token's latents are then sorted in full (`_resolve_ties`).
        3. The tiles are made again from the kept values.
        """
        candidates = min(self.config.k + 1, self.latents)
        value, index = x.new_empty((*x.shape[:-1], 0)), x.new_empty((*x.shape[:-1], 0), dtype=torch.long)
        for start in range(0, self.latents, columns):
            tile = self._before(x, slice(start, start + columns)).float()
            best = tile.topk(min(candidates, tile.shape[-1]), -1)
            value, index = torch.cat([value, best.values], -1), torch.cat([index, best.indices + start], -1)
            if value.shape[-1] > candidates:
                value, order = value.topk(candidates, -1)
                index = index.gather(-1, order)
        value, order = value.sort(dim=-1, descending=True)
        index = index.gather(-1, order)
        if candidates > self.config.k:
            value, index = self._resolve_ties(x, value, index)
        value = value.clamp_min(0.0)
        for start in range(0, self.latents, columns):
            width = min(columns, self.latents - start)
            inside = (index >= start) & (index < start + width)
            tile_latents = value.new_zeros((*value.shape[:-1], width))
            # Of a token that has latents elsewhere, a zero is added to the first or last column.
            yield (
                start,
                tile_latents.scatter_add_(-1, (index - start).clamp(0, width - 1), torch.where(inside, value, 0.0)),
            )

    def _resolve_ties(
        self, x: torch.Tensor, value: torch.Tensor, index: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The k latents that stay and their indices, of the k + 1 highest [.., k + 1], which descend."""
        k, latents = self.config.k, self.latents
        is_tied = (value[..., k - 1] == value[..., k]) & (value[..., k] > 0)
        value, index = value[..., :k].clone(), index[..., :k].clone()
        values, indices, rows = value.view(-1, k), index.view(-1, k), x.reshape(-1, x.shape[-1])
        tied = torch.nonzero(is_tied.reshape(-1))[:, 0]
        at_once = max(1, _TIED_TOKENS // latents)
        for rows_of_part in tied.split(at_once) if len(tied) else ():
            # A stable sort: of equal values the lower index comes first.
            first = self._before(rows[rows_of_part], slice(None)).float().sort(dim=-1, descending=True, stable=True)
            values[rows_of_part], indices[rows_of_part] = first.values[:, :k], first.indices[:, :k]
        return value, index


_NEEDED = {
    "standard": ("W_enc", "W_dec", "b_enc", "b_dec"),
    "topk": ("W_enc", "W_dec", "b_enc", "b_dec"),
    "jumprelu": ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"),
    "gated": ("W_enc", "W_dec", "b_gate", "b_mag", "r_mag", "b_dec"),
}
_SCALES = ("scaling_factor", "finetuning_scaling_factor")
"""Of latents before they are decoded; the first is the name in old files, and is 1 where it was not used."""


def load_autoencoder(folder: Path, ignore: tuple[str, ...] = ()) -> Autoencoder:
    """Read a sparse autoencoder.

    Args:
        folder: holds cfg.json and sae_weights.safetensors.
        ignore: unknown keys to accept, as in `autoencoder_config.read_config`.

    Raises:
        UsageError: a file is missing, weights are missing or not those of its architecture, or its configuration is
            not supported (`autoencoder_config.read_config`).
    """
    if not (folder / WEIGHTS_FILE).is_file() or not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"{folder} is not a sparse autoencoder: it needs {CONFIG_FILE} and {WEIGHTS_FILE}")
    config = read_config(folder, ignore)
    weights = _weights(folder, config)
    w, b = weights["W_enc"], weights["b_gate" if config.architecture == "gated" else "b_enc"]
    if config.by_decoder_norm:
        norms = weights["W_dec"].norm(dim=-1)
        w, b = w * norms, b * norms
    return Autoencoder(
        config,
        w,
        b,
        weights["b_dec"] if config.subtracts_b_dec else None,
        weights.get("threshold"),
        weights["r_mag"].exp() if "r_mag" in weights else None,
        weights.get("b_mag"),
    )


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of an autoencoder, in float32, by the names in its file.

    Raises:
        UsageError: the file cannot be read.
    """
    from safetensors.torch import load_file

    path = folder / WEIGHTS_FILE
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except Exception as error:  # safetensors raises its own kind
        raise UsageError(f"{path} cannot be read: {error}") from error


def _weights(folder: Path, config: SaeConfig) -> dict[str, torch.Tensor]:
    """The tensors that the architecture has, all of them and no others, of fitting shapes and finite."""
    path = folder / WEIGHTS_FILE
    weights = load_weights(folder)
    needed = _NEEDED[config.architecture] + (("W_skip",) if config.skips else ())
    if config.architecture == "jumprelu" and "threshold" not in weights and "topk_threshold" in weights:
        # A batch top-k one as it is trained: one threshold for all, as SAELens makes it when it saves for inference.
        weights["threshold"] = weights.pop("topk_threshold").expand(weights.get("b_enc", torch.empty(0)).shape).clone()
    scales = [weights.pop(name) for name in _SCALES if name in weights]
    if not config.scales_decoder and any(not torch.allclose(scale, torch.ones_like(scale)) for scale in scales):
        raise UsageError(f"{path} has a scaling factor, and {CONFIG_FILE} says finetuning_scaling_factor: false")
    if missing := [name for name in needed if name not in weights]:
        raise UsageError(f"{path} lacks the weights {', '.join(missing)} of the architecture {config.architecture}")
    if unused := sorted(set(weights) - set(needed)):
        raise UsageError(
            f"{path} has the weights {', '.join(unused)}, which the architecture {config.architecture} does not use: "
            "their effect is not known"
        )
    if weights["W_enc"].dim() != 2:
        raise UsageError(f"{path}: W_enc has the shape {list(weights['W_enc'].shape)}, not [d_in, d_sae]")
    inputs, latents = weights["W_enc"].shape
    outputs = weights["b_dec"].shape[0] if config.predicts and weights["b_dec"].dim() == 1 else inputs
    shapes = {"W_enc": (inputs, latents), "W_dec": (latents, outputs), "b_dec": (outputs,)}
    shapes["W_skip"] = (outputs, inputs)
    for name in needed:
        shape = tuple(weights[name].shape)
        if shape != shapes.get(name, (latents,)):
            raise UsageError(f"{path}: {name} has the shape {list(shape)}, not {list(shapes.get(name, (latents,)))}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise UsageError(f"{path}: {name} has numbers that are not finite")
    for key, configured, actual in (("d_in", config.inputs, inputs), ("d_sae", config.latents, latents)):
        if configured is not None and configured != actual:
            raise UsageError(
                f"{folder / CONFIG_FILE}: {key}: {configured}, but W_enc has the shape {[inputs, latents]}"
            )
    if config.k > latents:
        raise UsageError(f"{folder / CONFIG_FILE}: k: {config.k} of {latents} latents")
    return weights
