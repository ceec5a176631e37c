"""The code point that each code point counts as when texts are compared: lower-case, without punctuation, as for GPT-3.

Brown et al. (2020, appendix C). All rules on words share it, so that one scan serves them. Before that, texts are
converted to Normalization Form C (`normal_form`), for the rule on tokens too.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np

from corpus_audit.pipelines.kernels.text.normalised_words import DROP, SPACE

NORMALISATION = f"2, canonical equivalence by NFC, Unicode {unicodedata.unidata_version}"
"""Part of the index's digest: the version of these tables and of the data that they are made from."""

WHITE_SPACE = frozenset(
    [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
)
"""Code points that end a word: Unicode's White_Space."""

_DROPPED_CATEGORIES = ("P", "S", "Cc", "Cf")
"""Punctuation and symbols (as Python's ``string.punctuation`` has both), controls, and what is invisible."""


def code_of(point: int) -> int:
    """`DROP`, `SPACE`, or the code point that a code point of the Basic Multilingual Plane counts as."""
    if point in WHITE_SPACE:
        return SPACE
    character = chr(point)
    if unicodedata.category(character).startswith(_DROPPED_CATEGORIES):
        return DROP
    lower = character.lower()
    return ord(lower) if len(lower) == 1 and ord(lower) < 2**16 else point


@cache
def tables() -> tuple[np.ndarray, np.ndarray]:
    """`code_of` as tables for the kernels: of ASCII, uint8 [128], and of the BMP, uint16 [65,536]; surrogates drop."""
    wide = np.array([DROP if 0xD800 <= p < 0xE000 else code_of(p) for p in range(2**16)], np.uint16)
    return wide[:128].astype(np.uint8), wide
