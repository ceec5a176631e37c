"""Autoencoders on disk in SAELens' format, and their latents by plain numpy in float64."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

HOOK = "blocks.0.hook_resid_post"
GATED = ("W_enc", "W_dec", "b_gate", "b_mag", "r_mag", "b_dec")


def random_weights(rng, inputs: int, latents: int, architecture: str = "standard") -> dict[str, np.ndarray]:
    """Weights of an architecture; decoder rows have norms from 0.1 to 10."""
    norms = 10.0 ** rng.uniform(-1, 1, (latents, 1))
    result = {
        "W_enc": rng.normal(size=(inputs, latents)),
        "W_dec": rng.normal(size=(latents, inputs)) / np.sqrt(inputs) * norms,
        "b_enc": rng.normal(size=latents) * 0.3,
        "b_dec": rng.normal(size=inputs),
    }
    if architecture == "gated":
        del result["b_enc"]
        result |= {name: rng.normal(size=latents) * 0.3 for name in ("b_gate", "b_mag", "r_mag")}
    if architecture == "jumprelu":
        result["threshold"] = rng.uniform(0, 2, latents)
    if architecture.endswith("batchtopk"):
        result["topk_threshold"] = np.array(0.7)
    return {name: array.astype(np.float32) for name, array in result.items()}


def write_autoencoder(folder: Path, config: dict, weights: dict[str, np.ndarray]) -> Path:
    """cfg.json and sae_weights.safetensors."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(
        {name: np.ascontiguousarray(array) for name, array in weights.items()}, folder / "sae_weights.safetensors"
    )
    return folder


def latents_of(
    x: np.ndarray,
    weights: dict[str, np.ndarray],
    architecture: str = "standard",
    *,
    normalize: str = "none",
    b_dec: bool = True,
    centered: bool = False,
    tanh: bool = False,
    k: int = 0,
    rescale: bool = False,
) -> np.ndarray:
    """Latents one token at a time, as SAELens documents them; of equal latents at the k-th place the first stay."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    result = []
    for row in x.astype(np.float64):
        if centered:
            row = row - row.mean()
        if normalize == "constant_norm_rescale":
            row = row / np.sqrt((row**2).sum()) * np.sqrt(len(row))
        if normalize == "layer_norm":
            spread = np.sqrt(((row - row.mean()) ** 2).sum() / (len(row) - 1))
            row = (row - row.mean()) / (spread + 1e-5)
        if b_dec:
            row = row - w["b_dec"]
        squash = np.tanh if tanh else (lambda values: values)
        if architecture == "gated":
            gate = row @ w["W_enc"] + w["b_gate"]
            magnitude = squash(np.maximum(row @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"], 0))
            result.append(np.array([m if g > 0 else 0.0 for g, m in zip(gate, magnitude, strict=True)]))
            continue
        before = row @ w["W_enc"] + w["b_enc"]
        if rescale:
            before = before * np.array([np.linalg.norm(one) for one in w["W_dec"]])
        if k:
            stay = sorted(range(len(before)), key=lambda i: (-before[i], i))[:k]
            result.append(np.array([max(before[i], 0) if i in stay else 0.0 for i in range(len(before))]))
            continue
        threshold = w.get("threshold", w.get("topk_threshold", np.array(-np.inf)))
        result.append(np.where(before > threshold, squash(np.maximum(before, 0)), 0.0))
    return np.array(result)
