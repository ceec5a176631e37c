"""Divides UTF-8 text into words, each with the white space behind it."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel, subkernel

OTHER, WORD, ALONE, SPACE, MARK = range(5)
"""Classes of characters: a symbol or punctuation mark; part of a word; a word by itself, as in scripts without spaces;
white space; a combining mark, which belongs to the character before it."""


@subkernel
def _code_point(text, i):
    """The code point that begins at byte ``i``, and its bytes."""
    first = np.int64(text[i])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int64(text[i + 1]) & 0x3F, 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (np.int64(text[i + 1]) & 0x3F) << 6 | np.int64(text[i + 2]) & 0x3F, 3
    return (
        (first & 0x07) << 18
        | (np.int64(text[i + 1]) & 0x3F) << 12
        | (np.int64(text[i + 2]) & 0x3F) << 6
        | np.int64(text[i + 3]) & 0x3F
    ), 4


@kernel
def cut_words(
    text: np.ndarray,
    offsets: np.ndarray,
    classes: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    kinds: np.ndarray,
    stops: np.ndarray,
) -> int:
    """Find the words of D documents; each includes the white space behind it, so that together they are the text.

    A word is a run of characters of the class `WORD`, a character of the class `ALONE`, or a run of one and the same
    character of the class `OTHER`; combining marks belong to the word before them. White space at the beginning of a
    document is an empty word.

    Args:
        text: uint8 [n], valid UTF-8.
        offsets: int64 [D + 1] into the text.
        classes: uint8 [0x110000], the class of every code point.
        starts: int64 [n], room for the first byte of every word.
        lengths: int32 [n], room for the bytes of every word without its white space.
        kinds: uint8 [n], room for the class of every word; `SPACE` for an empty one.
        stops: int64 [D], receives the number of words up to the end of each document.

    Returns:
        The number of words.
    """
    words = -1
    for d in range(len(offsets) - 1):
        kind = -1  # class of the current word, -1 before the first
        in_space = False
        last = np.int64(-1)
        i = offsets[d]
        while i < offsets[d + 1]:
            point, size = _code_point(text, i)
            character = classes[point]
            if character == SPACE:
                begins = kind == -1
                if begins:
                    kind = SPACE
                in_space = True
            else:
                begins = in_space or kind == -1
                if not begins and character != MARK:
                    begins = not (
                        (character == WORD and kind == WORD) or (character == OTHER and kind == OTHER and point == last)
                    )
                in_space = False
                if begins:
                    kind = OTHER if character == MARK else int(character)
            if begins:
                words += 1
                starts[words] = i
                kinds[words] = kind
                lengths[words] = 0
            if character != SPACE:
                lengths[words] = np.int32(i + size - starts[words])
            last = point
            i += size
        stops[d] = words + 1
    return words + 1
