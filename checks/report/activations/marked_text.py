"""Text of the corpus with marked tokens as markup: every piece is made safe and escaped, and has a class of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from markupsafe import Markup

from corpus_audit.checks.text.safe_text import ELLIPSIS, safe_text

LEVELS = (0.1, 0.3, 0.5, 0.75)
"""Shares of the scale from which a token has the first, second, … shade."""

WIDTH = 600
"""Code points that are shown at most, around the token that matters."""

_SIGNS = {"\r\n": "↵", "\n": "↵", "\r": "↵", "\t": "→"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A token of a text.

    Attributes:
        start, end: where it is in the text, in code points.
        value: what its shade says.
    """

    start: int
    end: int
    value: float


def shade(value: float, scale: float) -> int:
    """From -len(LEVELS) to len(LEVELS), by the share that a value has of the scale; 0 is no shade."""
    share = abs(value) / scale if scale > 0 else 0.0
    level = sum(share >= edge for edge in LEVELS)
    return level if value > 0 else -level


def marked_text(text: str, marks: Sequence[Mark], scale: float, strong: tuple[int, int], width: int = WIDTH) -> Markup:
    """The part of a text around a token, with shades by value; where it is cut, there is an ellipsis.

    Args:
        text: from the corpus, as it stands there.
        marks: its tokens; where several cover a character, the largest value counts.
        scale: the value of full shade.
        strong: start and end of the token that matters, which is bold and underlined.
        width: code points at most.
    """
    values = np.zeros(len(text))
    for mark in marks:
        part = values[mark.start : mark.end]
        part[np.abs(part) < abs(mark.value)] = mark.value
    begin, end = _around(len(text), strong, width)
    classes = [
        (shade(value, scale), strong[0] <= i < strong[1]) for i, value in enumerate(values[begin:end].tolist(), begin)
    ]
    pieces = [Markup(ELLIPSIS) if begin else Markup("")]
    at = begin
    for (level, is_strong), run in groupby(classes):
        stop = at + len(list(run))
        pieces.append(_piece(text[at:stop], level, is_strong))
        at = stop
    pieces.append(Markup(ELLIPSIS) if end < len(text) else Markup(""))
    return Markup('<bdi class="marked">{}</bdi>').format(Markup("").join(pieces))


def _around(length: int, strong: tuple[int, int], width: int) -> tuple[int, int]:
    """The range of a text that is shown, most of it in front of the token that matters."""
    if length <= width:
        return 0, length
    end = min(length, max(strong[1] + width // 4, width))
    return max(0, end - width), end


def _piece(text: str, level: int, is_strong: bool) -> Markup:
    shown = text
    for piece, sign in _SIGNS.items():
        shown = shown.replace(piece, sign)
    shown = safe_text(shown, 10 * WIDTH)  # escapes are longer than what they stand for
    classes = ([f"heat{level}" if level > 0 else f"cool{-level}"] if level else []) + (["strong"] if is_strong else [])
    if not classes:
        return Markup("{}").format(shown)
    return Markup('<span class="{}">{}</span>').format(" ".join(classes), shown)


def token_text(text: str, start: int, end: int) -> str:
    """A token as a table shows it: blanks around it left out, and a sign where nothing is left."""
    shown = " ".join(text[start:end].split())
    return shown or "␣"
