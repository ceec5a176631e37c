"""Texts in Normalization Form C, so that canonically equivalent ones are compared as equal: "é" is one code point in
what most keyboards write and two in what some file systems, OCR and PDF tools do, and no reader sees the difference.

White space neither joins with what follows nor changes its length in UTF-8, so that a text can be normalised word by
word; places in the normalised text are led back to the original that way.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.text.normal_forms import MAY_CHANGE, may_change
from corpus_audit.pipelines.tokens.tokenization import TokenBatch, Tokenization, text_buffers

_PLANES = 0x30000
"""Code points that are looked at one by one. Those beyond (private use, tags) are always normalised."""

_VOWELS_AND_FINALS = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Hangul jamo that join with what is before them, by arithmetic and not by the data's decompositions."""

_WORD = re.compile(r"\S+")


def canonical(text: str) -> str:
    """The text in Normalization Form C."""
    return unicodedata.normalize("NFC", text)


@cache
def classes() -> np.ndarray:
    """uint8 [planes 0 to 2]: combining class of each code point; `MAY_CHANGE` where the quick check of Form C says no
    or maybe."""
    found = np.zeros(_PLANES, np.uint8)
    for point in range(0x300, _PLANES):
        if 0xD800 <= point < 0xE000:
            continue
        character = chr(point)
        found[point] = unicodedata.combining(character)
        parts = unicodedata.decomposition(character)
        if not parts or parts[0] == "<":
            continue
        if not unicodedata.is_normalized("NFC", character):
            found[point] = MAY_CHANGE
    for point in range(_PLANES):
        parts = unicodedata.decomposition(chr(point))
        if parts and parts[0] != "<" and " " in parts and unicodedata.is_normalized("NFC", chr(point)):
            found[int(parts.split()[1], 16)] = MAY_CHANGE  # it is composed of these two
    found[list(_VOWELS_AND_FINALS)] = MAY_CHANGE
    return found


def canonical_texts(text: pa.LargeStringArray) -> tuple[pa.LargeStringArray, np.ndarray]:
    """The texts [D] in Form C, and int64 positions of those that were not.

    ASCII and Latin text costs a look at each byte; other text a table look-up a character, unless it may change.
    """
    offsets, data = text_buffers(text)
    rows = np.flatnonzero(may_change(data, offsets, classes())) if len(text) else np.empty(0, np.int64)
    if not len(rows):
        return text, rows
    before = text.take(pa.array(rows)).to_pylist()
    after = [canonical(each) for each in before]
    changed = rows[[old != new for old, new in zip(before, after, strict=True)]]
    if not len(changed):
        return text, changed
    texts = dict(zip(rows.tolist(), after, strict=True))
    parts: list[pa.Array] = []
    at = 0
    for row in changed.tolist():
        parts += [text.slice(at, row - at), pa.array([texts[row]], pa.large_string())]
        at = row + 1
    return pa.concat_arrays([*parts, text.slice(at)]), changed


def canonical_tokens(
    encoded: TokenBatch, text: pa.LargeStringArray, changed: np.ndarray, tokenization: Tokenization
) -> TokenBatch:
    """The token ids of canonical texts.

    Args:
        encoded: of the texts as they stand.
        text: the texts in Form C [D].
        changed: int64 positions of those that were not.
        tokenization: the audit's.
    """
    if not len(changed):
        return encoded
    again = tokenization.encode(text.take(pa.array(changed)))
    lengths = np.diff(encoded.offsets)
    lengths[changed] = np.diff(again.offsets)
    parts = []
    at = 0
    for i, row in enumerate(changed.tolist()):
        parts += [
            encoded.ids[encoded.offsets[at] : encoded.offsets[row]],
            again.ids[again.offsets[i] : again.offsets[i + 1]],
        ]
        at = row + 1
    ids = np.concatenate([*parts, encoded.ids[encoded.offsets[at] :]]).astype(encoded.ids.dtype)
    return TokenBatch(ids, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))


def original_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where (first byte, bytes) of a text's Form C are in the text itself; an empty span stays as it is."""
    words = [match.span() for match in _WORD.finditer(text)]
    starts, origins = np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
    at = shift = last = 0
    for number, (start, stop) in enumerate(words):
        at += len(text[last:start].encode())
        starts[number], origins[number] = at + shift, at
        size = len(text[start:stop].encode())
        shift += len(canonical(text[start:stop]).encode()) - size
        at += size
        last = stop

    def led_back(place: int, beyond: bool) -> int:
        """A place behind a character (``beyond``) is led to behind it, one before it to before it."""
        number = max(int(np.searchsorted(starts, place, side="left" if beyond else "right")) - 1, 0)
        start, stop = words[number]
        return int(origins[number]) + _led_back(text[start:stop], place - int(starts[number]), beyond)

    return [
        (first, length)
        if length <= 0 or not words
        else (start := led_back(first, False), led_back(first + length, True) - start)
        for first, length in spans
    ]


def _led_back(word: str, place: int, beyond: bool) -> int:
    """A place in a word's Form C as one in the word, in bytes: between characters that normalising cannot join."""
    known = classes()
    cuts = [i for i, character in enumerate(word) if ord(character) >= _PLANES or not known[ord(character)]]
    before = after = 0
    for start, stop in itertools.pairwise([*(cuts if cuts[:1] == [0] else [0, *cuts]), len(word)]):
        size, changed = len(word[start:stop].encode()), len(canonical(word[start:stop]).encode())
        if place < after + changed or (beyond and place == after + changed):
            if changed == size:
                return before + place - after
            return before + size if beyond and place > after else before
        before, after = before + size, after + changed
    return before
