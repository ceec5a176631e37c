"""Draws attributions: the image, and the same in grey under a map of colours, with a legend; as PNG and as SVG.

Red raises the activation and blue lowers it, around white; the scale is the same in both directions, and is written
below. Saliency has no sign: white to red. Nothing is smoothed, and no map is stretched to its own minimum and maximum.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpus_audit.embeddings.attribution.images.methods.patches import over_pixels

RAISES, LOWERS = (178, 24, 43), (33, 102, 172)
"""Colours of what raises and of what lowers the activation: told apart in all common kinds of colour blindness."""
FULL = 0.995
"""The share of |values| that is below the value of full colour: single larger ones do not make the rest pale."""

_SIDE, _GAP, _LINE = 320, 16, 18


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Attributes:
        image: uint8 [H, W, 3], what the model sees.
        values: float64 [H, W], or [h, w] of cells.
        signed: whether values have a sign.
        caption: lines of text below.
        field: a box to outline, left, top, right and bottom in pixels of the image: the receptive field.
    """

    image: np.ndarray
    values: np.ndarray
    signed: bool
    caption: Sequence[str]
    field: tuple[int, int, int, int] | None = None


def full_scale(values: np.ndarray) -> float:
    """The value of full colour; 0 if all values are 0."""
    sizes = np.abs(values)
    return float(np.quantile(sizes, FULL)) or float(sizes.max())


def overlay(picture: Picture) -> np.ndarray:
    """The image in pale grey under the map, uint8 [H, W, 3]."""
    height, width = picture.image.shape[:2]
    values = over_pixels(picture.values, (height, width))
    scale = full_scale(picture.values)
    strength = np.clip(np.abs(values) / scale, 0, 1)[..., None] if scale else np.zeros((height, width, 1))
    grey = 190 + 65 / 255 * (picture.image @ np.array([0.299, 0.587, 0.114]))[..., None]
    colour = np.where(values[..., None] >= 0, np.array(RAISES), np.array(LOWERS))
    mixed: np.ndarray = np.rint(grey * (1 - strength) + colour * strength).astype(np.uint8)
    return mixed


