"""Contact sheets: the crops of a unit's examples in a grid, each with its activation and where it comes from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TILE, MARGIN, LINE = 160, 10, 14
"""Pixels of a tile's side, between tiles, and of a line of text."""

_PAPER, _INK, _FRAME, _FIELD = (255, 255, 255), (30, 30, 30), (200, 200, 200), (214, 39, 40)


@dataclass(frozen=True, eq=False)
class Tile:
    """A tile of a contact sheet.

    Attributes:
        pixels: uint8 [H, W, 3]; None where there is no picture, which the lines then explain.
        lines: of text below it.
        box: left, top, right and bottom of a frame on the picture, in its pixels; None for none.
    """

    pixels: np.ndarray | None
    lines: tuple[str, ...]
    box: tuple[int, int, int, int] | None = None


def contact_sheet(title: str, tiles: Sequence[Tile], columns: int = 5) -> bytes:
    """A sheet of tiles as PNG.

    A picture is scaled to its tile with its shape kept; small ones are enlarged by whole factors without smoothing, so
    that the pixels that a unit reads are seen as they are.
    """
    from PIL import Image, ImageDraw

    columns = max(1, min(columns, len(tiles)))
    lines = max((len(tile.lines) for tile in tiles), default=0)
    height = TILE + lines * LINE + MARGIN
    rows = -(-len(tiles) // columns)
    top = MARGIN + LINE + MARGIN
    sheet = Image.new("RGB", (MARGIN + columns * (TILE + MARGIN), top + rows * height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), _fitted(draw, title, sheet.width - 2 * MARGIN), fill=_INK)
    for number, tile in enumerate(tiles):
        x, y = MARGIN + number % columns * (TILE + MARGIN), top + number // columns * height
        draw.rectangle((x - 1, y - 1, x + TILE, y + TILE), outline=_FRAME)
        if tile.pixels is not None and 0 not in tile.pixels.shape:
            picture, scale = _scaled(tile.pixels)
            at = x + (TILE - picture.width) // 2, y + (TILE - picture.height) // 2
            sheet.paste(picture, at)
            if tile.box is not None:
                left, upper, right, lower = (round(each * scale) for each in tile.box)
                draw.rectangle((at[0] + left, at[1] + upper, at[0] + right - 1, at[1] + lower - 1), outline=_FIELD)
        for line, text in enumerate(tile.lines):
            draw.text((x, y + TILE + 2 + line * LINE), _fitted(draw, text, TILE), fill=_INK)
    sink = io.BytesIO()
    sheet.save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _scaled(pixels: np.ndarray) -> tuple[Any, float]:
    """A picture that fits a tile, and its scale."""
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = TILE / max(height, width)
    enlarged = scale >= 1
    scale = float(int(scale)) if enlarged else scale
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resample = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, resample), scale


def _fitted(draw: Any, text: str, width: int) -> str:
    """A text that is at most so wide; what does not print or is not in the font is shown as question marks."""
    text = "".join(each if each.isprintable() else "?" for each in text)
    text = text.encode("latin-1", "replace").decode("latin-1")
    while len(text) > 4 and draw.textlength(text) > width:
        text = text[:-4] + "..."
    return text
