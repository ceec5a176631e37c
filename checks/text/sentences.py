"""What sentences of a report are made of: words of ours, and names from the corpus that are set apart from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A name from the corpus inside a sentence: shown safely and set apart from the words around it."""

    text: str


Sentence = tuple[str | Name, ...]


@dataclass(frozen=True)
class Finding:
    """One topic's sentences; ``anchor`` is the section of the page that says more.

    ``lines`` are what a terminal shows instead of the sentences, where the topic has a few lines for it; names in them
    are safe already.
    """

    topic: str
    anchor: str
    sentences: tuple[Sentence, ...]
    lines: tuple[str, ...] = ()
