"""Words of texts, as tracing compares them: exactly, with the white space behind each.

Unlike the ids of a tokenizer, a word at the beginning or end of a text is the same as inside a document, unknown
characters differ from each other, and nothing is changed to lower case.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np

from corpus_audit.pipelines.contamination.benchmarks.normalisation import WHITE_SPACE
from corpus_audit.pipelines.kernels.tracing.words import ALONE, MARK, OTHER, SPACE, WORD, cut_words

WORDS_VERSION = f"1, Unicode {unicodedata.unidata_version}"
"""What decides where words begin and end; part of the key of an index."""

WITHOUT_SPACES = (
    (0x0E00, 0x0F00),  # Thai, Lao
    (0x1000, 0x10A0),  # Myanmar
    (0x1780, 0x1800),  # Khmer
    (0x2E80, 0x3130),  # CJK radicals, Kana, Bopomofo
    (0x31A0, 0xA4D0),  # CJK ideographs, Yi
    (0xF900, 0xFB00),  # CJK compatibility ideographs
    (0xFF66, 0xFFA0),  # halfwidth Kana
    (0x1B000, 0x1B170),  # Kana supplement
    (0x20000, 0x40000),  # CJK extensions
)
"""Code points, stop exclusive, of scripts that are written without spaces between words: each letter is a word."""

JOINERS = (0x200C, 0x200D)
"""Zero-width (non-)joiners, which stand within words of Persian and of Indian languages, and within emoji."""


@dataclass(frozen=True, slots=True)
class Words:
    """W words of texts.

    Attributes:
        starts: int64 [W], the first byte of each.
        lengths: int32 [W], bytes of each without the white space behind it; 0 for white space at the beginning of a
            document.
        kinds: uint8 [W], classes of `kernels/tracing/words.py`.
        stops: int64 [D], words up to the end of each document.
    """

    starts: np.ndarray
    lengths: np.ndarray
    kinds: np.ndarray
    stops: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """Which count as words: not punctuation, symbols or an empty one; bool [W]."""
        counted: np.ndarray = (self.kinds == WORD) | (self.kinds == ALONE)
        return counted


@cache
def character_classes() -> np.ndarray:
    """The class of every code point, uint8 [0x110000]."""
    by_category = {"L": WORD, "N": WORD, "M": MARK}
    classes = np.fromiter(
        (
            WORD if category == "Pc" else by_category.get(category[0], OTHER)
            for category in map(unicodedata.category, map(chr, range(0x110000)))
        ),
        np.uint8,
        0x110000,
    )
    for start, stop in WITHOUT_SPACES:
        part = classes[start:stop]
        part[part == WORD] = ALONE
    classes[list(JOINERS)] = MARK
    classes[list(WHITE_SPACE)] = SPACE
    return classes


def words_of(text: np.ndarray, offsets: np.ndarray) -> Words:
    """Words of documents.

    Args:
        text: uint8, valid UTF-8.
        offsets: int64 [D + 1] of the documents in it.
    """
    size = int(offsets[-1] - offsets[0])
    starts, lengths, kinds = np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, np.uint8)
    stops = np.zeros(len(offsets) - 1, np.int64)
    count = cut_words(text, offsets, character_classes(), starts, lengths, kinds, stops)
    return Words(starts[:count].copy(), lengths[:count].copy(), kinds[:count].copy(), stops)
