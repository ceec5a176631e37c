"""Perceptual hashes against the formula in floating point, and how they and patches move under transforms."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from corpus_audit.pipelines.images import near_duplicates
from corpus_audit.pipelines.images.decoding import decode_image
from corpus_audit.pipelines.images.perceptual import (
    FLAT_VARIANCE,
    grey_images,
    hamming,
    patch,
    patch_distances,
    phashes,
    variances,
)
from tests.pipelines.images.making import LIMITS, encoded, smooth


def in_floats(pixels: np.ndarray) -> int:
    """`imagehash.phash`, line by line."""
    grey = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = fft.dct(fft.dct(np.asarray(grey).astype(float), axis=0), axis=1)[:8, :8]
    return int("".join(str(int(bit)) for bit in (low > np.median(low)).flatten()), 2)


def test_hashes_are_those_of_the_formula() -> None:
    random = np.random.default_rng(0)
    pictures = [smooth(seed, *random.integers(9, 300, 2)) for seed in range(40)]
    pictures += [random.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(10)]
    hashes = phashes(np.stack([grey_images(Image.fromarray(picture)) for picture in pictures]))
    assert hashes.tolist() == [in_floats(picture) for picture in pictures]
    assert np.bitwise_count(hashes).tolist() == [32] * 50


def test_symmetric_pictures_hash_the_same_everywhere() -> None:
    """Coefficients that are 0 are exactly 0: in floating point they are noise, and so are their bits."""
    half = smooth(4, 48, 64)
    mirrored = np.concatenate([half, half[:, ::-1]], axis=1)
    bits = np.unpackbits(phashes(grey_images(Image.fromarray(mirrored))[None]).astype(">u8").view(np.uint8)).reshape(
        8, 8
    )
    assert (bits[:, 1::2] == bits[0, 1]).all()


def test_no_pictures() -> None:
    none = np.empty((0, 32, 32), np.uint8)
    assert phashes(none).shape == variances(none).shape == (0,)


def test_variance_is_that_of_numpy_and_finds_flat_pictures() -> None:
    pictures = [smooth(1), np.full((9, 9, 3), 77, np.uint8), np.full((40, 40, 3), 255, np.uint8)]
    pictures.append((pictures[2] - np.random.default_rng(1).integers(0, 8, (40, 40, 3))).astype(np.uint8))
    grey = np.stack([grey_images(Image.fromarray(picture)) for picture in pictures])
    assert variances(grey).tolist() == np.floor(grey.reshape(4, -1).astype(float).var(axis=1)).tolist()
    assert (variances(grey) < FLAT_VARIANCE).tolist() == [False, True, True, True]


def transformed(pixels: np.ndarray, how: str) -> np.ndarray:
    image = Image.fromarray(pixels)
    height, width = pixels.shape[:2]
    if how == "jpeg":
        return decode_image(encoded(image, "JPEG", quality=30), LIMITS).pixels
    if how == "half":
        return np.asarray(image.resize((width // 2, height // 2), Image.Resampling.LANCZOS))
    if how == "crop":
        return pixels[height // 50 : -height // 50, width // 50 : -width // 50]
    if how == "brighter":
        return np.clip(pixels * 1.05, 0, 255).astype(np.uint8)
    return pixels[:, ::-1]


def near(first: np.ndarray, second: np.ndarray) -> bool:
    hashes = phashes(np.stack([grey_images(Image.fromarray(first)), grey_images(Image.fromarray(second))]))
    distance = patch_distances(patch(Image.fromarray(first))[None], patch(Image.fromarray(second))[None])
    close = int(hamming(hashes[:1], hashes[1:])[0]) <= near_duplicates.THRESHOLD
    return close and int(distance[0]) <= near_duplicates.PATCH_THRESHOLD


@pytest.mark.parametrize(("how", "share"), [("jpeg", 1), ("half", 1), ("brighter", 0.9), ("crop", 0.5), ("flip", 0)])
def test_transformed_pictures_are_near_and_mirrored_are_not(how: str, share: float) -> None:
    pictures = [smooth(seed, 200, 150) for seed in range(20)]
    hits = sum(near(picture, transformed(picture, how)) for picture in pictures)
    assert hits == 0 if share == 0 else hits >= share * len(pictures)


def test_a_patch_is_the_mean_colours_of_its_fields() -> None:
    pixels = np.repeat(np.repeat(smooth(2, 8, 8), 5, axis=0), 7, axis=1)
    means = patch(Image.fromarray(pixels))
    assert (means.reshape(8, 8, 3) == smooth(2, 8, 8)).all()
    assert patch_distances(means[None], (means ^ 1)[None]).tolist() == [1]


def test_grey_values_are_those_of_pillow() -> None:
    data = encoded(smooth(8), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB").convert("L").resize((32, 32), Image.Resampling.LANCZOS))
    assert (grey_images(Image.fromarray(decode_image(data, LIMITS).pixels)) == expected).all()
