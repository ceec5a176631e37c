"""Text for a terminal, coloured by how much each of its tokens makes a unit fire.

The background of a terminal is not known, so that every colour has to do on a light and on a dark one: weak tokens are
written in a colour of middle lightness, stronger ones are black on a background of their own, tan through amber to red
(blues below zero). Without colour the peak alone is marked.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from corpus_audit.checks.text.safe_text import cell_width, safe_text

LEVELS = (0.1, 0.3, 0.5, 0.75)
"""Shares of the scale from which a token has the first, second, … colour."""

FOREGROUND = {1: 130, -1: 31}
"""Of the 256 colours, that of the first level's text, above and below zero."""

BACKGROUNDS = {1: (179, 214, 202), -1: (110, 39, 33)}
"""That of the further levels' background; their text is black."""

_BLACK = 16

PEAK_MARKS = "«", "»"
"""Around the peak where there is no colour."""

_BREAK_WITHIN = 24
"""Columns from the end of a line in which a space is looked for."""

_STEP = 4
"""Columns by which a text is shortened until it fits."""

_CUT = "…"
_LINE_END = "↵"


def terminal_has_colours(allowed: bool, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal says it has 256 colours; ``allowed`` is false where there is none or NO_COLOR is set.

    Only tests give an ``environment``.
    """
    terminal = environment.get("TERM", "")
    many = environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    return allowed and (many or "256" in terminal or "direct" in terminal)


@dataclass(frozen=True, slots=True)
class _Cell:
    shown: str
    width: int
    level: int
    peak: bool


_SPACE = _Cell(" ", 1, 0, False)


def character_values(length: int, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The activation of every character, float64 [length]: the token of largest magnitude that covers it, else 0.

    Args:
        length: code points of the text.
        starts, ends: int [T], where tokens are in the text; -1 for special tokens, which are left out.
        values: float [T], the tokens' activations; NaN where there is none.
    """
    result = np.zeros(length)
    for start, end, value in zip(starts.tolist(), ends.tolist(), values.tolist(), strict=True):
        if start >= 0 and value == value:
            part = result[start:end]
            part[np.abs(part) < abs(value)] = value
    return result


def heat_lines(
    text: str,
    values: np.ndarray,
    peak: tuple[int, int],
    scale: float,
    width: int,
    most_lines: int,
    colour: bool,
) -> list[str]:
    """The part of a text around its peak in lines of at most ``width`` columns, made safe and coloured.

    Several blanks that have no colour are shown as one: indentation would take the room of the words.

    Args:
        text: from the corpus, as it is there.
        values: float64 [len(text)], `character_values`.
        peak: code points where the peak's token starts and ends.
        scale: the magnitude of full colour.
        width: columns of a line.
        most_lines: lines to fill at most.
        colour: whether the terminal has 256 colours.
    """
    cells = _single_spaced(_cells(text, values, peak, scale, colour))
    at = next((i for i, cell in enumerate(cells) if cell.peak), 0)
    room = width * most_lines
    while True:
        begin, end = _around(cells, at, room - 2 * len(_CUT))
        front = [_Cell(_CUT, 1, 0, False)] if begin else []
        back = [_Cell(_CUT, 1, 0, False)] if end < len(cells) else []
        lines = _wrapped([*front, *cells[begin:end], *back], width)
        if len(lines) <= most_lines or room <= width:
            return [_painted(line, colour) for line in lines[:most_lines]]
        room -= _STEP  # breaks between words have left columns empty


def _cells(text: str, values: np.ndarray, peak: tuple[int, int], scale: float, colour: bool) -> list[_Cell]:
    """One cell a character with its combining marks; line ends and tabs are shown by a sign."""
    cells: list[_Cell] = []
    marked = not colour
    i = 0
    while i < len(text):
        stop = i + 1
        if text[i : i + 2] == "\r\n":
            stop = i + 2
        else:
            while stop < len(text) and unicodedata.category(text[stop])[0] == "M":
                stop += 1
        piece = text[i:stop]
        shown = _LINE_END if piece in ("\n", "\r\n") else "→" if piece == "\t" else safe_text(piece)
        strongest = float(values[i:stop][np.abs(values[i:stop]).argmax()])
        is_peak = i < peak[1] and stop > peak[0]
        if marked and is_peak and not (cells and cells[-1].peak):
            cells.append(_Cell(PEAK_MARKS[0], 1, 0, True))
        if marked and not is_peak and cells and cells[-1].peak:
            cells.append(_Cell(PEAK_MARKS[1], 1, 0, False))
        # An escape may be long, and then breaks like a word.
        for part in shown if len(shown) > len(piece) else (shown,):
            cells.append(_Cell(part, cell_width(part), _level(strongest, scale), is_peak))
        i = stop
    if marked and cells and cells[-1].peak:
        cells.append(_Cell(PEAK_MARKS[1], 1, 0, False))
    return cells


def _single_spaced(cells: Sequence[_Cell]) -> list[_Cell]:
    """Without those spaces that follow another one, where neither has a colour or is the peak."""
    kept: list[_Cell] = []
    for cell in cells:
        if cell == _SPACE and kept and kept[-1] == _SPACE:
            continue
        kept.append(cell)
    return kept


def _level(value: float, scale: float) -> int:
    """From -len(LEVELS) to len(LEVELS); 0 is no colour."""
    share = abs(value) / scale if scale > 0 else 0.0
    level = sum(share >= edge for edge in LEVELS)
    return level if value > 0 else -level


def _around(cells: Sequence[_Cell], at: int, room: int) -> tuple[int, int]:
    """The range of cells around one that fits into so many columns, three fifths of them in front of it."""
    begin = end = at
    used = before = 0
    while begin > 0 or end < len(cells):
        forward = end < len(cells) and (begin == 0 or 3 * (used - before) <= 2 * before or end == at)
        cell = cells[end] if forward else cells[begin - 1]
        if used + cell.width > room:
            break
        used += cell.width
        if forward:
            end += 1
        else:
            begin -= 1
            before += cell.width
    return begin, max(end, begin)


def _wrapped(cells: Sequence[_Cell], width: int) -> list[list[_Cell]]:
    """Lines that break at a space or after a line end where one is near; spaces at a break are not shown."""
    lines: list[list[_Cell]] = []
    line: list[_Cell] = []
    used = 0
    for cell in cells:
        while line and used + cell.width > width:
            keep = len(line)
            near = [i for i in range(max(0, keep - _BREAK_WITHIN), keep) if line[i].shown in (" ", _LINE_END)]
            if near and cell != _SPACE:
                keep = near[-1] + 1
            lines.append(line[: keep - 1] if line[keep - 1] == _SPACE else line[:keep])
            line = line[keep:]
            used = sum(each.width for each in line)
        if cell == _SPACE and lines and not line:
            continue
        line.append(cell)
        used += cell.width
    return [*lines, line] if line else lines


def _painted(line: Sequence[_Cell], colour: bool) -> str:
    parts = []
    for (level, peak), run in groupby(line, key=lambda cell: (cell.level, cell.peak)):
        shown = "".join(cell.shown for cell in run)
        parts.append(paint(shown, level, peak) if colour else shown)
    return "".join(parts)


def paint(text: str, level: int, peak: bool = False) -> str:
    """Text in the colour of a level, from -len(LEVELS) to len(LEVELS); the peak's is bold and underlined."""
    codes = ["1;4"] if peak else []
    sign, strength = (1 if level > 0 else -1), abs(level)
    if strength == 1:
        codes.append(f"38;5;{FOREGROUND[sign]}")
    elif strength:
        codes.append(f"38;5;{_BLACK};48;5;{BACKGROUNDS[sign][strength - 2]}")
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text
