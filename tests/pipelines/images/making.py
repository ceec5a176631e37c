"""Images for the tests, drawn and encoded here, and Pillow's own opinion of a file."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image

from corpus_audit.pipelines.images.decoding import ImageLimits

LIMITS = ImageLimits(max_bytes=2**22, max_pixels=2**20, max_frames=20)


def smooth(seed: int, width: int = 96, height: int = 64, cells: int = 8) -> np.ndarray:
    """uint8 [height, width, 3]: soft blobs of colour; another seed, another picture."""
    colours = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC))


def encoded(image: np.ndarray | Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """A file."""
    target = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(target, format_, **options)
    return target.getvalue()


def animated(format_: str, frames: int = 4, **options: Any) -> bytes:
    pictures = [Image.fromarray(smooth(seed, 48, 32)) for seed in range(frames)]
    return encoded(pictures[0], format_, save_all=True, append_images=pictures[1:], duration=50, **options)


def with_orientation(pixels: np.ndarray, orientation: int, format_: str = "JPEG", **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, format_, exif=exif, **options)


def pillow_refuses(data: bytes) -> bool:
    """Whether Pillow itself sees damage: by `verify`, or by decoding every picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.verify()
            with Image.open(io.BytesIO(data)) as image:
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()
        except Exception:
            return True
    return False
