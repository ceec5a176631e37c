"""The integers that describe images: what every image measure counts from."""

from __future__ import annotations

import heapq
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.images import perceptual
from corpus_audit.pipelines.images.containers import ImageFormat, declared_format
from corpus_audit.pipelines.images.decoding import (
    DecodedImage,
    ImageLimits,
    ImageRefused,
    RefusalReason,
    decode_image,
    pillow,
)

MODES = ("other", "1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I;16B", "I")
"""Pillow's modes; a mode code is a position here, 0 for all others."""

THUMBNAIL_SIDE = 128
"""Longer side of a thumbnail at most, in pixels."""

THUMBNAILS_A_DOMAIN = 24
"""Distinct pictures whose thumbnails are kept, by domain: those of lowest hash."""

_THUMBNAIL_QUALITY = 80


@dataclass(frozen=True, slots=True, eq=False)
class ImageProperties:
    """N images, one row each. A row of an image that was refused holds zeros, but for its bytes and hash of bytes.

    Attributes:
        width, height: int64, pixels of the first picture, turned upright.
        frames: int64, pictures in the file.
        format: uint8, `ImageFormat` of the content.
        declared: uint8, `ImageFormat` that the name or type beside it declares; 0 where it declares none.
        mode: uint8, position in `MODES`.
        orientation: uint8, EXIF orientation 1 to 8; 0 where it cannot be read.
        bytes: int64, of the encoded file.
        byte_high, byte_low: uint64, BLAKE2b-128 of the encoded file, big-endian.
        pixel_high, pixel_low: uint64, BLAKE2b-128 of the height, width, mode and RGB pixels of the first picture.
        phash: uint64, see `perceptual.phashes`.
        variance: int64, of the grey image; below `perceptual.FLAT_VARIANCE` the image is flat, and its phash noise.
        patches: uint8 [N, 192], see `perceptual.patch`.
        thumbnails: large_binary, JPEG of at most 128 pixels a side; empty where none was made.
    """

    width: np.ndarray
    height: np.ndarray
    frames: np.ndarray
    format: np.ndarray
    declared: np.ndarray
    mode: np.ndarray
    orientation: np.ndarray
    bytes: np.ndarray
    byte_high: np.ndarray
    byte_low: np.ndarray
    pixel_high: np.ndarray
    pixel_low: np.ndarray
    phash: np.ndarray
    variance: np.ndarray
    patches: np.ndarray
    thumbnails: pa.LargeBinaryArray

    def __len__(self) -> int:
        return len(self.width)

    @property
    def pixels(self) -> np.ndarray:
        """int64 [N], width times height."""
        pixels: np.ndarray = self.width * self.height
        return pixels

    @property
    def mislabelled(self) -> np.ndarray:
        """bool [N], images whose name or type declares a format that their content is not of."""
        known: np.ndarray = (self.declared != ImageFormat.NONE) & (self.format != ImageFormat.NONE)
        known &= self.declared != self.format
        return known

    @property
    def flat(self) -> np.ndarray:
        """bool [N], images of nearly one grey, whose perceptual hashes say nothing."""
        flat: np.ndarray = self.variance < perceptual.FLAT_VARIANCE
        return flat

    def take(self, rows: np.ndarray) -> ImageProperties:
        """The properties of some images: int64 positions or a bool mask."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        thumbnails = columns.pop("thumbnails").take(pa.array(positions, pa.int64()))
        return ImageProperties(**{name: column[positions] for name, column in columns.items()}, thumbnails=thumbnails)

    @classmethod
    def joined(cls, parts: Sequence[ImageProperties]) -> ImageProperties:
        """The images of all parts, one part after the other; at least one part."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in fields(cls) if field.name != "thumbnails"]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(**columns, thumbnails=pa.concat_arrays([part.thumbnails for part in parts]))

    @classmethod
    def zeros(cls, count: int) -> ImageProperties:
        """Rows of zeros."""
        narrow = {"format", "declared", "mode", "orientation"}
        hashes = {"byte_high", "byte_low", "pixel_high", "pixel_low", "phash"}
        names = [field.name for field in fields(cls) if field.name not in ("patches", "thumbnails")]
        return cls(
            **{
                name: np.zeros(count, np.uint8 if name in narrow else np.uint64 if name in hashes else np.int64)
                for name in names
            },
            patches=np.zeros((count, perceptual.PATCH_BYTES), np.uint8),
            thumbnails=pa.array([b""] * count, pa.large_binary()),
        )


