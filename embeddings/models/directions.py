"""Reads directions of the residual stream from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus_audit.schemas.errors import UsageError


def load_vectors(path: Path) -> np.ndarray:
    """Directions of a .npy or .safetensors file, float32 [n, d]; tensors of the latter in order of their names.

    Raises:
        UsageError: the file cannot be read, or holds something else than vectors of finite real numbers, such as a
            bias, which a dot product with a vector ignores.
    """
    try:
        if path.suffix == ".npy":
            parts = [_as_float32(path, path.name, np.load(path, allow_pickle=False))]
        elif path.suffix == ".safetensors":
            from safetensors.torch import load_file  # numpy has no bfloat16

            tensors = sorted(load_file(path).items())
            if len({tensor.dim() for _, tensor in tensors}) > 1:
                shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors)
                raise UsageError(
                    f"{path} holds vectors and tensors of other dimensions: {shapes}. Only dot products with vectors "
                    "are computed, without a bias, mean or scale: keep only directions in the file"
                )
            for name, tensor in tensors:
                if tensor.is_complex():
                    raise UsageError(f"{path}: {name} has complex numbers; directions are real")
            parts = [_as_float32(path, name, tensor.float().numpy()) for name, tensor in tensors]
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


def _as_float32(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        shape = list(array.shape)
        raise UsageError(f"{path}: {name} is {array.dtype} {shape}; directions are real numbers [n, d] or [d]")
    return array.astype(np.float32)


def read_direction(text: str) -> np.ndarray:
    """The vector, float32 [d], of ``FILE``, or of ``FILE:ROW`` where a file holds several.

    Raises:
        UsageError: the file cannot be read, or has several vectors and ROW is missing or too large.
    """
    file, colon, row = text.rpartition(":")
    path, number = (Path(file), int(row)) if colon and row.isdigit() else (Path(text), None)
    vectors = load_vectors(path)
    if number is None and len(vectors) > 1:
        raise UsageError(f"{path} holds {len(vectors):,} vectors: select one, such as {path.name}:0")
    if number is not None and number >= len(vectors):
        count = "1 vector" if len(vectors) == 1 else f"{len(vectors):,} vectors"
        raise UsageError(f"{path} has no row {number}: it holds {count}, and rows are counted from 0")
    direction: np.ndarray = vectors[number or 0]
    return direction
