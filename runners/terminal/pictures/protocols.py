"""Pictures as escape sequences of terminals: kitty's graphics, iTerm2's inline images, sixel.

kitty and iTerm2 take a PNG in base64 (https://sw.kovidgoyal.net/kitty/graphics-protocol/,
https://iterm2.com/documentation-images.html); sixel is drawn from pixels (`sixel.py`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from enum import StrEnum

import numpy as np

from corpus_audit.runners.terminal.pictures.sixel import sixel

CHUNK = 4096
"""Characters of base64 in one sequence of kitty's protocol at most; a multiple of 4."""


class Protocol(StrEnum):
    """How a terminal draws pictures."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    NONE = "none"


def picture_sequence(png: bytes, protocol: Protocol) -> str:
    """The escape sequence that draws a picture at the cursor, ASCII; empty for NONE.

    Args:
        png: the picture.
        protocol: of the terminal.
    """
    if protocol is Protocol.KITTY:
        return "".join(_kitty(base64.b64encode(png).decode("ascii")))
    if protocol is Protocol.ITERM:
        content = base64.b64encode(png).decode("ascii")
        return f"\x1b]1337;File=inline=1;size={len(png)};preserveAspectRatio=1:{content}\x07"
    if protocol is Protocol.SIXEL:
        from PIL import Image

        return sixel(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))
    return ""


def _kitty(content: str) -> Iterator[str]:
    """Chunks: transmit and show (a=T) a PNG (f=100), and answer nothing (q=2); m=1 where more follow."""
    for start in range(0, len(content), CHUNK):
        keys = "a=T,f=100,q=2," if start == 0 else ""
        more = int(start + CHUNK < len(content))
        yield f"\x1b_G{keys}m={more};{content[start : start + CHUNK]}\x1b\\"
