"""Whether UTF-8 text may not be in Normalization Form C: Unicode's quick check (UAX #15, section 9)."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel

MAY_CHANGE = 255
"""Class of a code point that normalising may replace, or join with one before it; others have their combining class."""

_LEAST_LEAD = 0xCC
"""Lead byte of U+0300: what is below it (ASCII, Latin letters with their accents) is in Form C in any order."""


@kernel
def _may_change(document, classes):
    bits = np.uint8(0)
    for byte in document:  # the only work for nearly all text, many bytes at once
        bits = max(bits, byte)
    if bits < _LEAST_LEAD:
        return False
    last = np.uint8(0)
    i = 0
    size = len(document)
    while i < size:
        byte = document[i]
        if byte < _LEAST_LEAD:
            last = np.uint8(0) if byte < 0x80 or byte >= 0xC0 else last
            i += 1
            continue
        if byte < 0xE0:
            point = ((np.int64(byte) & 0x1F) << 6) | (np.int64(document[i + 1]) & 0x3F)
            i += 2
        elif byte < 0xF0:
            low = ((np.int64(document[i + 1]) & 0x3F) << 6) | (np.int64(document[i + 2]) & 0x3F)
            point = ((np.int64(byte) & 0x0F) << 12) | low
            i += 3
        else:
            low = ((np.int64(document[i + 2]) & 0x3F) << 6) | (np.int64(document[i + 3]) & 0x3F)
            point = ((np.int64(byte) & 0x07) << 18) | ((np.int64(document[i + 1]) & 0x3F) << 12) | low
            i += 4
        current = classes[point] if point < len(classes) else np.uint8(MAY_CHANGE)
        if current == MAY_CHANGE or (current != 0 and current < last):
            return True
        last = current
    return False


@kernel
def _all_may_change(data, offsets, classes, out):
    for d in range(len(offsets) - 1):
        out[d] = _may_change(data[offsets[d] : offsets[d + 1]], classes)


def may_change(data: np.ndarray, offsets: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether normalising may change each text, bool [D]; the other texts are in Form C.

    Args:
        data: uint8, valid UTF-8.
        offsets: int64 [D + 1] into ``data``.
        classes: uint8, for each code point its combining class, or `MAY_CHANGE`; code points beyond it may change.
    """
    out = np.empty(len(offsets) - 1, np.bool_)
    _all_may_change(data, offsets, classes, out)
    return out
