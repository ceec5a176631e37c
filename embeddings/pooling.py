"""Windows to vectors: the mean of a window's tokens, and its token of largest norm, in the output of one block.

The mean is what sentence encoders are trained to compare. The token of largest norm is nearer to what a direction
reacts to; neither list is one of top activations (`embeddings/README.md` says how far they are apart).
"""

from __future__ import annotations

import numpy as np
import torch

from corpus_audit.embeddings.accumulator import BatchRows
from corpus_audit.embeddings.vectors import WindowVectors


class Pooling:
    """Collects the vectors of windows, batch by batch."""

    def __init__(self, width: int, one_in: int) -> None:
        """Collect.

        Args:
            width: dimensions.
            one_in: of how many windows one is taken, by its id.
        """
        self._one_in = np.uint64(one_in)
        self._parts = [WindowVectors.empty(width)]

    def take(self, rows: BatchRows, stream: torch.Tensor) -> None:
        """Take in a batch: the stream is [B', L, d], B' >= the batch's windows."""
        chosen = np.flatnonzero(rows.window % self._one_in == 0)
        if not len(chosen):
            return
        tokens = stream[torch.from_numpy(chosen).to(stream.device)].detach().float()
        counted = torch.from_numpy(rows.counted[chosen]).to(stream.device)
        mean = (tokens * counted[..., None]).sum(dim=1) / counted.sum(dim=1, keepdim=True)
        norm = torch.linalg.vector_norm(tokens, dim=-1).masked_fill(~counted, -1.0)
        position = norm.argmax(dim=1)
        peak = tokens[torch.arange(len(chosen), device=stream.device), position]
        self._parts.append(
            WindowVectors.of(
                rows.window[chosen], mean.cpu().numpy(), peak.cpu().numpy(), position.cpu().numpy().astype(np.uint16)
            )
        )

    def vectors(self) -> WindowVectors:
        """What was collected, each window once, ascending."""
        return WindowVectors.joined(self._parts)
