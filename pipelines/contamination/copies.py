"""The kinds of copy that every run plants: how each changes an item, and which rules must find it.

A rule must find what its own definition says is the same text: verbatim copies wherever they stand, and canonically
equivalent ones; rules on words moreover those that differ in white space alone. For the other kinds the
recall is measured and shown, so that a share of contaminated items can be interpreted.
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
"""Characters that are canonically equivalent to ASCII ones: Kelvin sign, Greek question mark, Greek varia."""

_STRAIGHT = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-"})

_QUOTABLE_WORDS = 24
"""Words that an item must have for its opening to be quoted; see `canaries`."""


@dataclass(frozen=True)
class Copy:
    """A kind of copy: one way in which a copied item may differ from the original.

    Attributes:
        name: in tables and metrics.
        about: how the item's text is changed.
        short: the same in a word or two, for a terminal.
        make: the changed text of an item; None if the kind does not change it or does not apply.
        required: units (``words``, ``tokens``) of the rules that must find all such copies.
        quoted: whether the item's opening words are repeated elsewhere on the page.
    """

    name: str
    about: str
    short: str
    make: Callable[[Item], str | None]
    required: frozenset[str]
    quoted: bool = False


def _if_changed(text: str, item: Item) -> str | None:
    return text if text != item.text else None


def _other_form(item: Item) -> str | None:
    """NFD of a text that is in NFC, else NFC; of ASCII, which is both, the look-alikes that Unicode calls the same."""
    text = item.text
    for changed in (
        unicodedata.normalize("NFD", text),
        unicodedata.normalize("NFC", text),
        text.translate(_SINGLETONS),
    ):
        if changed != text:
            return changed
    return None


def _wrapped(item: Item) -> str | None:
    lines = [
        textwrap.fill(line, _COLUMNS, break_long_words=False, break_on_hyphens=False)
        for line in item.text.splitlines(keepends=False)
    ]
    return _if_changed("\n".join(lines), item)


def _other_case(item: Item) -> str | None:
    text = item.text
    return _if_changed(text.lower(), item) or _if_changed(text.upper(), item)


def _typographic(item: Item) -> str | None:
    """Typographic quotes and dashes for straight ones, as word processors write them; without any, the reverse."""
    text = re.sub(r'(^|(?<=[\s(\[]))"', "“", item.text).replace('"', "”")
    text = re.sub(r"(^|(?<=[\s(\[]))'", "‘", text).replace("'", "’")
    text = text.replace("--", "—").replace(" - ", " – ").replace("...", "…")
    return _if_changed(text, item) or _if_changed(item.text.translate(_STRAIGHT), item)


_ALL_UNITS, _WORD_UNITS = frozenset({"words", "tokens"}), frozenset({"words"})

COPIES: tuple[Copy, ...] = (
    Copy("verbatim", "as it stands, between other text", "verbatim", lambda item: item.text, _ALL_UNITS),
    Copy(
        "repeated_opening",
        "as it stands, its opening words quoted far before and behind it too",
        "opening quoted",
        lambda item: item.text if len(item.text.split()) >= _QUOTABLE_WORDS else None,
        _ALL_UNITS,
        quoted=True,
    ),
    Copy("normal_form", "in the other canonical form of Unicode (NFD, NFC)", "NFC/NFD", _other_form, _ALL_UNITS),
    Copy(
        "white_space",
        "every run of white space collapsed to one space",
        "white space",
        lambda item: _if_changed(_SPACES.sub(" ", item.text).strip(), item),
        _WORD_UNITS,
    ),
    Copy("line_wraps", f"lines wrapped at {_COLUMNS} columns", "line wraps", _wrapped, _WORD_UNITS),
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
