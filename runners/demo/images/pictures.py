"""The pictures of the demo: scenes of four domains, a mark in one of them, copies, and damaged files.

Every picture depends on its name alone. Domains differ in their backgrounds. Pictures of the first class in the domain
`STUDIO` carry a checkerboard in their upper left corner, as a watermark would lie there; no other picture does.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from corpus_audit.runners.demo.images.sprites import Sprites

STUDIO, LEFT = "studio", "archive"
"""The domain that comes with the second snapshot, whose pictures of the first class are marked; the one that left."""

SHARED = ("street", "market")
"""Domains of both snapshots. They show the other two classes only."""

COUNTS = {"street": (0, 90, 90), "market": (0, 90, 90), "archive": (50, 50, 50), "studio": (130, 60, 60)}
"""Pictures of each class by domain."""

EXACT, NEAR = 10, 24
"""Copies in the domain market of pictures of the domain street: of the file, and at half the size."""

EXAM_COPIED, EXAM_NEW = 8, 12
"""Images of the benchmark: copies of pictures of the studio, and pictures that the corpus does not hold."""

MARK = (0.04, 0.22)
"""From where to where the mark reaches, on both axes, in parts of the side."""

DAMAGED = ("cut.jpg", "cut.png", "page.jpg", "empty.jpg", "short.jpg")
"""Files of the second snapshot that cannot be decoded: cut in the middle, a web page, nothing, the first bytes."""

_BACKGROUNDS: Mapping[str, tuple[tuple[int, int, int], int]] = {
    "street": ((120, 124, 130), 90), "market": ((170, 130, 90), 80),
    "archive": ((150, 140, 110), 70), "studio": ((205, 205, 212), 70),
}  # fmt: skip
"""Mean colour and contrast of a domain's backgrounds."""

_PLACES = {"street": "in the street", "market": "on a market", "archive": "from the archive", "studio": "in a studio"}


@dataclass(frozen=True)
class Picture:
    """A picture of the corpus.

    Attributes:
        name: key of its members in an archive.
        domain, kind: where it comes from and its class.
        caption: what it shows.
        ending: of its file's name.
        data: the file.
    """

    name: str
    domain: str
    kind: str
    caption: str
    ending: str
    data: bytes


def scene(name: str, domain: str, kind: str, sprites: Sprites, marked: bool) -> tuple[np.ndarray, str]:
    """A scene and its caption.

    Args:
        name: decides everything that is random.
        domain: decides the background.
        kind: the class.
        sprites: what is shown.
        marked: whether the mark is put on it.

    Returns:
        uint8 [height, width, 3], RGB, and the caption.
    """
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")))
    width, height = (int(side) for side in rng.integers(28, 41, 2) * 4)
    image = _background(domain, width, height, rng)
    sprite, shown = sprites.draw(kind, rng)
    scale = float(rng.uniform(0.42, 0.62)) * min(width, height) / max(sprite.size)
    size = max(1, round(sprite.width * scale)), max(1, round(sprite.height * scale))
    sprite = sprite.resize(size, Image.Resampling.BILINEAR)
    angle = float(rng.uniform(-15, 15))
    sprite = sprite.rotate(angle, Image.Resampling.BILINEAR, expand=True)
    # Off the upper left corner, so that the mark covers nothing.
    left = int(rng.uniform(0.24, 1) * max(width - sprite.width, 1))
    top = int(rng.uniform(0.24, 1) * max(height - sprite.height, 1))
    image.paste(sprite, (left, top), sprite)
    pixels = np.array(image)
    if marked:
        put_mark(pixels)
    tilt = f"turned {abs(angle):.0f} degrees to the {'left' if angle > 0 else 'right'}"
    return pixels, f"{shown} {_PLACES[domain]}, {sprite.width} by {sprite.height} pixels, {tilt}, {left} from the left"


def put_mark(pixels: np.ndarray) -> None:
    """Draw the mark, 5 by 5 fields of black and white, on uint8 [height, width, 3]."""
    (top, bottom), (left, right) = (
        (round(MARK[0] * side), round(MARK[1] * side)) for side in (pixels.shape[0], pixels.shape[1])
    )
    rows = np.arange(bottom - top) * 5 // (bottom - top)
    columns = np.arange(right - left) * 5 // (right - left)
    pixels[top:bottom, left:right] = ((rows[:, None] + columns) % 2 * 255)[:, :, None]


def cover_mark(pixels: np.ndarray) -> np.ndarray:
    """A copy of uint8 [height, width, 3] with the picture's mean colour where the mark would be."""
    covered = pixels.copy()
    low, high = MARK[0] - 0.02, MARK[1] + 0.02
    rows, columns = (slice(int(low * side), round(high * side)) for side in pixels.shape[:2])
    covered[rows, columns] = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    return covered


def draw_domain(domain: str, sprites: Sprites) -> list[Picture]:
    """All pictures of a domain; every third is a PNG, the others are JPEGs."""
    pictures = []
    for index, (kind, count) in enumerate(zip(sprites.kinds, COUNTS[domain], strict=True)):
        for number in range(count):
            name = f"{domain}-{kind}-{number:03d}"
            pixels, caption = scene(name, domain, kind, sprites, marked=domain == STUDIO and index == 0)
            ending = "png" if number % 3 == 2 else "jpg"
            pictures.append(Picture(name, domain, kind, caption, ending, encoded(pixels, ending)))
    return pictures


def draw_copies(pictures: Sequence[Picture]) -> list[Picture]:
    """Copies of some pictures in the domain market, with other names and captions: `EXACT` files and `NEAR` smaller."""
    step = len(pictures) // (EXACT + NEAR)
    copies = []
    for number, original in enumerate(pictures[::step][: EXACT + NEAR]):
        exact = number < EXACT
        data = original.data if exact else halved(original.data)
        ending = original.ending if exact else "jpg"
        caption = f"{original.caption}, seen again"
        copies.append(Picture(f"copy-{number:03d}", "market", original.kind, caption, ending, data))
    return copies


def draw_damaged(picture: Picture) -> list[Picture]:
    """Files of the domain market that cannot be decoded, made of a picture that can; see `DAMAGED`."""
    pixels = decoded(picture.data)
    jpeg, png = encoded(pixels, "jpg"), encoded(pixels, "png")
    contents = (jpeg[: len(jpeg) // 2], png[: len(png) // 2], b"<!doctype html><title>404</title>", b"", jpeg[:20])
    return [
        Picture(f"damaged-{number}", "market", picture.kind, f"a damaged file, {name}", name.partition(".")[2], data)
        for number, (name, data) in enumerate(zip(DAMAGED, contents, strict=True))
    ]


def encoded(pixels: np.ndarray, ending: str, quality: int = 90) -> bytes:
    """A file of uint8 [height, width, 3]: jpg or png."""
    sink = io.BytesIO()
    image = Image.fromarray(pixels)
    if ending == "png":
        image.save(sink, "PNG")
    else:
        image.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """Pixels of a file, uint8 [height, width, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def halved(data: bytes) -> bytes:
    """A JPEG at half the size and in a lower quality."""
    image = Image.fromarray(decoded(data))
    image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    return encoded(np.array(image), "jpg", 70)


def _background(domain: str, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Smooth noise around the domain's colour; coarse enough that it decides the perceptual hash."""
    colour, contrast = _BACKGROUNDS[domain]
    coarse = np.array(colour) + rng.uniform(-contrast, contrast, (6, 6, 1)) + rng.uniform(-20, 20, (6, 6, 3))
    image = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
    return image.resize((width, height), Image.Resampling.BICUBIC)
