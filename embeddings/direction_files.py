"""Directions of the residual stream from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus_audit.schemas.errors import UsageError


def load_vectors(path: Path) -> np.ndarray:
    """Directions of a .npy or .safetensors file, float32 [n, d]; tensors of the latter in order of their names.

    Raises:
        UsageError: it cannot be read, or holds something else than vectors of finite numbers.
    """
    try:
        if path.suffix == ".npy":
            parts = [np.load(path, allow_pickle=False).astype(np.float32)]
        elif path.suffix == ".safetensors":
            from safetensors.torch import load_file  # numpy has no bfloat16

            parts = [tensor.float().numpy() for _, tensor in sorted(load_file(path).items())]
        else:
            raise UsageError(f"{path}: directions are .npy or .safetensors files")
        vectors = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    except UsageError:
        raise
    except Exception as error:  # a missing, cut or pickled file, or tensors of different widths
        raise UsageError(f"{path} cannot be read as directions: {error}") from error
    if not len(vectors) or not np.isfinite(vectors).all():
        raise UsageError(f"{path}: directions must be finite numbers, at least one vector")
    return vectors


def read_direction(text: str) -> np.ndarray:
    """The vector, float32 [d], of ``FILE``, or of ``FILE:ROW`` where a file holds several.

    Raises:
        UsageError: it cannot be read, or it is not said which of several is meant.
    """
    file, colon, row = text.rpartition(":")
    path, number = (Path(file), int(row)) if colon and row.isdigit() else (Path(text), None)
    vectors = load_vectors(path)
    if number is None and len(vectors) > 1:
        raise UsageError(f"{path} holds {len(vectors)} vectors: say which, such as {path.name}:0")
    if number is not None and number >= len(vectors):
        raise UsageError(f"{path} holds {len(vectors)} vectors, counted from 0")
    found: np.ndarray = vectors[number or 0]
    return found
