"""Every kind of file that is decoded, and every reason for which one is refused."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from corpus_audit.pipelines.images.containers import ImageFormat, declared_format
from corpus_audit.pipelines.images.decoding import ImageRefused, RefusalReason, decode_image
from tests.pipelines.images.making import LIMITS, animated, encoded, smooth, with_orientation

PICTURE = smooth(1)


def refusal(data: bytes, **limits: int) -> tuple[RefusalReason, str]:
    with pytest.raises(ImageRefused) as caught:
        decode_image(data, replace(LIMITS, **limits))
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "WEBP"])
def test_formats_without_loss_give_the_pixels_back(format_: str) -> None:
    image = decode_image(encoded(PICTURE, format_, **({"lossless": True} if format_ == "WEBP" else {})), LIMITS)
    assert (image.format, image.mode, image.width, image.height) == (format_, "RGB", 96, 64)
    assert (image.orientation, image.frames) == (1, 1)
    assert (image.pixels == PICTURE).all()


def test_bytes_and_views_are_alike() -> None:
    data = encoded(PICTURE)
    padded = memoryview(b"xx" + data + b"yy")[2:-2]
    assert (decode_image(padded, LIMITS).pixels == PICTURE).all()
    assert (decode_image(memoryview(data), LIMITS).pixels == PICTURE).all()


def test_jpeg_is_what_pillow_makes_of_it() -> None:
    data = encoded(PICTURE, "JPEG")
    assert (decode_image(data, LIMITS).pixels == np.asarray(Image.open(io.BytesIO(data)))).all()


@pytest.mark.parametrize(
    ("mode", "format_"),
    [("1", "PNG"), ("L", "JPEG"), ("P", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF")],
)
def test_other_modes_become_rgb(mode: str, format_: str) -> None:
    made = Image.fromarray(PICTURE)
    if mode == "LAB":
        made = Image.fromarray(np.dstack([PICTURE[:, :, 0], np.full((*PICTURE.shape[:2], 2), 128, np.uint8)]), "LAB")
    data = encoded(made if mode == "LAB" else made.convert(mode), format_)
    image = decode_image(data, LIMITS)
    assert image.mode == mode
    assert (image.pixels == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


def test_cmyk_ends_near_the_colours_that_it_was_made_of() -> None:
    image = decode_image(encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95), LIMITS)
    assert np.abs(image.pixels.astype(int) - PICTURE).mean() < 4


def test_sixteen_bits_keep_the_high_eight() -> None:
    grey = PICTURE[:, :, 0].astype(np.uint16) * 256 + 77
    for format_ in ("PNG", "TIFF"):
        image = decode_image(encoded(Image.fromarray(grey), format_), LIMITS)
        assert image.mode.startswith("I;16")
        assert (image.pixels == PICTURE[:, :, :1]).all()


def test_integers_of_32_bits_are_read_as_16_or_refused() -> None:
    grey = PICTURE[:, :, 0].astype(np.int32) * 256
    assert (decode_image(encoded(Image.fromarray(grey), "TIFF"), LIMITS).pixels == PICTURE[:, :, :1]).all()
    reasons = [refusal(encoded(Image.fromarray(odd), "TIFF"))[0] for odd in (grey * 2, -grey, grey.astype(np.float32))]
    assert reasons == [RefusalReason.UNSUPPORTED_MODE] * 3


def test_transparency_is_laid_on_white() -> None:
    alpha = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    image = decode_image(encoded(np.dstack([PICTURE, alpha])), LIMITS)
    assert image.mode == "RGBA"
    share = alpha[:, :, None] / 255
    assert np.abs(image.pixels - (PICTURE * share + 255 * (1 - share))).max() < 1.01
    palette = Image.fromarray(PICTURE).quantize(4)
    seen = decode_image(encoded(palette, transparency=0), LIMITS).pixels
    assert (seen[np.asarray(palette) == 0] == 255).all()
    grey = decode_image(encoded(Image.fromarray(np.dstack([PICTURE[:, :, 0], alpha]), "LA")), LIMITS)
    assert grey.mode == "LA" and (grey.pixels[:, 0] == 255).all() and (grey.pixels[:, -1] == PICTURE[:, -1, :1]).all()


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_exif_says(format_: str, orientation: int) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = with_orientation(PICTURE, orientation, format_, **options)
    image = decode_image(data, LIMITS)
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()  # TIFF is turned here already
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert image.orientation == orientation
    assert (image.height, image.width) == expected.shape[:2]
    assert (image.pixels == expected).all()
    assert (image.width > image.height) == (orientation < 5)


def test_orientations_that_mean_nothing_leave_the_picture() -> None:
    for odd in (0, 9, 77):
        image = decode_image(with_orientation(PICTURE, odd, "PNG"), LIMITS)
        assert image.orientation == 0 and (image.pixels == PICTURE).all()
    torn = encoded(PICTURE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert decode_image(torn, LIMITS).width == 96


@pytest.mark.parametrize(("format_", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_all_pictures_are_decoded_and_the_first_is_kept(format_: str, options: dict[str, bool]) -> None:
    data = animated(format_, 4, **options)
    image = decode_image(data, LIMITS)
    assert (image.frames, image.format) == (4, format_)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (image.pixels == expected).all()
    assert refusal(data, max_frames=3)[0] is RefusalReason.TOO_MANY_FRAMES
    # Pictures of 48 x 32: each may be so large, four together not larger than four.
    assert decode_image(data, replace(LIMITS, max_pixels=48 * 32)).frames == 4
    five = animated(format_, 5, **options)
    assert refusal(five, max_pixels=48 * 32)[0] is RefusalReason.TOO_MANY_PIXELS


def test_a_multi_picture_jpeg_is_a_jpeg() -> None:
    image = decode_image(animated("MPO", 3), LIMITS)
    assert (image.format, image.frames) == ("JPEG", 3)


def test_a_later_page_that_is_damaged_refuses_the_file() -> None:
    data = bytearray(animated("TIFF", 3, compression="tiff_deflate"))
    with Image.open(io.BytesIO(data)) as image:
        image.seek(2)
        start = image.tag_v2[273][0]
    data[start : start + 20] = bytes(20)
    assert refusal(bytes(data))[0] is RefusalReason.CORRUPT


def test_what_is_no_image() -> None:
    assert refusal(b"")[0] is RefusalReason.EMPTY
    assert refusal(b"<html><img src=a></html>")[0] is RefusalReason.NOT_AN_IMAGE
    assert refusal(b"\0" * 100)[0] is RefusalReason.NOT_AN_IMAGE
    assert refusal(b"x")[0] is RefusalReason.NOT_AN_IMAGE


def test_formats_that_are_not_decoded_are_named() -> None:
    svg = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
    reasons = {
        "PostScript": encoded(PICTURE, "EPS"),
        "PPM": encoded(PICTURE, "PPM"),
        "Windows icon": encoded(PICTURE, "ICO"),
        "SVG": svg,
        "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0",
    }
    for name, data in reasons.items():
        assert refusal(data) == (RefusalReason.UNSUPPORTED_FORMAT, f"{name} is not decoded")


def test_limits() -> None:
    data = encoded(PICTURE)
    assert refusal(data, max_bytes=len(data) - 1) == (
        RefusalReason.TOO_LARGE,
        f"{len(data):,} bytes, more than {len(data) - 1:,}",
    )
    assert refusal(data, max_pixels=96 * 64 - 1)[0] is RefusalReason.TOO_MANY_PIXELS
    assert decode_image(data, replace(LIMITS, max_pixels=96 * 64, max_bytes=len(data))).width == 96


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [2_000, 20_000, 100_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    """Memory is not taken: the pixels of 100,000 squared would need 30 GB."""
    reason, _ = refusal(png(side, side, bytes(1_000)))
    assert reason is RefusalReason.TOO_MANY_PIXELS


def test_pictures_without_pixels() -> None:
    for width, height in ((0, 5), (5, 0), (0, 0)):
        assert refusal(png(width, height, b""))[0] is RefusalReason.CORRUPT
    jpeg = bytearray(encoded(PICTURE, "JPEG"))
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = bytes(4)
    assert refusal(bytes(jpeg))[0] is RefusalReason.CORRUPT


def test_threads_decode_as_one_does() -> None:
    files = [encoded(smooth(seed), format_) for seed in range(6) for format_ in ("JPEG", "PNG", "WEBP", "GIF")]
    files += [file[: len(file) // 2] for file in files]

    def outcome(data: bytes) -> bytes | RefusalReason:
        try:
            return decode_image(data, LIMITS).pixels.tobytes()
        except ImageRefused as refused:
            return refused.reason

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, files)) == [outcome(file) for file in files]


def test_refusals_travel_between_processes() -> None:
    refused = pickle.loads(pickle.dumps(ImageRefused(RefusalReason.CORRUPT, "why")))
    assert (refused.reason, refused.detail, str(refused)) == (RefusalReason.CORRUPT, "why", "image_corrupt: why")


def test_declared_formats() -> None:
    names = ["a/b.JPG", "x.tar/1.jpeg", ".png", "webp", "image/gif", "image/jpeg", "a.txt", "", None, "jpg/readme"]
    expected = ["JPEG", "JPEG", "PNG", "WEBP", "GIF", "JPEG", "NONE", "NONE", "NONE", "NONE"]
    assert [declared_format(name) for name in names] == [ImageFormat[name] for name in expected]


def test_pillow_is_not_imported_before_the_first_image() -> None:
    code = (
        "import sys, corpus_audit.pipelines.images.properties, corpus_audit.pipelines.images.near_duplicates;"
        "assert 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
