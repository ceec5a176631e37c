"""Whether an attribution depends on what the model has learned (Adebayo et al. 2018, 1810.03292).

The weights of modules are permuted, each tensor within itself, which keeps their distribution and destroys what they
compute. An attribution that looks the same afterwards shows the input and not the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def permuted_weights(modules: Iterable[nn.Module], seed: int) -> Iterator[None]:
    """Within the block, the entries of every parameter are in a random order; they are restored after it."""
    generator = torch.Generator().manual_seed(seed)
    parameters = list({id(p): p for module in modules for p in module.parameters()}.values())
    kept: list[torch.Tensor] = []
    try:
        with torch.no_grad():
            for parameter in parameters:
                kept.append(parameter.detach().clone())
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
        yield
    finally:
        with torch.no_grad():
            for parameter, original in zip(parameters, kept, strict=False):
                parameter.copy_(original)


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties by their mean rank; None if one of the two is constant or shorter than 3."""
    if len(first) < 3:
        return None
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (first, second)]
    centred = [r - r.mean() for r in ranks]
    scale = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float(centred[0] @ centred[1] / scale) if scale > 0 else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray = (ends - (counts - 1) / 2)[inverse]
    return ranks
