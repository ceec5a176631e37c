"""The structure of arrays that measures count from."""

from __future__ import annotations

import io
from hashlib import blake2b

import numpy as np
from PIL import Image

from corpus_audit.pipelines.images import properties
from corpus_audit.pipelines.images.containers import ImageFormat
from corpus_audit.pipelines.images.decoding import RefusalReason
from corpus_audit.pipelines.images.properties import MODES, ImageProperties, image_properties
from tests.pipelines.images.making import LIMITS, encoded, smooth, with_orientation


def test_an_image_is_described() -> None:
    picture = smooth(1, 100, 60)
    data = with_orientation(picture, 6, "PNG")
    rows, reasons = image_properties([data], LIMITS, ["a.jpg"])
    assert reasons == [None] and len(rows) == 1
    assert (rows.width[0], rows.height[0], rows.frames[0], rows.pixels[0]) == (60, 100, 1, 6_000)
    assert (rows.format[0], rows.declared[0], rows.mislabelled[0]) == (ImageFormat.PNG, ImageFormat.JPEG, True)
    assert (MODES[rows.mode[0]], rows.orientation[0], rows.bytes[0], rows.flat[0]) == ("RGB", 6, len(data), False)
    digest = blake2b(data, digest_size=16).digest()
    assert (int(rows.byte_high[0]) << 64 | int(rows.byte_low[0])) == int.from_bytes(digest, "big")
    upright = np.ascontiguousarray(np.rot90(picture, -1))
    digest = blake2b(b"100,60,RGB," + upright.tobytes(), digest_size=16).digest()
    assert (int(rows.pixel_high[0]) << 64 | int(rows.pixel_low[0])) == int.from_bytes(digest, "big")
    with Image.open(io.BytesIO(rows.thumbnails[0].as_py())) as small:
        assert (small.format, small.size) == ("JPEG", (60, 100))


def test_pixels_of_another_shape_have_another_hash() -> None:
    white = [np.full(shape, 255, np.uint8) for shape in ((100, 200, 3), (200, 100, 3), (100, 200, 3))]
    rows, _ = image_properties([encoded(w, f) for w, f in zip(white, ("PNG", "PNG", "BMP"), strict=True)], LIMITS)
    hashes = list(zip(rows.pixel_high.tolist(), rows.pixel_low.tolist(), strict=True))
    assert hashes[0] != hashes[1] and hashes[0] == hashes[2]
    assert len(set(rows.byte_low.tolist())) == 3
    assert rows.flat.all()


def test_refused_rows_hold_zeros_and_their_bytes() -> None:
    values = [b"", b"no image", encoded(smooth(1))]
    rows, reasons = image_properties(values, LIMITS, ["a.jpg", "b.png", None])
    assert [r and r.reason for r in reasons] == [RefusalReason.EMPTY, RefusalReason.NOT_AN_IMAGE, None]
    assert rows.bytes.tolist() == [len(value) for value in values]
    assert rows.width.tolist() == [0, 0, 96] and rows.phash[:2].tolist() == [0, 0]
    assert rows.mislabelled.tolist() == [False] * 3
    assert rows.thumbnails[1].as_py() == b"" and len(rows.thumbnails[2].as_py()) > 100


def test_thumbnails_are_bounded_and_can_be_left_out() -> None:
    data = encoded(smooth(1, 900, 300))
    rows, _ = image_properties([data], LIMITS)
    with Image.open(io.BytesIO(rows.thumbnails[0].as_py())) as small:
        assert max(small.size) == 128
    assert len(rows.thumbnails[0].as_py()) < 10_000
    assert image_properties([data], LIMITS, thumbnails=False)[0].thumbnails.to_pylist() == [b""]


def test_thumbnails_of_a_domain_are_made_of_its_pictures_of_lowest_hash(monkeypatch) -> None:
    monkeypatch.setattr(properties, "THUMBNAILS_A_DOMAIN", 3)
    numbers = np.random.default_rng(0).integers(0, 14, 40)  # with copies
    domains = np.arange(40) % 2
    rows, _ = image_properties([encoded(smooth(n, 12, 9)) for n in numbers], LIMITS, domains=domains)
    everything, _ = image_properties([encoded(smooth(n, 12, 9)) for n in numbers], LIMITS)
    made = 0
    for domain in (0, 1):
        first: dict[tuple[int, int], int] = {}
        for i in np.flatnonzero(domains == domain).tolist():
            first.setdefault((int(rows.pixel_high[i]), int(rows.pixel_low[i])), i)
        for picture in sorted(first)[:3]:
            assert rows.thumbnails[first[picture]] == everything.thumbnails[first[picture]]
        made += sum(rows.thumbnails[i].as_py() != b"" for i in np.flatnonzero(domains == domain).tolist())
    assert 6 <= made < 28 and (rows.phash == everything.phash).all() and (rows.patches == everything.patches).all()


def test_no_images_and_rows_taken_and_joined() -> None:
    rows, reasons = image_properties([], LIMITS)
    assert (len(rows), reasons) == (0, [])
    several, _ = image_properties([encoded(smooth(seed)) for seed in range(5)], LIMITS)
    again = ImageProperties.joined(
        [several.take(np.array([0, 1])), several.take(several.phash >= 0).take(np.arange(2, 5))]
    )
    for name in ImageProperties.__slots__:
        left, right = getattr(again, name), getattr(several, name)
        assert left.equals(right) if name == "thumbnails" else (left == right).all()
        assert name == "thumbnails" or left.dtype == right.dtype
