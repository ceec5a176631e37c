"""Words that agree in number with a count."""

from __future__ import annotations


def agree(n: int, singular: str, plural: str) -> str:
    """The word that goes with a count: ``agree(1, "is", "are")`` is ``is``; 0 takes the plural."""
    return singular if n == 1 else plural
