"""Texts in Normalization Form C, so that canonically equivalent ones are compared as equal: "é" is one code point in
what most keyboards write and two in what some file systems, OCR and PDF tools do, and no reader sees the difference.

White space neither joins with what follows nor changes its length in UTF-8, so a text can be normalised word by word;
that is how offsets in the normalised text are mapped to the original.
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
"""Code points with a class of their own. Text with code points beyond (private use, tags) is always normalised."""

_VOWELS_AND_FINALS = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Hangul jamo that join with what is before them, by arithmetic and not by the data's decompositions."""

_WORD = re.compile(r"\S+")


def canonical(text: str) -> str:
    """The text in Normalization Form C."""
    return unicodedata.normalize("NFC", text)


@cache
def classes() -> np.ndarray:
    """The combining class of each code point of planes 0 to 2, uint8.

    `MAY_CHANGE` stands for code points whose quick check for Form C is "no" or "maybe".
    """
    table = np.zeros(_PLANES, np.uint8)
    for point in range(0x300, _PLANES):
        if 0xD800 <= point < 0xE000:
            continue
        character = chr(point)
        table[point] = unicodedata.combining(character)
        parts = unicodedata.decomposition(character)
        if not parts or parts[0] == "<":
            continue
        if not unicodedata.is_normalized("NFC", character):
            table[point] = MAY_CHANGE
    for point in range(_PLANES):
        parts = unicodedata.decomposition(chr(point))
        if parts and parts[0] != "<" and " " in parts and unicodedata.is_normalized("NFC", chr(point)):
            table[int(parts.split()[1], 16)] = MAY_CHANGE  # the second of a pair composes with the first
    table[list(_VOWELS_AND_FINALS)] = MAY_CHANGE
    return table


def canonical_texts(text: pa.LargeStringArray) -> tuple[pa.LargeStringArray, np.ndarray]:
    """The texts [D] in Form C, and int64 positions of the texts that were not.

    Text that may not be in Form C is normalised; the other costs one pass over its bytes (ASCII and Latin letters), or
    one table look-up a character.
    """
    offsets, data = text_buffers(text)
    rows = np.flatnonzero(may_change(data, offsets, classes())) if len(text) else np.empty(0, np.int64)
    if not len(rows):
        return text, rows
    before = text.take(pa.array(rows)).to_pylist()
    after = [canonical(old_text) for old_text in before]
    changed = rows[[old != new for old, new in zip(before, after, strict=True)]]
    if not len(changed):
        return text, changed
    texts = dict(zip(rows.tolist(), after, strict=True))
    # Runs of unchanged texts are slices of the input, which cost nothing; only changed texts are new arrays.
    parts: list[pa.Array] = []
    copied = 0
    for row in changed.tolist():
        parts += [text.slice(copied, row - copied), pa.array([texts[row]], pa.large_string())]
        copied = row + 1
    return pa.concat_arrays([*parts, text.slice(copied)]), changed


def canonical_tokens(
    encoded: TokenBatch, text: pa.LargeStringArray, changed: np.ndarray, tokenization: Tokenization
) -> TokenBatch:
    """The token ids of texts in Form C; only texts that changed are encoded again.

    Args:
        encoded: the token ids of the original texts.
        text: the texts in Form C [D].
        changed: int64 positions of the texts that were not in Form C.
        tokenization: the audit's.
    """
    if not len(changed):
        return encoded
    reencoded = tokenization.encode(text.take(pa.array(changed)))
    lengths = np.diff(encoded.offsets)
    lengths[changed] = np.diff(reencoded.offsets)
    parts = []
    copied = 0
    for i, row in enumerate(changed.tolist()):
        parts += [
            encoded.ids[encoded.offsets[copied] : encoded.offsets[row]],
            reencoded.ids[reencoded.offsets[i] : reencoded.offsets[i + 1]],
        ]
        copied = row + 1
    ids = np.concatenate([*parts, encoded.ids[encoded.offsets[copied] :]]).astype(encoded.ids.dtype)
    return TokenBatch(ids, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))


def original_spans(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (first byte, bytes) of the original text for spans of its Form C; empty spans are not changed."""
    words = [match.span() for match in _WORD.finditer(text)]
    starts, origins = np.zeros(len(words), np.int64), np.zeros(len(words), np.int64)
    position = shift = previous_stop = 0
    for number, (start, stop) in enumerate(words):
        position += len(text[previous_stop:start].encode())
        starts[number], origins[number] = position + shift, position
        size = len(text[start:stop].encode())
        shift += len(canonical(text[start:stop]).encode()) - size
        position += size
        previous_stop = stop

    def original_offset(offset: int, is_end: bool) -> int:
        """The original offset of an offset in Form C; ``is_end``: of a span's end, which is behind a character."""
        number = max(int(np.searchsorted(starts, offset, side="left" if is_end else "right")) - 1, 0)
        start, stop = words[number]
        return int(origins[number]) + _original_offset(text[start:stop], offset - int(starts[number]), is_end)

    return [
        (first, length)
        if length <= 0 or not words
        else (start := original_offset(first, False), original_offset(first + length, True) - start)
        for first, length in spans
    ]


def _original_offset(word: str, offset: int, is_end: bool) -> int:
    """The byte offset in a word of an offset in its Form C; never within characters that normalising may join."""
    table = classes()
    cuts = [i for i, character in enumerate(word) if ord(character) >= _PLANES or not table[ord(character)]]
    before = after = 0
    for start, stop in itertools.pairwise([*(cuts if cuts[:1] == [0] else [0, *cuts]), len(word)]):
        size, changed = len(word[start:stop].encode()), len(canonical(word[start:stop]).encode())
        if offset < after + changed or (is_end and offset == after + changed):
            if changed == size:
                return before + offset - after
            return before + size if is_end and offset > after else before
        before, after = before + size, after + changed
    return before
