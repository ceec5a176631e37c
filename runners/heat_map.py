"""Text for a terminal, coloured by how much each of its tokens makes a unit fire.

A coloured cell has its own foreground and a background of middle lightness, grey through to orange (blue below zero):
strength is saturation, so that strong tokens stand out on light and dark terminals alike. Without colour the peak alone
is marked.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

import numpy as np

from corpus_audit.checks.report.escapes import cell_width, safe_text

LEVELS = (0.1, 0.3, 0.5, 0.75)
"""Shares of the scale from which a token has the first, second, … colour."""

_TRUE = {
    1: ("158;158;158", "200;160;100", "232;150;50", "255;135;0"),
    -1: ("158;158;158", "120;165;205", "85;170;235", "30;170;255"),
}
_INDEXED = {1: ("247", "179", "214", "208"), -1: ("247", "110", "75", "39")}

PEAK_MARKS = "«", "»"
"""Around the peak where there is no colour."""

_BREAK_WITHIN = 24
"""Columns from the end of a line in which a space is looked for."""

_CUT = "…"


class Colours(Enum):
    """What a terminal can show."""

    NONE = "none"
    INDEXED = "256"
    TRUE = "24 bit"


def colours_of_terminal(allowed: bool, environment: Mapping[str, str] = os.environ) -> Colours:
    """What the terminal says it can show; ``allowed`` is false where there is none or NO_COLOR is set."""
    terminal = environment.get("TERM", "")
    if not allowed:
        return Colours.NONE
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit") or "direct" in terminal:
        return Colours.TRUE
    return Colours.INDEXED if "256" in terminal else Colours.NONE


@dataclass(frozen=True, slots=True)
class _Cell:
    shown: str
    width: int
    level: int
    peak: bool


def character_values(length: int, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The activation of every character, float64 [length]: the token of largest magnitude that covers it, else 0.

    Args:
        length: code points of the text.
        starts, ends: int [T], where tokens are in the text; -1 for special tokens, which are left out.
        values: float [T], the tokens' activations; NaN where there is none.
    """
    found = np.zeros(length)
    for start, end, value in zip(starts.tolist(), ends.tolist(), values.tolist(), strict=True):
        if start >= 0 and value == value:
            part = found[start:end]
            part[np.abs(part) < abs(value)] = value
    return found


def heat_lines(
    text: str,
    values: np.ndarray,
    peak: tuple[int, int],
    scale: float,
    width: int,
    most_lines: int,
    colours: Colours,
) -> list[str]:
    """The part of a text around its peak in lines of at most ``width`` columns, made safe and coloured.

    Args:
        text: from the corpus, as it is there.
        values: float64 [len(text)], `character_values`.
        peak: code points where the peak's token starts and ends.
        scale: the magnitude of full colour.
        width: columns of a line.
        most_lines: lines to fill at most.
        colours: what the terminal can show.
    """
    cells = _cells(text, values, peak, scale, colours)
    at = next((i for i, cell in enumerate(cells) if cell.peak), 0)
    begin, end = _around(cells, at, (width - 1) * most_lines - 2 * len(_CUT) - _slack(width) * (most_lines - 1))
    chosen = list(cells[begin:end])
    if begin:
        chosen.insert(0, _Cell(_CUT, 1, 0, False))
    if end < len(cells):
        chosen.append(_Cell(_CUT, 1, 0, False))
    return [_painted(line, colours) for line in _wrapped(chosen, width)[:most_lines]]


def _slack(width: int) -> int:
    return min(_BREAK_WITHIN, width // 2) // 2


def _cells(text: str, values: np.ndarray, peak: tuple[int, int], scale: float, colours: Colours) -> Sequence[_Cell]:
    """One cell a character with its combining marks; line ends and tabs are shown by a sign."""
    cells: list[_Cell] = []
    marked = colours is Colours.NONE
    i = 0
    while i < len(text):
        stop = i + 1
        if text[i : i + 2] == "\r\n":
            stop = i + 2
        else:
            while stop < len(text) and unicodedata.category(text[stop])[0] == "M":
                stop += 1
        piece = text[i:stop]
        shown = "↵" if piece in ("\n", "\r\n") else "→" if piece == "\t" else safe_text(piece)
        strongest = float(values[i:stop][np.abs(values[i:stop]).argmax()])
        is_peak = i < peak[1] and stop > peak[0]
        if marked and is_peak and not (cells and cells[-1].peak):
            cells.append(_Cell(PEAK_MARKS[0], 1, 0, True))
        if marked and not is_peak and cells and cells[-1].peak:
            cells.append(_Cell(PEAK_MARKS[1], 1, 0, False))
        cells.append(_Cell(shown, cell_width(shown), _level(strongest, scale), is_peak))
        i = stop
    if marked and cells and cells[-1].peak:
        cells.append(_Cell(PEAK_MARKS[1], 1, 0, False))
    return cells


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
    """Lines that break after a space where one is near."""
    lines: list[list[_Cell]] = []
    line: list[_Cell] = []
    used = 0
    for cell in cells:
        if line and used + cell.width > width:
            keep = len(line)
            near = [i for i in range(max(0, keep - _BREAK_WITHIN), keep) if line[i].shown == " "]
            if near and cell.shown != " ":
                keep = near[-1] + 1
            lines.append(line[:keep])
            line = line[keep:]
            used = sum(each.width for each in line)
        line.append(cell)
        used += cell.width
    return [*lines, line] if line else lines


def _painted(line: Sequence[_Cell], colours: Colours) -> str:
    parts = []
    for (level, peak), run in groupby(line, key=lambda cell: (cell.level, cell.peak)):
        shown = "".join(cell.shown for cell in run)
        if colours is Colours.NONE or not (level or peak):
            parts.append(shown)
            continue
        codes = ["1", "4"] if peak else []
        if level:
            sign = 1 if level > 0 else -1
            table = _TRUE if colours is Colours.TRUE else _INDEXED
            kind = "2" if colours is Colours.TRUE else "5"
            black = "38;2;0;0;0" if colours is Colours.TRUE else "38;5;16"
            codes += [black, f"48;{kind};{table[sign][abs(level) - 1]}"]
        parts.append(f"\x1b[{';'.join(codes)}m{shown}\x1b[0m")
    return "".join(parts)
