"""What each code point counts as when texts are compared, after GPT-3: lower-case, without punctuation (Brown et al.
2020, appendix C). All word rules share it, so that one scan serves them."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np

from corpus_audit.pipelines.kernels.normalised_words import DROP, SPACE

NORMALISATION = f"1, Unicode {unicodedata.unidata_version}"
"""Part of the index's digest: the version of these tables and of the data that they are made from."""

_WHITE_SPACE = frozenset([*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F])
_MORE_WHITE_SPACE = frozenset([0x205F, 0x3000])
_DROPPED_CATEGORIES = ("P", "S", "Cc", "Cf")
"""Punctuation and symbols (as Python's ``string.punctuation`` has both), controls, and what is invisible."""


def code_of(point: int) -> int:
    """`DROP`, `SPACE` or the code point that one of the Basic Multilingual Plane counts as."""
    if point in _WHITE_SPACE or point in _MORE_WHITE_SPACE:
        return SPACE
    character = chr(point)
    if unicodedata.category(character).startswith(_DROPPED_CATEGORIES):
        return DROP
    lower = character.lower()
    return ord(lower) if len(lower) == 1 and ord(lower) < 2**16 else point


@cache
def tables() -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [128], uint16 [65,536]) for the kernels; surrogates do not occur in UTF-8 and are dropped."""
    wide = np.array([DROP if 0xD800 <= p < 0xE000 else code_of(p) for p in range(2**16)], np.uint16)
    return wide[:128].astype(np.uint8), wide
