"""Files cut short at every sixteenth and with flipped bits: refused wherever Pillow itself sees it, nothing raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from corpus_audit.pipelines.images.decoding import ImageRefused, RefusalReason, decode_image
from corpus_audit.pipelines.images.properties import ImageProperties, image_properties
from tests.pipelines.images.making import LIMITS, animated, encoded, pillow_refuses, smooth

NOISE = np.random.default_rng(5).integers(0, 256, (40, 50, 3), dtype=np.uint8)
FILES = {
    "jpeg": encoded(smooth(3), "JPEG"),
    "progressive jpeg": encoded(smooth(3), "JPEG", progressive=True),
    "multi-picture jpeg": animated("MPO", 2),
    "png": encoded(NOISE),
    "animated png": animated("PNG"),
    "webp": encoded(smooth(3), "WEBP"),
    "webp without loss": encoded(NOISE, "WEBP", lossless=True),
    "animated webp": animated("WEBP"),
    "gif": encoded(NOISE, "GIF"),
    "animated gif": animated("GIF"),
    "bmp": encoded(NOISE, "BMP"),
    "tiff": encoded(NOISE, "TIFF"),
    "pages of a tiff": animated("TIFF", 3),
}
FLIPS = 40

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow, about metadata in damaged files


def cuts(data: bytes) -> Iterator[bytes]:
    yield from (data[: len(data) * part // 16] for part in range(16))
    yield from (data[:-1], data[:-2], data[:-3])


def flips(data: bytes, seed: int) -> Iterator[bytes]:
    """Half of them in the first 64 bytes, where the structure is."""
    random = np.random.default_rng(seed)
    for number in range(FLIPS):
        changed = bytearray(data)
        changed[random.integers(64 if number % 2 else len(data))] ^= 1 << int(random.integers(8))
        yield bytes(changed)


def reason(data: bytes) -> RefusalReason | None:
    try:
        decode_image(data, LIMITS)
    except ImageRefused as refused:
        return refused.reason
    return None


@pytest.mark.parametrize("name", FILES)
def test_cut_files(name: str) -> None:
    data = FILES[name]
    assert reason(data) is None
    for cut in cuts(data):
        assert reason(cut) is not None or not pillow_refuses(cut), len(cut)


@pytest.mark.parametrize(
    "name", ["png", "animated png", "webp", "webp without loss", "animated webp", "gif", "animated gif"]
)
def test_formats_that_say_where_they_end_are_never_cut_in_silence(name: str) -> None:
    reasons = Counter(reason(cut) for cut in cuts(FILES[name]))
    assert set(reasons) <= {RefusalReason.EMPTY, RefusalReason.TRUNCATED}


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg"])
def test_a_cut_jpeg_is_called_truncated(name: str) -> None:
    data = FILES[name]
    assert {reason(data[: len(data) * part // 16]) for part in range(1, 16)} == {RefusalReason.TRUNCATED}


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits(name: str) -> None:
    outcomes = Counter()
    for changed in flips(FILES[name], 11):
        refused = reason(changed)
        assert refused is not None or not pillow_refuses(changed)
        outcomes[refused is None] += 1
    assert outcomes[False]


@pytest.mark.parametrize("name", ["png", "animated png"])
def test_no_flipped_bit_of_a_png_passes(name: str) -> None:
    assert all(reason(changed) is not None for changed in flips(FILES[name], 12))


def test_neighbours_are_intact() -> None:
    """A whole file between every two damaged ones is described as it is alone."""
    good = encoded(smooth(9), "JPEG")
    damaged = [bad for data in FILES.values() for bad in (data[: len(data) // 2], next(flips(data, 13)))]
    values = [file for bad in damaged for file in (good, bad)]
    rows, reasons = image_properties(values, LIMITS, ["x.jpg"] * len(values))
    alone, none = image_properties([good], LIMITS, ["x.jpg"])
    assert none == [None]
    assert [refused is None for refused in reasons[::2]] == [True] * len(damaged)
    among = rows.take(np.arange(0, len(values), 2))
    expected = ImageProperties.joined([alone] * len(damaged))
    for name in ImageProperties.__slots__:
        if name == "thumbnails":
            assert among.thumbnails.equals(expected.thumbnails)
        else:
            assert (getattr(among, name) == getattr(expected, name)).all(), name
    for value, refused, width in zip(values, reasons, rows.width, strict=True):
        assert (refused is None) == (reason(value) is None) == (width > 0)
