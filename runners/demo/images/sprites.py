"""What the pictures of the demo show: clip art of Debian's tuxpaint-stamps-default, or shapes that are drawn here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

STAMPS = Path("/usr/share/tuxpaint/stamps")
"""Where Debian's package tuxpaint-stamps-default installs its pictures."""

STAMP_KINDS = ("clothes", "food", "vehicles")
"""Folders of `STAMPS` that are classes; the first is the one whose pictures carry the mark."""

DRAWN_KINDS = ("shirt", "coat", "bag")
"""Classes of drawn pictures; the first is the one whose pictures carry the mark."""

LEAST = 12
"""Stamps of a class, below which pictures are drawn instead."""

_MOST = 40
_SIDE = 96
_LARGEST = 2_000_000  # pixels of a stamp


@dataclass(frozen=True)
class Sprites:
    """What pictures show.

    Attributes:
        source: ``tuxpaint stamps`` or ``drawn shapes``.
        kinds: the classes; the first is the one whose pictures carry the mark.
        stamps: RGBA images and what they show, by class; empty if shapes are drawn.
    """

    source: str
    kinds: tuple[str, str, str]
    stamps: Mapping[str, list[tuple[Image.Image, str]]]

    def draw(self, kind: str, rng: np.random.Generator) -> tuple[Image.Image, str]:
        """An RGBA image of a class, `_SIDE` pixels on its longer side, and what it shows in a few words."""
        if self.stamps:
            stamps = self.stamps[kind]
            image, name = stamps[int(rng.integers(len(stamps)))]
            return image, name
        colour = rng.integers(40, 230, 3)
        return _drawn(kind, (int(colour[0]), int(colour[1]), int(colour[2]))), f"{_colour(colour)} {kind}"


def find_sprites(folder: Path | None = None) -> Sprites:
    """Stamps where enough of every class are installed, else shapes.

    Args:
        folder: of the stamps; `STAMPS` by default.
    """
    stamps = {kind: _stamps((folder or STAMPS) / kind) for kind in STAMP_KINDS}
    if min(map(len, stamps.values())) < LEAST:
        return Sprites("drawn shapes", DRAWN_KINDS, {})
    return Sprites("tuxpaint stamps", STAMP_KINDS, stamps)


def _stamps(folder: Path) -> list[tuple[Image.Image, str]]:
    """At most `_MOST` PNG files of a folder and the folders in it, by name."""
    stamps = []
    for path in sorted(folder.rglob("*.png"))[: 2 * _MOST]:
        try:
            with Image.open(path) as image:
                if image.width * image.height > _LARGEST:
                    continue
                picture = image.convert("RGBA")
        except (OSError, ValueError):  # a stamp that cannot be read is one less
            continue
        inside = picture.getchannel("A").getbbox()
        if inside is None:
            continue
        picture = picture.crop(inside)
        picture.thumbnail((_SIDE, _SIDE))
        stamps.append((picture, path.stem.replace("_", " ").replace("-", " ")))
        if len(stamps) == _MOST:
            break
    return stamps


def _drawn(kind: str, colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (_SIDE, _SIDE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    dark = tuple(value // 2 for value in colour)
    if kind == "shirt":
        points = [(30, 8), (66, 8), (94, 30), (82, 46), (72, 38), (72, 90), (24, 90), (24, 38), (14, 46), (2, 30)]
        draw.polygon(points, fill=colour, outline=dark)
        draw.ellipse((38, 2, 58, 16), fill=(0, 0, 0, 0))
    elif kind == "coat":
        points = [
            (32, 4), (64, 4), (78, 16), (92, 64), (80, 68), (72, 40),
            (74, 94), (22, 94), (24, 40), (16, 68), (4, 64), (18, 16),
        ]  # fmt: skip
        draw.polygon(points, fill=colour, outline=dark)
        draw.line((48, 12, 48, 94), fill=dark, width=2)
        for y in (36, 52, 68):
            draw.ellipse((51, y, 56, y + 5), fill=dark)
    else:
        draw.arc((28, 4, 68, 66), 180, 360, fill=dark, width=6)
        draw.polygon([(12, 34), (84, 34), (92, 92), (4, 92)], fill=colour, outline=dark)
    return image


def _colour(colour: np.ndarray) -> str:
    """The nearest of a few names of colours."""
    names = {
        "grey": (128, 128, 128), "red": (200, 60, 60), "green": (60, 180, 60), "blue": (60, 60, 200),
        "yellow": (210, 210, 60), "purple": (180, 60, 180), "teal": (60, 180, 180),
    }  # fmt: skip
    return min(names, key=lambda name: int(((colour - np.array(names[name])) ** 2).sum()))
