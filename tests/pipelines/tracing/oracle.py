"""Tracing by definition, in plain Python: words character by character, spans by comparing all of them."""

import math
import unicodedata
from collections import Counter

from corpus_audit.pipelines.tracing.words import JOINERS, WITHOUT_SPACES

SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def class_of(character: str) -> str:
    point, category = ord(character), unicodedata.category(character)
    if character in SPACES:
        return "space"
    if category[0] == "M" or point in JOINERS:
        return "mark"
    if category[0] in "LN" or category == "Pc":
        return "alone" if any(low <= point < high for low, high in WITHOUT_SPACES) else "word"
    return "other"


def cut(text: str) -> list[tuple[str, str, bool]]:
    """(word, white space behind it, whether it counts), without white space at the beginning."""
    words: list[list[str]] = []
    kinds: list[str] = []
    last = ""
    for character in text:
        kind = class_of(character)
        if kind == "space":
            if words:
                words[-1][1] += character
        elif (
            words
            and not words[-1][1]
            and (
                kind == "mark" or (kind == kinds[-1] == "word") or (kind == kinds[-1] == "other" and character == last)
            )
        ):
            words[-1][0] += character
        else:
            words.append([character, ""])
            kinds.append("other" if kind == "mark" else kind)
        last = character
    return [(word, space, kind != "other") for (word, space), kind in zip(words, kinds, strict=True)]


def sentence_stops(words: list[tuple[str, str, bool]]) -> list[int]:
    """The word before which a span that begins at a word must end."""
    ends = []
    for w, (word, space, counted) in enumerate(words):
        back = w
        while not counted and words[back][0][0] in "\"'”’»)]）」』】" and back and words[back - 1][1] == "":
            if words[back - 1][2]:
                break
            back -= 1
        wide = not counted and word[0] in "。！？｡"
        narrow = not counted and (space != "" or w + 1 == len(words)) and words[back][0][0] in ".!?。！？｡"
        if "\n" in space or "\r" in space or wide or narrow:
            ends.append(w + 1)
    return [next((end for end in ends if end > w), len(words)) for w in range(len(words))]


def occurrences(
    span: list[tuple[str, str, bool]], documents: list[list[tuple[str, str, bool]]]
) -> list[tuple[int, int]]:
    """(document, word) of every occurrence: equal words, and equal white space between them."""
    hits = []
    for d, words in enumerate(documents):
        for w in range(len(words) - len(span) + 1):
            part = words[w : w + len(span)]
            if [p[:2] for p in part[:-1]] == [s[:2] for s in span[:-1]] and part[-1][0] == span[-1][0]:
                hits.append((d, w))
    return hits


def trace(text: str, texts: list[str], shortest: int, across: bool, skip: int | None = None) -> dict[str, object]:
    """What a trace returns, without documents' excerpts; document ``skip`` does not count."""
    words, documents = cut(text), [cut(document) for document in texts]
    if skip is not None:
        documents[skip] = []
    stops = [len(words)] * len(words) if across else sentence_stops(words)
    every = {
        (start, stop): hits
        for start in range(len(words))
        for stop in range(start + 1, stops[start] + 1)
        if words[start][2] and words[stop - 1][2] and (hits := occurrences(words[start:stop], documents))
    }
    largest = [
        (start, stop)
        for start, stop in sorted(every)
        if not any(a <= start and stop <= b and (a, b) != (start, stop) for a, b in every)
    ]
    size = {span: sum(counted for _, _, counted in words[span[0] : span[1]]) for span in largest}
    kept = [span for span in largest if size[span] >= shortest]
    covered = {w for start, stop in kept for w in range(start, stop) if words[w][2]}
    counts = Counter(word for document in documents for word, _, _ in document)
    total = sum(counts.values())
    holders: dict[int, set[int]] = {}
    for start, stop in kept:
        for document, _ in every[start, stop]:
            holders.setdefault(document, set()).update(w for w in range(start, stop) if words[w][2])
    return {
        "words": sum(counted for _, _, counted in words),
        "covered": len(covered),
        "longest": max(size.values(), default=0),
        "spans": [
            (
                "".join(word + space for word, space, _ in words[start : stop - 1]) + words[stop - 1][0],
                size[start, stop],
                Counter(document for document, _ in every[start, stop]),
                sum(math.log(counts[word] / total) for word, _, _ in words[start:stop]),
            )
            for start, stop in kept
        ],
        "holders": {document: len(shared) for document, shared in holders.items()},
    }
