"""How texts change when they are copied: the kinds of copy that every run plants, and which a rule must find.

A rule must find what its own definition says is the same text: verbatim copies wherever they stand, and canonically
equivalent ones; rules on words moreover those that differ in white space alone. Of the other kinds the recall is
measured and shown, so that a share of contaminated items can be read for what it is.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from corpus_audit.pipelines.contamination.benchmarks.items import Item
from corpus_audit.pipelines.contamination.benchmarks.normalisation import WHITE_SPACE

_COLUMNS = 60

_SPACES = re.compile(f"[{''.join(re.escape(chr(point)) for point in sorted(WHITE_SPACE))}]+")

_SINGLETONS = str.maketrans({"K": "\u212a", ";": "\u037e", "`": "\u1fef"})
"""What ASCII characters are canonically equivalent to: Kelvin sign, Greek question mark, Greek varia."""

_STRAIGHT = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-"})

_LEAST_WORDS = 24
"""Words that an item must have for its opening to be quoted; see `canaries`."""


@dataclass(frozen=True)
class Copy:
    """A kind of copy.

    Attributes:
        name: in tables and metrics.
        about: what is done to the item's text.
        short: the same in a word or two, for a terminal.
        make: the altered text of an item; None where that would be the text itself, or where there is nothing to alter.
        required: the units of the rules that must find all such copies.
        quoted: whether the item's opening words stand elsewhere on the page as well.
    """

    name: str
    about: str
    short: str
    make: Callable[[Item], str | None]
    required: frozenset[str]
    quoted: bool = False


def _other(text: str, item: Item) -> str | None:
    return text if text != item.text else None


def _other_form(item: Item) -> str | None:
    """NFD of a text that is in NFC, else NFC; of ASCII, which is both, the look-alikes that Unicode calls the same."""
    text = item.text
    for made in (unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text), text.translate(_SINGLETONS)):
        if made != text:
            return made
    return None


def _wrapped(item: Item) -> str | None:
    lines = [
        textwrap.fill(line, _COLUMNS, break_long_words=False, break_on_hyphens=False)
        for line in item.text.splitlines(keepends=False)
    ]
    return _other("\n".join(lines), item)


def _other_case(item: Item) -> str | None:
    text = item.text
    return _other(text.lower(), item) or _other(text.upper(), item)


def _typographic(item: Item) -> str | None:
    """Straight quotes and hyphens that stand for dashes as a word processor writes them; else the other way."""
    text = re.sub(r'(^|(?<=[\s(\[]))"', "“", item.text).replace('"', "”")
    text = re.sub(r"(^|(?<=[\s(\[]))'", "‘", text).replace("'", "’")
    text = text.replace("--", "—").replace(" - ", " – ").replace("...", "…")
    return _other(text, item) or _other(item.text.translate(_STRAIGHT), item)


_ALL, _WORDS = frozenset({"words", "tokens"}), frozenset({"words"})

COPIES: tuple[Copy, ...] = (
    Copy("verbatim", "as it stands, between other text", "verbatim", lambda item: item.text, _ALL),
    Copy(
        "repeated_opening",
        "as it stands, its opening words quoted far before and behind it too",
        "opening quoted",
        lambda item: item.text if len(item.text.split()) >= _LEAST_WORDS else None,
        _ALL,
        quoted=True,
    ),
    Copy("normal_form", "in the other canonical form of Unicode (NFD, NFC)", "NFC/NFD", _other_form, _ALL),
    Copy(
        "white_space",
        "every run of white space collapsed to one space",
        "white space",
        lambda item: _other(_SPACES.sub(" ", item.text).strip(), item),
        _WORDS,
    ),
    Copy("line_wraps", f"lines wrapped at {_COLUMNS} columns", "line wraps", _wrapped, _WORDS),
    Copy("case", "in lower case (in capitals, where it is in lower case)", "case", _other_case, frozenset()),
    Copy(
        "typography",
        "quotes and dashes typographic (straight, where they are typographic)",
        "quotes",
        _typographic,
        frozenset(),
    ),
    Copy(
        "no_answer",
        "its prompt alone, without the answer",
        "no answer",
        lambda item: item.prompt if item.answer else None,
        frozenset(),
    ),
)
