"""What decides an attribution of an image, and what comes of it; no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from corpus_audit.embeddings.attribution.images.names import ImageMethod


@dataclass(frozen=True)
class ImageSettings:
    """How an activation is attributed to an image, and what is checked.

    Attributes:
        method: the method.
        patch, stride: of occlusion, in pixels; 0: a seventh of the shorter side (32 of 224), and half a patch.
        tolerance, steps, most_steps: of integrated gradients; a network of ReLUs is not smooth:
            1e-2.
        orders, curve: random orders of deletion and insertion, and points of a curve after its first.
        grid: rows and columns of the cells that deletion and insertion replace.
        seed: of random orders and permutations.
    """

    method: ImageMethod = ImageMethod.INTEGRATED_GRADIENTS
    patch: int = 0
    stride: int = 0
    tolerance: float = 1e-2
    steps: int = 16
    most_steps: int = 512
    orders: int = 20
    curve: int = 10
    grid: int = 14
    seed: int = 0

    def of_side(self, side: int) -> ImageSettings:
        """The settings with a patch and a stride, for images of a shorter side."""
        patch = self.patch or max(2, round(side / 7))
        return replace(self, patch=patch, stride=self.stride or max(1, patch // 2))


@dataclass(frozen=True)
class ImageAttribution:
    """An attribution of one image and its checks.

    Attributes:
        values: float64 [H, W], or [h, w] of the cells of a feature map (CAM, Grad-CAM); signed but for saliency.
        value, baseline_value: F(x), F(b).
        signal: of deconvolution and guided backpropagation float32 [C, H, W], in the input's scale; ``values`` is its
            sum over colours.
        steps, completeness_error, converged: of integrated gradients.
        bias: of CAM: what the logit has besides the mean of ``values``.
        deletion, insertion, random_areas: see `methods.faithfulness`; None if the baseline has the same activation.
        randomised_last, randomised_all: Spearman correlation of ``values`` with those after the weights of the last
            module, or of all, were permuted; None where a map is constant.
    """

    values: np.ndarray
    value: float
    baseline_value: float
    signal: np.ndarray | None = None
    steps: int | None = None
    completeness_error: float | None = None
    converged: bool | None = None
    bias: float | None = None
    deletion: float | None = None
    insertion: float | None = None
    random_areas: tuple[float, ...] = ()
    randomised_last: float | None = None
    randomised_all: float | None = None
