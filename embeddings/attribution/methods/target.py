"""What attribution methods need to know of a model: a scalar function of one input, its positions, and a baseline.

The interface is the same for text and for images. Of a text the input is [L, d], the word embeddings of L tokens, and
its positions are the tokens; of an image it is [C, H, W] and its positions are the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch


@dataclass
class Evaluations:
    """How often a function was evaluated, in inputs (not batches)."""

    values: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class ScalarTarget:
    """A scalar function F at one input.

    Attributes:
        function: [B, *shape] -> [B]; row i of the result depends on row i of the argument alone, and can be
            differentiated by autograd.
        input: x, float32 [*shape].
        baseline: b, float32 [*shape]: an input without what is to be attributed. Where it equals x, nothing is.
        features: the axes of ``input`` that are no positions: (1,) for [L, d], (0,) for [C, H, W].
        rows: inputs that are evaluated at once.
        evaluations: counts the evaluations that were made through this target.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    input: torch.Tensor
    baseline: torch.Tensor
    features: tuple[int, ...]
    rows: int = 32
    evaluations: Evaluations = field(default_factory=Evaluations)

    @property
    def positions(self) -> tuple[int, ...]:
        """The shape of an attribution: that of ``input`` without its features."""
        return tuple(size for axis, size in enumerate(self.input.shape) if axis not in self.features)

    @cached_property
    def free(self) -> np.ndarray:
        """bool [*positions]: where input and baseline differ, and an attribution can be other than 0."""
        differs: np.ndarray = (self.input != self.baseline).any(dim=self.features[0]).cpu().numpy()
        return differs

    @cached_property
    def _ends(self) -> np.ndarray:
        return self.values(torch.stack([self.input, self.baseline]))

    @property
    def value(self) -> float:
        """F(x)."""
        return float(self._ends[0])

    @property
    def baseline_value(self) -> float:
        """F(b)."""
        return float(self._ends[1])

    def values(self, inputs: torch.Tensor) -> np.ndarray:
        """F of inputs [N, *shape], float64 [N], without gradients."""
        parts = []
        self.evaluations.values += len(inputs)
        with torch.no_grad():
            for part in inputs.split(self.rows):
                parts.append(self.function(part).double().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty(0)

    def gradients(self, inputs: torch.Tensor) -> Iterator[torch.Tensor]:
        """The gradients of F at inputs [N, *shape], batch by batch: [n, *shape] each, in order."""
        self.evaluations.gradients += len(inputs)
        for part in inputs.split(self.rows):
            leaf = part.detach().requires_grad_(True)
            with torch.enable_grad():
                total = self.function(leaf).sum()
            yield torch.autograd.grad(total, leaf)[0]

    def masked(self, masks: np.ndarray) -> torch.Tensor:
        """The input with its baseline where a mask is true: bool [N, *positions] -> [N, *shape]."""
        shown = torch.from_numpy(masks).to(self.input.device)
        for axis in sorted(self.features):
            shown = shown.unsqueeze(axis + 1)
        return torch.where(shown, self.baseline, self.input)

    def masked_values(self, masks: np.ndarray) -> np.ndarray:
        """F of the input with its baseline where a mask is true, float64 [N]; inputs are made batch by batch."""
        parts = [self.values(self.masked(masks[i : i + self.rows])) for i in range(0, len(masks), self.rows)]
        return np.concatenate(parts) if parts else np.empty(0)

    def over_positions(self, values: torch.Tensor) -> np.ndarray:
        """The sum over features, [*shape] -> float64 [*positions]."""
        summed: np.ndarray = values.double().sum(dim=self.features).cpu().numpy()
        return summed
