"""Contamination in plain Python: strings, dicts and loops; nothing is shared with the code under test."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle import WHITE_SPACE

Run = tuple[int, int]


def words(text: str) -> list[str]:
    """Lower-case words without punctuation, symbols, controls and invisible characters."""
    out: list[str] = []
    current = ""
    for character in text + " ":
        if character in WHITE_SPACE:
            if current:
                out.append(current)
            current = ""
            continue
        category = unicodedata.category(character)
        if ord(character) < 0x10000 and (category[0] in "PS" or category in ("Cc", "Cf")):
            continue
        lower = character.lower()
        current += lower if ord(character) < 0x10000 and len(lower) == 1 and ord(lower) < 0x10000 else character
    return out


def grams(items: Sequence[object], n: int) -> list[tuple[object, ...]]:
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]


@dataclass(frozen=True)
class Text:
    prompt: str
    answer: str
    tokens: tuple[int, ...]

    @property
    def words(self) -> list[str]:
        return words(self.prompt) + words(self.answer)


@dataclass(frozen=True)
class Page:
    text: str
    tokens: tuple[int, ...]


def holders(pages: Sequence[Page], n: int, tokens: bool = False) -> Counter[tuple[object, ...]]:
    """Documents that hold each n-gram."""
    counts: Counter[tuple[object, ...]] = Counter()
    for page in pages:
        counts.update(set(grams(page.tokens if tokens else words(page.text), n)))
    return counts


def seen(text: Sequence[object], counts: Counter[tuple[object, ...]], n: int, limit: int | None) -> list[bool]:
    return [counts[gram] > 0 and (limit is None or counts[gram] <= limit) for gram in grams(text, n)]


def covered(flags: Sequence[bool], n: int) -> int:
    return len({place for start, flag in enumerate(flags) if flag for place in range(start, start + n)})


def token_match(text: Sequence[int], place: int, page: Sequence[int], j: int) -> int:
    """Length of Llama 2's match from ``place`` and ``j``, 0 if its first ten tokens differ."""
    if list(text[place : place + 10]) != list(page[j : j + 10]) or len(text) - place < 10 or len(page) - j < 10:
        return 0
    length, differing = 10, 0
    for i in range(10, min(len(text) - place, len(page) - j)):
        if text[place + i] == page[j + i]:
            length = i + 1
        else:
            differing += 1
            if differing > 4:
                break
    return length


def covered_tokens(text: Text, pages: Sequence[Page], limit: int | None) -> tuple[int, int]:
    """(tokens in matches of more than ten, tokens of the longest match)."""
    counts = holders(pages, 10, tokens=True)
    flags = seen(text.tokens, counts, 10, limit)
    inside: set[int] = set()
    longest = 0
    for page in pages:
        for place in range(len(text.tokens)):
            for j in range(len(page.tokens)):
                length = token_match(text.tokens, place, page.tokens, j)
                if length > 10:
                    longest = max(longest, length)
                    if flags[place]:
                        inside.update(range(place, place + length))
    return len(inside), longest


def one_document(text: Text, pages: Sequence[Page], limit: int | None) -> tuple[int, int]:
    """(most words covered by one document, words of the longest run of 8-grams in one document)."""
    counts = holders(pages, 8)
    flags = seen(text.words, counts, 8, limit)
    best = run = 0
    for page in pages:
        own = set(grams(words(page.text), 8))
        held = [flag and gram in own for flag, gram in zip(flags, grams(text.words, 8), strict=True)]
        best = max(best, covered(held, 8))
        unlimited = [gram in own for gram in grams(text.words, 8)]
        length = 0
        for flag in unlimited:
            length = length + 1 if flag else 0
            run = max(run, length)
    return best, run + 7 if run else 0


def idf_weights(texts: Sequence[Text]) -> dict[tuple[object, ...], int]:
    counts: Counter[tuple[object, ...]] = Counter()
    for text in texts:
        counts.update(set(grams(words(text.prompt), 5)) | set(grams(words(text.answer), 5)))
    return {gram: round(math.log1p(len(texts) / count) * 65_536) for gram, count in counts.items()}
