"""Pools windows to vectors: the mean of a window's tokens, and its token of largest norm, at the output of a block.

The mean is what sentence encoders are trained to compare. The token of largest norm is nearer to what a direction
reacts to; neither list is one of top activations (`embeddings/README.md` says how far they are apart).
"""

from __future__ import annotations

import numpy as np
import torch

from corpus_audit.embeddings.index.vectors import WindowVectors
from corpus_audit.embeddings.scan.accumulator import BatchRows


class Pooling:
    """Collects the vectors of windows, batch by batch."""

    def __init__(self, width: int, one_in: int, peak_width: int | None = None) -> None:
        """Make an empty collection.

        Args:
            width: dimensions of a vector.
            one_in: one window in so many is selected, by its id.
            peak_width: dimensions of the token of largest norm, if it has another number; 0 of images.
        """
        self._one_in = np.uint64(one_in)
        self._parts = [WindowVectors.empty(width, peak_width)]

    def select(self, rows: BatchRows) -> np.ndarray:
        """Positions of the windows of a batch whose vectors are collected, int64."""
        return np.flatnonzero(rows.window % self._one_in == 0)

    def add(self, window: np.ndarray, mean: np.ndarray, peak: np.ndarray, position: np.ndarray) -> None:
        """Add the vectors that `pool_windows` computed; ``window``: names, uint64 [n]."""
        self._parts.append(WindowVectors.of(window, mean, peak, position.astype(np.uint16)))

    def vectors(self) -> WindowVectors:
        """The vectors collected, each window once, ascending."""
        return WindowVectors.joined(self._parts)


def pool_windows(stream: torch.Tensor, windows: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Vectors of windows, all on the stream's device.

    Args:
        stream: [B', L, d], the residual stream.
        windows: int64 [n], which windows.
        counted: bool [B, L], B <= B': tokens that count.

    Returns:
        The means and the tokens of largest norm, float32 [n, d], and the latter's positions, int64 [n].
    """
    tokens, counts = stream[windows].float(), counted[windows]
    mean = (tokens * counts[..., None]).sum(dim=1) / counts.sum(dim=1, keepdim=True)
    position = torch.linalg.vector_norm(tokens, dim=-1).masked_fill(~counts, -1.0).argmax(dim=1)
    return mean, tokens[torch.arange(len(windows), device=stream.device), position], position
