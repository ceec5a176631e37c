"""Corpus-derived text made safe to show, and how wide it is on a terminal.

Names of domains and shards, reasons and excerpts come from the corpus: they may hold terminal escapes, bidirectional
overrides or invisible characters. `safe_text` turns those into visible escapes, for the page and the terminal alike.
"""

from __future__ import annotations

import unicodedata

INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
"""Characters that Unicode calls printable and nobody sees: fillers, joiners, variation selectors, empty braille."""

MARKS_PER_BASE = 4
"""Combining marks in a row that are shown as they are; more would climb into the lines above and below."""

ELLIPSIS = "…"


def _escape(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def safe_text(s: str, limit: int = 200) -> str:
    """The text with everything that acts or hides replaced by a visible escape such as ``\\x1b`` or ``\\u202e``.

    Replaced are control characters (C0, DEL, C1), format characters (bidirectional controls, zero-width, soft hyphen),
    line and paragraph separators, spaces other than U+0020, lone surrogates, private and unassigned code points, the
    characters in `INVISIBLE`, and combining marks without a base or beyond `MARKS_PER_BASE`. Backslashes stay as they
    are, so the escapes are for reading and not for undoing.

    Args:
        s: any str, also one with lone surrogates.
        limit: most code points of the result; a longer one is cut and ends in an ellipsis.
    """
    head = s[: limit + 1]
    if head.isascii() and head.isprintable():
        shown = head
    else:
        pieces, marks = [], MARKS_PER_BASE
        for character in head:
            is_mark = unicodedata.category(character).startswith("M")
            marks = marks + 1 if is_mark else 0
            hidden = not character.isprintable() or character in INVISIBLE or marks > MARKS_PER_BASE
            pieces.append(_escape(character) if hidden else character)
            if hidden and not is_mark:
                marks = MARKS_PER_BASE
        shown = "".join(pieces)
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)] + ELLIPSIS


def cell_width(s: str) -> int:
    """Columns the text takes on a terminal: 2 for wide and full-width characters, 0 for combining marks, else 1.

    Ambiguous characters count 1, as terminals outside East Asian locales show them (Unicode Standard Annex 11).
    """
    if s.isascii():
        return len(s)
    return sum(_character_width(character) for character in s)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(s: str, width: int, right: bool = False) -> str:
    """The text cut (with an ellipsis) or padded to exactly ``width`` columns."""
    if cell_width(s) > width:
        kept, used = [], 0
        for character in s:
            used += _character_width(character)
            if used > width - 1:
                break
            kept.append(character)
        s = "".join(kept) + ELLIPSIS
    padding = " " * (width - cell_width(s))
    return padding + s if right else s + padding
