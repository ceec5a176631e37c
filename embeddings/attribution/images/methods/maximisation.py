"""Synthetic images that maximise a unit (activation maximisation; Olah et al. 2017).

The image is optimised by Adam, not by its pixels but by its Fourier coefficients, each divided by its frequency, in
colours that are uncorrelated over photographs (both as in Lucid). Every step sees it moved, scaled and padded at
random: without that, the image that is found loses its effect when it is moved by a few pixels.

What is found is synthetic: no image of a corpus, one local maximum of many, and no proof of what the unit is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the covariance of RGB over ImageNet, as in Lucid: columns are uncorrelated colours."""
HELD_OUT = 16
"""Transforms that the search has not seen, by which its result is judged."""


@dataclass(frozen=True)
class MaximisationSettings:
    """How an image is searched.

    Attributes:
        steps: of Adam.
        rate: its learning rate; it falls to 0 by a half cosine over the last half of the steps.
        batch: transformed copies that a step sees.
        pad, jitter, scale: of the transforms: a grey border and a shift, both as a share of the side, and a factor
            between 1 - scale and 1 + scale. All 0: none.
        radius: of a ball in which the image stays (its Euclidean norm; pixels may have any value, 0 is grey); None for
            pixels between 0 and 1.
        seed: of the first image and the transforms.
    """

    steps: int = 128
    rate: float = 0.05
    batch: int = 1
    pad: float = 0.1
    jitter: float = 0.06
    scale: float = 0.1
    radius: float | None = None
    seed: int = 0

    @property
    def transformed(self) -> bool:
        """Whether the search sees transformed images."""
        return bool(self.pad or self.jitter or self.scale)


@dataclass(frozen=True)
class Maximised:
    """A synthetic image.

    Attributes:
        image: float32 [C, H, W], from 0 to 1 (with a radius: any value).
        value: the unit's activation on it.
        held_out: float64 [HELD_OUT], activations under transforms that the search has not seen.
        transformed: float32 [HELD_OUT, C, H, W], the image under these.
    """

    image: torch.Tensor
    value: float
    held_out: np.ndarray
    transformed: torch.Tensor


def maximise(
    function: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, int, int], settings: MaximisationSettings
) -> Maximised:
    """Search an image that maximises a number; the same arguments give the same image on the same machine.

    Args:
        function: [B, C, H, W], pixels from 0 to 1, -> [B].
        shape: of the image: 3 or 1 colours, height, width.
        settings: of the search.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    picture = _Picture(shape, settings.radius, generator)
    optimiser = torch.optim.Adam([picture.coefficients], lr=settings.rate)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * _decay(step / settings.steps)
        optimiser.zero_grad()
        with torch.enable_grad():
            images = picture.image().expand(settings.batch, *shape)
            loss = -function(_transformed(images, settings, generator)).mean()
            (picture.coefficients.grad,) = torch.autograd.grad(loss, picture.coefficients)
        optimiser.step()
    with torch.no_grad():
        image = picture.image()
        copies = transformed_copies(image, settings)
        values = function(copies).double().cpu().numpy()
        return Maximised(image, float(function(image[None])[0]), values, copies)


def transformed_copies(image: torch.Tensor, settings: MaximisationSettings) -> torch.Tensor:
    """Images [HELD_OUT, C, H, W]: one image under transforms of the settings that no search with this seed has seen."""
    unseen = torch.Generator().manual_seed(settings.seed + 2**32)
    return _transformed(image.expand(HELD_OUT, *image.shape), settings, unseen)


class _Picture:
    """An image by its Fourier coefficients."""

    def __init__(self, shape: tuple[int, int, int], radius: float | None, generator: torch.Generator) -> None:
        self._shape, self._radius = shape, radius
        colours, height, width = shape
        ys, xs = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
        frequencies = torch.sqrt(ys[:, None] ** 2 + xs**2)
        # With norm="ortho" this is all: Lucid's further factor sqrt(height * width) belongs to the other norm.
        self._scale = (1 / frequencies.clamp(min=1 / max(height, width)))[..., None]
        first = torch.randn(colours, height, len(xs), 2, generator=generator) * 0.01
        self.coefficients = first.requires_grad_(True)
        matrix = torch.tensor(COLOURS)
        self._colours = matrix / matrix.norm(dim=0).max() if colours == 3 else torch.ones(1, 1)

    def image(self) -> torch.Tensor:
        """float32 [C, H, W]."""
        spectrum = torch.view_as_complex((self.coefficients * self._scale).contiguous())
        signal = torch.fft.irfft2(spectrum, s=self._shape[1:], norm="ortho") / 4
        image = torch.tensordot(self._colours, signal, 1)
        return torch.sigmoid(image) if self._radius is None else self._radius * image / image.norm()


def _decay(progress: float) -> float:
    return 1.0 if progress < 0.5 else 0.5 * (1 + float(np.cos(np.pi * (2 * progress - 1))))


def _transformed(images: torch.Tensor, settings: MaximisationSettings, generator: torch.Generator) -> torch.Tensor:
    """Images [B, C, H, W], each with a grey border, then shifted and scaled at random, at their own size."""
    if not settings.transformed:
        return images
    height, width = images.shape[2:]
    border = round(settings.pad * max(height, width))
    grey = 0.5 if settings.radius is None else 0.0
    padded = functional.pad(images, (border, border, border, border), value=grey)
    random = torch.rand(len(images), 3, generator=generator) * 2 - 1
    # In units of half the padded side: the window that is seen has the image's own size, over a factor.
    factor = 1 / (1 + settings.scale * random[:, 0])
    theta = torch.zeros(len(images), 2, 3)
    for axis, size in enumerate((width, height)):
        theta[:, axis, axis] = factor * size / (size + 2 * border)
        theta[:, axis, 2] = 2 * settings.jitter * random[:, 1 + axis] * size / (size + 2 * border)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(padded, grid, padding_mode="border", align_corners=False)
