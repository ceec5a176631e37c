"""The 64-bit perceptual hash of images, and small patches that tell whether two of equal hash look alike."""

from __future__ import annotations

from typing import Any

import numpy as np

SIDE = 32
"""Side of the grey image that is hashed."""

LOW = 8
"""Low frequencies kept of each axis: 64 bits."""

PATCH_SIDE = 8
"""Side of the patch of mean colours."""

PATCH_BYTES = 3 * PATCH_SIDE**2

_SCALE = 2**20
# DCT-II, rounded to multiples of 2^-20: products of two rounds with 8-bit grey stay below 2^59, so that integers hold
# them exactly and the bits are the same on every machine.
_COSINES = np.rint(
    _SCALE * np.cos(np.pi / SIDE * np.outer(np.arange(LOW), np.arange(SIDE) + 0.5)),
).astype(np.int64)

FLAT_VARIANCE = 64
"""Images whose 32 x 32 grey image varies less (a standard deviation of 8 of 255) are flat: hashes of noise."""


def grey_images(image: Any) -> np.ndarray:
    """uint8 [32, 32], the grey image of a Pillow image in RGB: ITU-R 601, then Lanczos, as imagehash does."""
    from PIL import Image

    grey = image.convert("L")
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def phashes(grey: np.ndarray) -> np.ndarray:
    """uint64 [N] of uint8 [N, 32, 32]: whether each of the 8 x 8 lowest coefficients of the DCT is above their median.

    The hash of Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", as the package
    imagehash computes it (the constant coefficient included); the first bit is the highest.
    """
    values = grey.astype(np.int64)
    columns = np.einsum("ky,nyx->nkx", _COSINES, values)
    coefficients = np.einsum("nkx,lx->nkl", columns, _COSINES).reshape(len(grey), LOW * LOW)
    ordered = np.sort(coefficients, axis=1)
    median_doubled = ordered[:, 31] + ordered[:, 32]
    bits = 2 * coefficients > median_doubled[:, None]
    return np.packbits(bits, axis=1).view(">u8").reshape(len(grey)).astype(np.uint64)


def variances(grey: np.ndarray) -> np.ndarray:
    """int64 [N], the variance of the grey values of uint8 [N, 32, 32], rounded down."""
    values = grey.reshape(len(grey), SIDE * SIDE).astype(np.int64)
    count = SIDE * SIDE
    variance: np.ndarray = (count * (values**2).sum(axis=1) - values.sum(axis=1) ** 2) // count**2
    return variance


def patch(image: Any) -> np.ndarray:
    """uint8 [192]: mean colours of 8 x 8 equal fields of a Pillow image in RGB."""
    from PIL import Image

    small = image.resize((PATCH_SIDE, PATCH_SIDE), Image.Resampling.BOX)
    return np.asarray(small).reshape(PATCH_BYTES)


def hamming(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bits that differ between uint64 hashes, uint8, elementwise."""
    bits: np.ndarray = np.bitwise_count(first ^ second)
    return bits


def patch_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int64 [N], mean squared difference of uint8 [N, 192] patches, in squared levels of 255, rounded down."""
    difference = first.astype(np.int64) - second.astype(np.int64)
    distance: np.ndarray = (difference**2).sum(axis=1) // PATCH_BYTES
    return distance