def png(picture: Picture, metadata: str) -> bytes:
    """A PNG of the image, the map and the legend on white; the metadata is in its text chunk ``corpus-audit``."""
    from PIL import Image, ImageDraw, PngImagePlugin

    panels = [_enlarged(picture.image), _enlarged(overlay(picture))]
    width, height = panels[0].size
    lines = _lines(picture.caption, (2 * width + _GAP) // 7)
    canvas = Image.new("RGB", (2 * width + 3 * _GAP, height + 3 * _GAP + _LINE * (len(lines) + 2)), "white")
    draw = ImageDraw.Draw(canvas)
    for number, panel in enumerate(panels):
        at = _GAP + number * (width + _GAP)
        canvas.paste(panel, (at, _GAP))
        if picture.field is not None:
            factor = width / picture.image.shape[1]
            left, top, right, bottom = (edge * factor for edge in picture.field)
            draw.rectangle((at + left, _GAP + top, at + right - 1, _GAP + bottom - 1), outline=(230, 160, 0), width=2)
    top, bar = height + 2 * _GAP, width + _GAP
    for x in range(width):
        draw.line(
            (_GAP + bar + x, top, _GAP + bar + x, top + _LINE - 4), fill=_legend_colour(picture.signed, x / width)
        )
    low, middle, high = _legend(picture)
    font = _font()
    at = _GAP + bar
    draw.text((at, top + _LINE), low, fill="black", font=font)
    draw.text((at + width / 2, top + _LINE), middle, fill="black", font=font, anchor="ma")
    draw.text((at + width, top + _LINE), high, fill="black", font=font, anchor="ra")
    for number, line in enumerate(lines):
        draw.text((_GAP, top + _LINE * (number + 2)), line, fill="black", font=font)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("corpus-audit", metadata)
    file = io.BytesIO()
    canvas.save(file, "PNG", pnginfo=info, optimize=True)
    return file.getvalue()


def svg(picture: Picture, metadata: str) -> str:
    """The same as SVG: pixels stay sharp at any size, and text is light on a dark page."""
    height, width = picture.image.shape[:2]
    side = _SIDE * width / max(height, width)
    tall = side * height / width
    lines = _lines(picture.caption, int((2 * side + _GAP) / 6.5))
    total = (2 * side + 3 * _GAP, tall + 3 * _GAP + _LINE * (len(lines) + 2))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]:.0f} {total[1]:.0f}" role="img" '
        f'width="{total[0]:.0f}" height="{total[1]:.0f}" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{html.escape(_safe(picture.caption[0] if picture.caption else ''))}</title>",
        f"<metadata>{html.escape(metadata)}</metadata>",
        "<style>text{fill:#1a1a1a}@media(prefers-color-scheme:dark){text{fill:#e8e8e8}}"
        "image{image-rendering:pixelated}</style>",
    ]
    for number, pixels in enumerate((picture.image, overlay(picture))):
        at = _GAP + number * (side + _GAP)
        parts.append(
            f'<image x="{at:.1f}" y="{_GAP}" width="{side:.1f}" height="{tall:.1f}" href="data:image/png;base64,'
            f'{base64.b64encode(_encoded(pixels)).decode()}"/>'
        )
        if picture.field is not None:
            left, top, right, bottom = (edge * side / width for edge in picture.field)
            parts.append(
                f'<rect x="{at + left:.1f}" y="{_GAP + top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}" fill="none" stroke="rgb(230,160,0)" stroke-width="2"/>'
            )
    top, at = tall + 2 * _GAP, 2 * _GAP + side
    stops = (0.0, 0.5, 1.0) if picture.signed else (0.0, 1.0)
    gradient = "".join(
        f'<stop offset="{stop}" stop-color="rgb{_legend_colour(picture.signed, stop)}"/>' for stop in stops
    )
    parts.append(f'<defs><linearGradient id="legend">{gradient}</linearGradient></defs>')
    parts.append(f'<rect x="{at:.1f}" y="{top:.1f}" width="{side:.1f}" height="{_LINE - 4}" fill="url(#legend)"/>')
    for text, where, anchor in zip(_legend(picture), (0, side / 2, side), ("start", "middle", "end"), strict=True):
        parts.append(_text(at + where, top + _LINE + 12, text, anchor))
    for number, line in enumerate(lines):
        parts.append(_text(_GAP, top + _LINE * (number + 2) + 12, line, "start"))
    return "\n".join([*parts, "</svg>\n"])


def encode_png(pixels: np.ndarray, metadata: str) -> bytes:
    """A PNG of pixels alone, uint8 [H, W, 3]; the metadata is in its text chunk ``corpus-audit``."""
    return _encoded(pixels, metadata)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _legend(picture: Picture) -> tuple[str, str, str]:
    scale = full_scale(picture.values)
    if picture.signed:
        return f"-{scale:.3g} lowers", "0", f"raises {scale:.3g}"
    return "0", "without a sign", f"{scale:.3g}"


def _legend_colour(signed: bool, at: float) -> tuple[int, int, int]:
    """The colour at a share of the legend's length."""
    value = 2 * at - 1 if signed else at
    red, green, blue = (round(255 + (c - 255) * abs(value)) for c in (RAISES if value >= 0 else LOWERS))
    return red, green, blue


def _enlarged(pixels: np.ndarray) -> Any:
    """A Pillow image whose longer side is `_SIDE` at least, each pixel a square."""
    from PIL import Image

    factor = max(1, -(-_SIDE // max(pixels.shape[:2])))
    image = Image.fromarray(pixels)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _encoded(pixels: np.ndarray, metadata: str | None = None) -> bytes:
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if metadata is not None:
        info.add_itxt("corpus-audit", metadata)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", pnginfo=info, optimize=True)
    return file.getvalue()


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(13)


def _lines(caption: Sequence[str], width: int) -> list[str]:
    """The caption's lines, cut to a number of characters."""
    safe = [_safe(line) for line in caption]
    return [line if len(line) <= width else line[: width - 1] + "…" for line in safe]


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)
