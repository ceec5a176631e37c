"""Checks autoencoders' latents against an independent computation, and measures their explained variance.

The scan computes latents in float32, tile by tile, from folded weights. For a sample of tokens, this module computes
them again in float64 with numpy, straight from the two files: a latent that differs stops the build. The sample is also
decoded: an autoencoder that does not explain its input was trained on something else (another hook, model or
normalisation), which its configuration does not show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from corpus_audit.embeddings.models.autoencoder_config import CONFIG_FILE, SaeConfig
from corpus_audit.embeddings.models.autoencoders import load_weights
from corpus_audit.embeddings.models.hooks import Activations, Taps
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.scan.batches import batch_ids, batches
from corpus_audit.embeddings.scan.reduction import to_device
from corpus_audit.embeddings.scan.windows import Windows
from corpus_audit.schemas.errors import AuditError, UsageError
from corpus_audit.schemas.spec.embedding import EmbeddingSpec
from corpus_audit.schemas.units import Kind

TOKENS = 256
"""Tokens of a sample, and windows from which they are drawn: those of lowest name, which is a hash."""
WINDOWS = 64
LEAST_EXPLAINED = 0.3
"""Share of the variance below which an autoencoder is said not to fit what it reads."""

_TOLERANCE = 1e-5
"""Of the lengths of a token's vector and of a latent's weights, multiplied: what float32 may round off."""


@dataclass(frozen=True, slots=True)
class CheckedSae:
    """Results of the check of one autoencoder on a sample of tokens.

    Attributes:
        hook: what it reads.
        tokens: of the sample.
        largest: by how much a latent differs from the computation in float64 at most, over the product of the lengths
            of the token's vector and of the latent's weights.
        undecided: latents so close to their threshold, or to the k-th place, that float32 may decide otherwise; these
            are not compared.
        active: latents above 0 of a token, on average.
        explained_variance: 1 less the squared error of what is decoded over the variance of what was encoded; below 0
            where it is worse than the mean. None where all vectors are the same, and of a transcoder, which predicts
            what is not read here.
    """

    hook: str
    tokens: int
    largest: float
    undecided: int
    active: float
    explained_variance: float | None

    def as_json(self) -> dict[str, Any]:
        """As plain values, with the share below which an autoencoder is said not to fit."""
        return asdict(self) | {"least_explained": LEAST_EXPLAINED}


def sample_inputs(taps: Taps, windows: Windows) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """By autoencoder, its hook, inputs float32 [N, inputs] and latents float32 [N, latents] at tokens that count.

    Args:
        taps: the units, hooked.
        windows: of which the first `WINDOWS` are run, and `TOKENS` of their tokens are drawn, evenly.
    """
    sampled_windows = np.arange(min(WINDOWS, len(windows)))
    counted = int(windows.counted[: windows.offsets[len(sampled_windows)]].sum())
    drawn = set(np.unique(np.linspace(0, max(counted - 1, 0), min(TOKENS, counted)).astype(np.int64)).tolist())
    inputs: dict[str, list[np.ndarray]] = {name: [] for name in taps.saes}
    latents: dict[str, list[np.ndarray]] = {name: [] for name in taps.saes}
    rows = {name: taps.rows_of(Kind.SAE, name) for name in taps.saes}
    number = np.cumsum(windows.counted) - 1  # of each token among those that count
    for batch in batches(windows.lengths[sampled_windows], 1):
        tiles: dict[str, list[np.ndarray]] = {name: [] for name in taps.saes}
        length = int(windows.lengths[batch[0]])
        token_index = windows.offsets[batch][:, None] + np.arange(length)
        mask = windows.counted[token_index] & np.isin(number[token_index], list(drawn))
        if not mask.any():
            continue

        def keep_input(name: str, values: torch.Tensor, mask: np.ndarray = mask) -> None:
            inputs[name].append(_picked(values, mask))

        def keep(
            activations: Activations, mask: np.ndarray = mask, tiles: Mapping[str, list[np.ndarray]] = tiles
        ) -> None:
            for name, (begin, stop) in rows.items():
                if begin <= activations.row < stop:
                    tiles[name].append(_picked(activations.values, mask))

        taps.run(to_device(batch_ids(windows, batch), taps.device), keep, inputs=keep_input)
        for name, parts in tiles.items():
            latents[name].append(np.concatenate(parts, axis=1))
    return {
        name: (str(sae.hook), np.concatenate(inputs[name]), np.concatenate(latents[name]))
        for name, sae in taps.saes.items()
    }


def _picked(values: torch.Tensor, mask: np.ndarray) -> np.ndarray:
    """The masked tokens [N, columns] of [B', L, columns]; mask is bool [B, L], rows beyond only fill the batch."""
    selected: np.ndarray = values[: len(mask)][torch.from_numpy(mask).to(values.device)].float().cpu().numpy()
    return selected


def check_autoencoder(name: str, folder: Path, hook: str, x: np.ndarray, latents: np.ndarray) -> CheckedSae:
    """Compare latents with those that the files of an autoencoder make of the same inputs.

    Args:
        name: of the autoencoder.
        folder: holds its files.
        hook: what it reads.
        x: float32 [N, inputs]; latents: float32 [N, latents], of the scan.

    Raises:
        AuditError: a latent differs by more than rounding explains.
    """
    config = _merged(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
    weights = {key: tensor.double().numpy() for key, tensor in load_weights(folder).items()}
    expected, margin, decoded, centred = _in_float64(config, weights, x.astype(np.float64))
    lengths = np.linalg.norm(_encoder_input(config, weights, centred), axis=1)[:, None] + 1.0
    scale = lengths * (np.linalg.norm(_encoder(config, weights), axis=0)[None] + 1e-12)
    undecided = margin <= _TOLERANCE * scale
    deviation = np.where(undecided, 0.0, np.abs(latents - expected) / scale)
    largest = float(deviation.max(initial=0.0))
    if not largest <= _TOLERANCE:
        token, latent = np.unravel_index(int(deviation.argmax()), deviation.shape)
        wrong = int((deviation > _TOLERANCE).sum())
        raise AuditError(
            f"sae.{name}: the scan's latents do not follow from {folder / CONFIG_FILE} and its weights: {wrong:,} of "
            f"{deviation.size:,} in a sample differ, such as latent {latent}: {latents[token, latent]:.6g}, but "
            f"{expected[token, latent]:.6g} computed in float64. Please report this with the cfg.json"
        )
    explained = None
    if "transcoder" not in config.get("architecture", ""):
        variance = float(((centred - centred.mean(axis=0)) ** 2).sum())
        explained = 1 - float(((centred - decoded) ** 2).sum()) / variance if variance > 0 else None
    active = float((latents > 0).sum(axis=1).mean())
    return CheckedSae(hook, len(x), largest, int(undecided.sum()), active, explained)


def _merged(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with what stands in its metadata, and under old names, at the top."""
    flat = {**(config.get("metadata") or {}), **config}
    if flat.get("activation_fn") is None:
        flat["activation_fn"] = flat.get("activation_fn_str")
    if flat.get("k") is None:
        flat["k"] = (flat.get("activation_fn_kwargs") or {}).get("k")
    return {key: value for key, value in flat.items() if value is not None}


def _encoder(config: dict[str, Any], weights: dict[str, np.ndarray]) -> np.ndarray:
    w = weights["W_enc"]
    return w * np.sqrt((weights["W_dec"] ** 2).sum(axis=1)) if config.get("rescale_acts_by_decoder_norm") else w


def _encoder_input(config: dict[str, Any], weights: dict[str, np.ndarray], read: np.ndarray) -> np.ndarray:
    how = config.get("normalize_activations")
    if how == "layer_norm":
        read = read - read.mean(axis=1, keepdims=True)
        read = read / (read.std(axis=1, ddof=1, keepdims=True) + 1e-5)
    elif how == "constant_norm_rescale":
        read = read * np.sqrt(read.shape[1]) / np.maximum(np.linalg.norm(read, axis=1, keepdims=True), 1e-30)
    subtracts = config.get("apply_b_dec_to_input", True) and "transcoder" not in config.get("architecture", "")
    return read - weights["b_dec"] if subtracts else read


class _Reference(NamedTuple):
    """An autoencoder's computation in float64.

    Attributes:
        latents: [N, latents].
        margin: [N, latents], how far each latent's input is from a threshold at which it would be on or off instead.
        decoded: [N, inputs], the reconstruction.
        read: [N, inputs], the input, centred where the configuration asks for that.
    """

    latents: np.ndarray
    margin: np.ndarray
    decoded: np.ndarray
    read: np.ndarray


def _in_float64(config: dict[str, Any], weights: dict[str, np.ndarray], x: np.ndarray) -> _Reference:
    """Encode and decode float64 ``x`` [N, inputs] as the configuration says, written independently of the scan."""
    kwargs = config.get("model_from_pretrained_kwargs") or {}
    hook = config.get("hook_name") or config.get("hook_point") or ""
    if kwargs.get("center_writing_weights") and not hook.endswith(("hook_z", "mlp.hook_post", "mlp.hook_in")):
        x = x - x.mean(axis=1, keepdims=True)
    product = _encoder_input(config, weights, x) @ weights["W_enc"]
    norms = np.linalg.norm(weights["W_dec"], axis=1)
    rescale = bool(config.get("rescale_acts_by_decoder_norm"))
    margin = np.full(product.shape, np.inf)
    if "b_gate" in weights:
        gate = product + weights["b_gate"]
        margin = np.abs(gate)
        latents = np.where(gate > 0, np.maximum(product * np.exp(weights["r_mag"]) + weights["b_mag"], 0), 0)
    else:
        before = (product + weights["b_enc"]) * (norms if rescale else 1.0)
        latents = np.maximum(before, 0)
        threshold = weights.get("threshold", weights.get("topk_threshold"))
        if threshold is not None:
            margin = np.abs(before - threshold)
            latents = np.where(before > threshold, latents, 0)
        elif config.get("architecture") == "topk" or config.get("activation_fn") == "topk":
            k = int(config["k"])
            order = np.argsort(-before, axis=1, kind="stable")
            stays = np.zeros(before.shape, bool)
            np.put_along_axis(stays, order[:, :k], True, axis=1)
            ranked = np.take_along_axis(before, order, axis=1)
            last, next_one = ranked[:, k - 1 : k], ranked[:, k : k + 1] if k < before.shape[1] else -np.inf
            margin = np.where(stays, before - next_one, last - before)
            latents = np.where(stays, latents, 0)
    if config.get("activation_fn") == "tanh-relu":
        latents = np.tanh(latents)
    if "transcoder" in config.get("architecture", ""):
        return _Reference(latents, margin, np.zeros_like(x), x)  # what it predicts is another activation
    scale = weights.get("finetuning_scaling_factor", weights.get("scaling_factor", 1.0))
    shares = latents * scale / (np.maximum(norms, 1e-30) if rescale else 1.0)
    decoded = shares @ weights["W_dec"] + weights["b_dec"]
    match config.get("normalize_activations"):
        case "layer_norm":
            centred = x - x.mean(axis=1, keepdims=True)
            decoded = decoded * centred.std(axis=1, ddof=1, keepdims=True) + x.mean(axis=1, keepdims=True)
        case "constant_norm_rescale":
            decoded = decoded * np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(x.shape[1])
    return _Reference(latents, margin, decoded, x)


def check_bos(name: str, config: SaeConfig, model: LanguageModel, spec: EmbeddingSpec) -> None:
    """Refuse windows that begin otherwise than an autoencoder's did in training, unless the audit says how they begin.

    Raises:
        UsageError: they differ, and `embedding.prepend_bos` is not set.
    """
    has_bos, trained_with_bos = model.begins_with_bos, config.prepend_bos
    if spec.prepend_bos is None and trained_with_bos not in (None, has_bos):
        raise UsageError(
            f"sae.{name} was trained with prepend_bos: {str(trained_with_bos).lower()}, and the tokenizer puts "
            f"{'a' if has_bos else 'no'} beginning-of-text token in front of a text. Set embedding.prepend_bos: "
            f"{str(trained_with_bos).lower()} to read windows as in its training, or {str(has_bos).lower()} to read "
            "them as the tokenizer makes them"
        )


def training_notes(config: SaeConfig, model: LanguageModel, spec: EmbeddingSpec) -> list[str]:
    """In sentences: how the data that an autoencoder was trained on differs from a scan's windows."""
    notes = []
    if config.prepend_bos not in (None, model.begins_with_bos):
        notes.append(
            f"it was trained with prepend_bos: {str(config.prepend_bos).lower()}, but windows are read "
            f"{'with' if model.begins_with_bos else 'without'} a beginning-of-text token (embedding.prepend_bos)"
        )
    if config.predicts:
        notes.append(f"it is a transcoder: how well it predicts {config.predicts} is not measured")
    if config.context_size is not None and spec.window > config.context_size:
        notes.append(f"it was trained on contexts of {config.context_size:,} tokens, but windows have {spec.window:,}")
    return notes
