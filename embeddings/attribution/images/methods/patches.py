"""Patches and cells of an image: what occlusion hides, and what deletion and insertion move at once."""

from __future__ import annotations

from itertools import product

import numpy as np


def patch_masks(positions: tuple[int, int], patch: int, stride: int) -> np.ndarray:
    """Square patches that cover an image, bool [N, H, W], by rows.

    Args:
        positions: height and width.
        patch: side of a patch; one that is longer than a side of the image has its length.
        stride: from one patch to the next; the last one of a row or column ends with the image, so that every pixel is
            covered if ``stride`` is at most ``patch``.
    """
    starts = []
    for size in positions:
        side = min(patch, size)
        starts.append(sorted({*range(0, size - side + 1, stride), size - side}))
    masks = np.zeros((len(starts[0]) * len(starts[1]), *positions), bool)
    for mask, (y, x) in zip(masks, product(*starts), strict=True):
        mask[y : y + patch, x : x + patch] = True
    return masks


def grid_cells(positions: tuple[int, int], rows: int) -> np.ndarray:
    """The number of each pixel's cell, int64 [H, W], in a grid of at most ``rows`` by ``rows``."""
    ys, xs = (np.arange(size) * min(rows, size) // size for size in positions)
    cells: np.ndarray = ys[:, None] * min(rows, positions[1]) + xs
    return cells


def over_pixels(values: np.ndarray, positions: tuple[int, int]) -> np.ndarray:
    """Values of cells [h, w] at every pixel [H, W]: each cell is spread over its part of the image."""
    if values.shape == positions:
        return values
    ys, xs = (np.arange(size) * cells // size for size, cells in zip(positions, values.shape, strict=True))
    spread: np.ndarray = values[np.ix_(ys, xs)]
    return spread
