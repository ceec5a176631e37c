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


def in_corpus(text: Sequence[object], counts: Counter[tuple[object, ...]], n: int, limit: int | None) -> list[bool]:
    return [counts[gram] > 0 and (limit is None or counts[gram] <= limit) for gram in grams(text, n)]


def covered(flags: Sequence[bool], n: int) -> int:
    return len({position for start, flag in enumerate(flags) if flag for position in range(start, start + n)})


def token_match(text: Sequence[int], position: int, page: Sequence[int], j: int) -> int:
    """Length of Llama 2's match from ``position`` and ``j``, 0 if its first ten tokens differ."""
    if (
        list(text[position : position + 10]) != list(page[j : j + 10])
        or len(text) - position < 10
        or len(page) - j < 10
    ):
        return 0
    length, differing = 10, 0
    for i in range(10, min(len(text) - position, len(page) - j)):
        if text[position + i] == page[j + i]:
            length = i + 1
        else:
            differing += 1
            if differing > 4:
                break
    return length


def covered_tokens(text: Text, pages: Sequence[Page], limit: int | None) -> tuple[int, int]:
    """(tokens in matches of more than ten, tokens of the longest match)."""
    counts = holders(pages, 10, tokens=True)
    flags = in_corpus(text.tokens, counts, 10, limit)
    inside: set[int] = set()
    longest = 0
    for page in pages:
        for position in range(len(text.tokens)):
            for j in range(len(page.tokens)):
                length = token_match(text.tokens, position, page.tokens, j)
                if length > 10:
                    longest = max(longest, length)
                    if flags[position]:
                        inside.update(range(position, position + length))
    return len(inside), longest


def best_document_words(text: Text, pages: Sequence[Page], limit: int | None) -> int:
    """Most words covered by one document."""
    counts = holders(pages, 8)
    flags = in_corpus(text.words, counts, 8, limit)
    best = 0
    for page in pages:
        own = set(grams(words(page.text), 8))
        shared = [flag and gram in own for flag, gram in zip(flags, grams(text.words, 8), strict=True)]
        best = max(best, covered(shared, 8))
    return best


def common_runs(text: Sequence[object], page: Sequence[object]) -> list[tuple[int, int, int]]:
    """Every run of at least eight equal words that cannot be made longer: (place in page, place in text, words)."""
    runs = []
    for j in range(len(page)):
        for k in range(len(text)):
            if j and k and page[j - 1] == text[k - 1]:
                continue
            length = 0
            while j + length < len(page) and k + length < len(text) and page[j + length] == text[k + length]:
                length += 1
            if length >= 8:
                runs.append((j, k, length))
    return runs


def longest_run(text: Sequence[object], page: Sequence[object]) -> tuple[int, int]:
    """(words of the longest run in common, its first place in the page); (0, 0) if there is none."""
    best = min(((-length, j) for j, _, length in common_runs(text, page)), default=(0, 0))
    return -best[0], best[1]


def idf_weights(texts: Sequence[Text]) -> dict[tuple[object, ...], int]:
    counts: Counter[tuple[object, ...]] = Counter()
    for text in texts:
        counts.update(set(grams(words(text.prompt), 5)) | set(grams(words(text.answer), 5)))
    return {gram: round(math.log1p(len(texts) / count) * 65_536) for gram, count in counts.items()}


def idf_overlap(part: Sequence[object], window: Sequence[object], weights: dict[tuple[object, ...], int]) -> int:
    own = set(grams(part, 5))
    total = sum(weights[gram] for gram in own)
    return sum(weights[gram] for gram in own & set(grams(window, 5))) * 1_000_000 // total if total else 0


def idf_at(text: Text, page: Sequence[str], origin: int, weights: dict[tuple[object, ...], int]) -> int:
    """Millionths of the prompt around the place where its first word would be, 0 if its answer is not behind it."""
    prompt, answer = words(text.prompt), words(text.answer)
    low, high = max(0, origin - 11), min(len(page), max(0, origin + len(prompt) + 11))
    score = idf_overlap(prompt, page[low:high], weights)
    if not answer:
        return score
    window = page[low : high + max(2 * len(answer), 20)]
    if len(answer) < 5:
        near = tuple(answer) in grams(window, len(answer))
    else:
        near = idf_overlap(answer, window, weights) >= 800_000
    return score if near else 0


def tried_runs(text: Sequence[object], page: Sequence[object], repeats: int) -> list[tuple[int, int, int]]:
    """The common runs with an 8-gram that stands at most so often in the page, and the first longest if it is not one
    of these and longer than all of them."""
    counts = Counter(grams(page, 8))
    runs = common_runs(text, page)
    rare = [run for run in runs if min(counts[gram] for gram in grams(page[run[0] : run[0] + run[2]], 8)) <= repeats]
    longest = max((run[2] for run in rare), default=0)
    more = sorted((run for run in runs if run[2] > longest), key=lambda run: (-run[2], run[0], run[1]))
    return rare + more[:1]


def idf_score(text: Text, page: Sequence[str], weights: dict[tuple[object, ...], int], repeats: int) -> int:
    """The best of the places where a tried run puts the text's first word, if half of the text's words are in 8-grams
    of the page."""
    own = set(grams(page, 8))
    if 2 * covered([gram in own for gram in grams(text.words, 8)], 8) < len(text.words):
        return 0
    origins = {j - k for j, k, _ in tried_runs(text.words, page, repeats)}
    return max((idf_at(text, page, origin, weights) for origin in origins), default=0)


def token_matches(text: Sequence[int], page: Sequence[int]) -> dict[int, int]:
    """For each place where a match of more than ten tokens begins, the longest."""
    best = {k: max(token_match(text, k, page, j) for j in range(len(page))) for k in range(len(text) if page else 0)}
    return {position: length for position, length in best.items() if length > 10}
