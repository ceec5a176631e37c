"""What the hooks on a model's units hand on, and the functions that take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Activations:
    """Activations of columns of one point.

    Attributes:
        row: the first column's row among all selected units.
        values: [B, L, columns], on the model's device.
        highest, lowest: whether these are what maxima and statistics, or minima, are taken of.
        fired: bool [B, L, columns] where firing is not "above 0" (experts: the token is sent there); else None.
    """

    row: int
    values: torch.Tensor
    highest: bool = True
    lowest: bool = True
    fired: torch.Tensor | None = None


Sink = Callable[[Activations], None]
StreamSink = Callable[[torch.Tensor], None]
InputSink = Callable[[str, torch.Tensor], None]
"""Called with an autoencoder's name and its input, [B, L, inputs], as the model computes it."""


@dataclass(frozen=True)
class Directions:
    """Vectors [n, d] that are read after a block."""

    block: int
    vectors: torch.Tensor
