"""Slices of the metrics table, and patterns that name many of them.

A slice is ``all``, ``domain=web``, ``baseline=last``, ``baseline=last,domain=web``, ``benchmark=exam,rule=gpt3`` …:
keys in a fixed order with their values. ``*`` in a pattern stands for any run of characters *within one value*, so
``baseline=*`` names no domain of a baseline; ``\\*`` is the character itself. ``*`` alone names every slice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SECOND_KEY = {"baseline": ",domain=", "benchmark": ",rule="}
"""Slices with two keys, by the first. Every other slice has one key, and what follows it is the value, commas and all:
a domain that calls itself ``x,domain=y`` is still one that ``domain=*`` names."""

Parts = tuple[tuple[str, str], ...]


def parts(slice_: str) -> Parts:
    """Keys and values of a slice or of a pattern; ``all`` and ``*`` are a key without a value."""
    key, equals, value = slice_.partition("=")
    if not equals:
        return ((slice_, ""),)
    second = _SECOND_KEY.get(key)
    if second is None or second not in value:
        return ((key, value),)
    # Labels of baselines are free text of the spec's author, domains are the corpus's: the first comma decides. The
    # names of contamination rules hold no comma: there the last one does.
    first, _, rest = value.partition(second) if key == "baseline" else value.rpartition(second)
    return ((key, first), (second.strip(",="), rest))


class Pattern:
    """A parsed slice pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = [(key, _pieces(value)) for key, value in parts(text)]

    @property
    def is_exact(self) -> bool:
        """Whether the pattern names exactly one slice."""
        return self.text != "*" and all(len(pieces) == 1 for _, pieces in self._parts)

    def matches(self, slice_: str) -> bool:
        """Whether the pattern names the slice."""
        if self.text == "*":
            return True
        slice_parts = parts(slice_)
        return len(slice_parts) == len(self._parts) and all(
            key == pattern_key and _fits(value, pieces)
            for (key, value), (pattern_key, pieces) in zip(slice_parts, self._parts, strict=True)
        )

    def among(self, slices: Iterable[str]) -> list[str]:
        """The slices that the pattern names, in their order."""
        return [slice_ for slice_ in slices if self.matches(slice_)]


def _pieces(value: str) -> list[str]:
    """The texts between the stars."""
    return [piece.replace("\\*", "*") for piece in re.split(r"(?<!\\)\*", value)]


def _fits(value: str, pieces: list[str]) -> bool:
    """Whether the pieces follow each other in the value, the first at its start, the last at its end; linear."""
    if len(pieces) == 1:
        return value == pieces[0]
    first, *middle, last = pieces
    if not value.startswith(first) or not value.endswith(last) or len(first) + len(last) > len(value):
        return False
    position, end = len(first), len(value) - len(last)
    for piece in middle:
        position = value.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True
