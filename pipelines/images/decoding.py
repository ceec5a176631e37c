"""Decoding one image whole, under limits: every picture in the file, in one stated form of pixels.

Pillow decodes; it is imported at the first image, so that an audit of texts never loads it. Decoders release the GIL.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np

from corpus_audit.pipelines.images import containers
from corpus_audit.pipelines.images.containers import ImageFormat

ORIENTATION_TAG = 0x0112
UNKNOWN_ORIENTATION = 0
"""Orientation of an image whose EXIF cannot be read, or holds a number that is none of 1 to 8: not turned."""

FRAMES_FACTOR = 4
"""All pictures of a file together may have so many times `ImageLimits.max_pixels`."""

PILLOW_PIXELS = 2 * 89_478_485
"""Pillow's own limit for a picture, whatever ours (`PIL.Image.MAX_IMAGE_PIXELS`, which raises at twice its value)."""


class RefusalReason(StrEnum):
    """Why an image was not decoded."""

    EMPTY = "image_empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_image_format"
    UNSUPPORTED_MODE = "unsupported_image_mode"
    TRUNCATED = "image_truncated"
    CORRUPT = "image_corrupt"
    TOO_LARGE = "image_too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    OUT_OF_MEMORY = "image_out_of_memory"


class ImageRefused(Exception):
    """An image that cannot, or may not, be decoded.

    Attributes:
        reason: the kind.
        detail: one line that says more, without the image's name.
    """

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may cost at most.

    Attributes:
        max_bytes: of the encoded file.
        max_pixels: width times height of a picture, read from headers before anything is decoded; never more than
            `PILLOW_PIXELS`. All pictures of a file together may have `FRAMES_FACTOR` times as many.
        max_frames: pictures in a file.
    """

    max_bytes: int
    max_pixels: int
    max_frames: int


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An image, decoded whole.

    Attributes:
        format: name of an `ImageFormat`.
        mode: Pillow's mode of the first picture as it is in the file, such as ``RGB``, ``P``, ``CMYK`` or ``I;16``.
        width, height: of the first picture, after it was turned as EXIF says.
        orientation: EXIF orientation, 1 to 8; 1 without EXIF, `UNKNOWN_ORIENTATION` where it cannot be read.
        frames: pictures in the file: of an animation, pages of a TIFF, views of a multi-picture JPEG.
        pixels: uint8 [height, width, 3], the first picture in RGB, turned upright (see `decode_image`).
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    frames: int
    pixels: np.ndarray


@cache
def pillow() -> Any:
    """The module ``PIL.Image``, with only the decoders of `ImageFormat` and its warnings off.

    What its warnings say is said here in other ways: sizes by limits, and EXIF that cannot be read by the orientation.
    """
    from PIL import (  # noqa: F401 - a plugin registers its decoder when it is imported
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    return Image


def decode_image(data: bytes | memoryview, limits: ImageLimits) -> DecodedImage:
    """Decode all pictures of an image file, and return the first.

    1. The format is that of the first bytes, never of a name; Pillow is given that one decoder and no other, so that
       none is reached that runs other programs (PostScript). Damage to the structure that decoders pass over is
       looked for first (`containers.damage`).
    2. Sizes and number of pictures are read from headers and compared with the limits; then every picture is decoded,
       to its end: headers alone do not show a file that was cut short.
    3. Pixels become RGB of 8 bits: palettes are looked up; grey is repeated; CMYK is converted without a colour
       profile, and profiles of others are not applied; of 16 bits the high 8 are kept (as Pillow does for RGB);
       transparency is laid on white, as a page would show it, while loaders that call ``convert("RGB")`` show what is
       hidden below it. Pictures of 32-bit integers beyond 16 bits, and of floating-point numbers, have no stated
       range and are refused.
    4. The picture is turned as EXIF says.

    Raises:
        ImageRefused: whatever is wrong with the image; nothing else, whatever the bytes.
    """
    view = memoryview(data).cast("B")
    if not len(view):
        raise ImageRefused(RefusalReason.EMPTY, "no bytes")
    if len(view) > limits.max_bytes:
        raise ImageRefused(RefusalReason.TOO_LARGE, f"{len(view):,} bytes, more than {limits.max_bytes:,}")
    format_ = containers.format_of(view)
    if format_ is None:
        other = containers.name_of_other_format(view)
        if other is not None:
            raise ImageRefused(RefusalReason.UNSUPPORTED_FORMAT, f"{other} is not decoded")
        raise ImageRefused(RefusalReason.NOT_AN_IMAGE, f"begins with {bytes(view[:8])!r}")
    damage = containers.damage(view, format_)
    if damage is not None:
        raise ImageRefused(RefusalReason.TRUNCATED if damage[0] else RefusalReason.CORRUPT, damage[1])
    try:
        return _decode(view, format_, limits)
    except ImageRefused:
        raise
    except MemoryError as error:
        raise ImageRefused(RefusalReason.OUT_OF_MEMORY, str(error) or "the decoder had no memory") from error
    except Exception as error:
        # Decoders raise whatever their parsing meets: OSError, SyntaxError, struct.error, KeyError and others.
        if isinstance(error, pillow().DecompressionBombError):
            raise ImageRefused(RefusalReason.TOO_MANY_PIXELS, str(error)) from error
        message = f"{format_.name}: {str(error) or type(error).__name__}"
        raise ImageRefused(_kind_of_damage(view, format_), message) from error


def _decode(view: memoryview, format_: ImageFormat, limits: ImageLimits) -> DecodedImage:
    image_module = pillow()
    # BytesIO copies a view and shares bytes; decoders seek, so that a file is what they need.
    try:
        image = image_module.open(io.BytesIO(view.obj if _is_whole(view) else view), formats=[format_.name])
    except image_module.UnidentifiedImageError as error:
        message = f"{format_.name}: the header cannot be read, or is of a variant that is not decoded"
        raise ImageRefused(_kind_of_damage(view, format_), message) from error
    with image:
        mode = image.mode
        _check_pixels(image.size, limits, 0)
        frames = int(getattr(image, "n_frames", 1))
        if frames > limits.max_frames:
            raise ImageRefused(RefusalReason.TOO_MANY_FRAMES, f"{frames:,} pictures, more than {limits.max_frames:,}")
        orientation = _orientation(image)
        image.load()
        total = _check_pixels(image.size, limits, 0)
        # TIFF's decoder turns the picture itself and removes the tag.
        pixels = _turned(_rgb(image), _orientation(image))
        for number in range(1, frames):
            image.seek(number)
            total = _check_pixels(image.size, limits, total)
            image.load()
    height, width = pixels.shape[:2]
    return DecodedImage(format_.name, mode, width, height, orientation, frames, pixels)


def _kind_of_damage(view: memoryview, format_: ImageFormat) -> RefusalReason:
    return RefusalReason.TRUNCATED if containers.is_cut(view, format_) else RefusalReason.CORRUPT


def _is_whole(view: memoryview) -> bool:
    return isinstance(view.obj, bytes) and len(view.obj) == len(view)


def _check_pixels(size: tuple[int, int], limits: ImageLimits, before: int) -> int:
    """Pixels so far, with those of a picture of ``size``."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageRefused(RefusalReason.CORRUPT, f"{width:,} x {height:,} pixels")
    pixels = width * height
    if pixels > min(limits.max_pixels, PILLOW_PIXELS):
        message = f"{width:,} x {height:,} pixels, more than {min(limits.max_pixels, PILLOW_PIXELS):,}"
        raise ImageRefused(RefusalReason.TOO_MANY_PIXELS, message)
    if before + pixels > FRAMES_FACTOR * limits.max_pixels:
        message = f"more than {FRAMES_FACTOR * limits.max_pixels:,} pixels in all pictures together"
        raise ImageRefused(RefusalReason.TOO_MANY_PIXELS, message)
    return before + pixels


def _orientation(image: Any) -> int:
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # EXIF is parsed by the same code that parses TIFF, and raises as much
        return UNKNOWN_ORIENTATION
    return value if isinstance(value, int) and 1 <= value <= 8 else UNKNOWN_ORIENTATION


def _rgb(image: Any) -> np.ndarray:
    """uint8 [height, width, 3] of a loaded picture."""
    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        values = np.asarray(image)
        if mode == "I" and (int(values.min()) < 0 or int(values.max()) > 65_535):
            raise ImageRefused(RefusalReason.UNSUPPORTED_MODE, "32-bit integers beyond 16 bits")
        return np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if mode == "F":
        raise ImageRefused(RefusalReason.UNSUPPORTED_MODE, "floating-point pixels")
    if image.has_transparency_data:
        image_module = pillow()
        layer = image.convert("RGBA")
        image = image_module.alpha_composite(image_module.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as they are to be seen: orientations of EXIF 2.32, table "Orientation"."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