def image_properties(
    values: Sequence[bytes | memoryview],
    limits: ImageLimits,
    names: Sequence[str | None] | None = None,
    thumbnails: bool = True,
    domains: np.ndarray | None = None,
) -> tuple[ImageProperties, list[ImageRefused | None]]:
    """Decode and describe images, one after the other; an image that is refused leaves its neighbours alone.

    Args:
        values: encoded files.
        limits: what each may cost.
        names: file names, extensions or media types that declare each image's format; None where nothing does.
        thumbnails: whether to make them.
        domains: int64 [N], the number of each image's domain; thumbnails are then made only of those that may be among
            the `THUMBNAILS_A_DOMAIN` pictures of lowest hash of their domain. Without it, of all.

    Returns:
        The properties, a row for each value, and for each value why it was refused, or None.
    """
    rows = ImageProperties.zeros(len(values))
    reasons: list[ImageRefused | None] = [None] * len(values)
    grey = np.zeros((len(values), perceptual.SIDE, perceptual.SIDE), np.uint8)
    small = [b""] * len(values)
    lowest = _LowestPictures()
    for i, value in enumerate(values):
        rows.bytes[i] = memoryview(value).nbytes
        rows.byte_high[i], rows.byte_low[i] = _halves(blake2b(value, digest_size=16).digest())
        if names is not None:
            rows.declared[i] = declared_format(names[i])
        try:
            image = decode_image(value, limits)
            picture = pillow().fromarray(image.pixels)
            # Once for patch and thumbnail, each of which would resize the large picture. The hash is of the whole one.
            factor = min(picture.size) // THUMBNAIL_SIDE
            reduced = picture.reduce(factor) if factor > 1 else picture
            _describe(rows, i, image)
            grey[i] = perceptual.grey_images(picture)
            rows.patches[i] = perceptual.patch(reduced)
            if thumbnails and (domains is None or lowest.add(int(domains[i]), _hash_of(rows, i))):
                small[i] = thumbnail(reduced)
        except ImageRefused as refusal:
            reasons[i] = refusal.with_traceback(None)
        except MemoryError:
            reasons[i] = ImageRefused(RefusalReason.OUT_OF_MEMORY, "no memory to describe it")
    read = np.array([reason is None for reason in reasons], bool)
    rows.phash[read] = perceptual.phashes(grey[read])
    rows.variance[read] = perceptual.variances(grey[read])
    columns = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return ImageProperties(**{**columns, "thumbnails": pa.array(small, pa.large_binary())}), reasons


class _LowestPictures:
    """The distinct pictures of lowest hash so far, by domain."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[int, int]]] = {}
        self._present: dict[int, set[tuple[int, int]]] = {}

    def add(self, domain: int, picture: tuple[int, int]) -> bool:
        """Whether a picture is new and among them now; the first of its copies is the one that measures keep."""
        heap, present = self._heaps.setdefault(domain, []), self._present.setdefault(domain, set())
        last_first = (-picture[0], -picture[1])
        if picture in present or (len(heap) == THUMBNAILS_A_DOMAIN and last_first < heap[0]):
            return False
        if len(heap) == THUMBNAILS_A_DOMAIN:
            high, low = heapq.heapreplace(heap, last_first)
            present.discard((-high, -low))
        else:
            heapq.heappush(heap, last_first)
        present.add(picture)
        return True


def _hash_of(rows: ImageProperties, i: int) -> tuple[int, int]:
    """The hash of a row's pixels, as `pixel_hash` gives it."""
    return int(rows.pixel_high[i]), int(rows.pixel_low[i])


def _describe(rows: ImageProperties, i: int, image: DecodedImage) -> None:
    rows.pixel_high[i], rows.pixel_low[i] = pixel_hash(image)
    rows.width[i], rows.height[i], rows.frames[i] = image.width, image.height, image.frames
    rows.format[i], rows.orientation[i] = ImageFormat[image.format], image.orientation
    rows.mode[i] = MODES.index(image.mode) if image.mode in MODES else 0


def pixel_hash(image: DecodedImage) -> tuple[int, int]:
    """BLAKE2b-128 of ``height,width,mode,`` and the RGB pixels, as two big-endian numbers of 64 bits.

    The shape is hashed too: without it a white picture of 100 x 200 pixels equals one of 200 x 100. Equal for a PNG
    and a WebP without loss; hashes of JPEGs are comparable where one version of Pillow decoded them.
    """
    digest = blake2b(f"{image.height},{image.width},{image.mode},".encode(), digest_size=16)
    digest.update(image.pixels.data)
    return _halves(digest.digest())


def _halves(digest: bytes) -> tuple[int, int]:
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def thumbnail(image: Any) -> bytes:
    """A JPEG of a Pillow image in RGB, at most 128 pixels a side; smaller images keep their size. Changes the image."""
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), reducing_gap=2.0)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=_THUMBNAIL_QUALITY)
    return target.getvalue()
