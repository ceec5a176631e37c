"""Counts characters and words of UTF-8 text in one pass over the bytes of a batch.

Words stand between characters of the White_Space of Unicode 15 (unchanged since 4.0.1, but for U+180E, dropped in 6.3).
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel, subkernel

_CHUNK = 128
"""Bytes that are counted in eight-bit sums before they are added up: the compiler then handles 64 bytes at once."""


@subkernel
def _is_ascii_space(byte):
    return np.uint8(byte == np.uint8(32)) | np.uint8(np.uint8(byte - np.uint8(9)) < np.uint8(5))


@inlined
def _count_bytes(document):
    """Bytes that continue a character, the bits that occur in any byte, and whether one is 0."""
    continuing = np.int64(0)
    bits = np.uint8(0)
    nul = np.uint8(0)
    start = 0
    while start + _CHUNK <= len(document):
        chunk = document[start : start + _CHUNK]
        count = np.uint8(0)
        for i in range(_CHUNK):
            bits |= chunk[i]
            nul |= np.uint8(chunk[i] == np.uint8(0))
            count = np.uint8(count + np.uint8((chunk[i] & np.uint8(0xC0)) == np.uint8(0x80)))
        continuing += np.int64(count)
        start += _CHUNK
    for i in range(start, len(document)):
        bits |= document[i]
        nul |= np.uint8(document[i] == np.uint8(0))
        continuing += np.int64((document[i] & np.uint8(0xC0)) == np.uint8(0x80))
    return continuing, bits, nul


@inlined
def _count_ascii(document):
    """Words if only ASCII spaces end them: they begin at every non-space byte that is the first or follows a space."""
    words = np.int64(_is_ascii_space(document[0]) ^ np.uint8(1))
    bytes_, before = document[1:], document[:-1]
    start = 0
    while start + _CHUNK <= len(bytes_):
        chunk, chunk_before = bytes_[start : start + _CHUNK], before[start : start + _CHUNK]
        count = np.uint8(0)
        for i in range(_CHUNK):
            begins = _is_ascii_space(chunk_before[i]) & (_is_ascii_space(chunk[i]) ^ np.uint8(1))
            count = np.uint8(count + np.uint8(begins))
        words += np.int64(count)
        start += _CHUNK
    for i in range(start, len(bytes_)):
        words += np.int64(_is_ascii_space(before[i]) & (_is_ascii_space(bytes_[i]) ^ np.uint8(1)))
    return words


@subkernel
def _wide_space(document, i):
    """Bytes of the multi-byte White_Space character that begins at ``i``, or 0."""
    byte = document[i]
    if byte == 0xC2:  # U+0085 and U+00A0
        return 2 if document[i + 1] == 0x85 or document[i + 1] == 0xA0 else 0
    if byte == 0xE1:  # U+1680
        return 3 if document[i + 1] == 0x9A and document[i + 2] == 0x80 else 0
    if byte == 0xE2:  # U+2000 to U+200A, U+2028, U+2029, U+202F; U+205F
        second, third = document[i + 1], document[i + 2]
        if second == 0x80:
            return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
        return 3 if second == 0x81 and third == 0x9F else 0
    if byte == 0xE3:  # U+3000
        return 3 if document[i + 1] == 0x80 and document[i + 2] == 0x80 else 0
    return 0


@inlined
def _correction(document):
    """The correction of `_count_ascii`, which counts multi-byte spaces as parts of words.

    Such a space was counted as a word's beginning after an ASCII space or at the start; and the character after it was
    not counted, since the byte before it is no ASCII space.
    """
    words = np.int64(0)
    for i in range(len(document)):
        if document[i] < 0xC2:
            continue
        width = _wide_space(document, i)
        if width == 0:
            continue
        if i == 0 or _is_ascii_space(document[i - 1]):
            words -= 1
        after = i + width
        if after < len(document) and not _is_ascii_space(document[after]) and _wide_space(document, after) == 0:
            words += 1
    return words


@kernel
def _scan_text(data, offsets, characters, words, has_nul):
    for d in range(len(offsets) - 1):
        document = data[offsets[d] : offsets[d + 1]]
        continuing, bits, nul = _count_bytes(document)
        characters[d] = len(document) - continuing
        has_nul[d] = nul != 0
        if len(document) == 0:
            words[d] = 0
        else:
            words[d] = _count_ascii(document)
            if bits >= 0x80:
                words[d] += _correction(document)


def scan_text(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the characters and words of every document and note which hold a NUL.

    Args:
        data: uint8, valid UTF-8 (the reader has checked it).
        offsets: int64 [D + 1] into ``data``.

    Returns:
        ``(characters, words, has_nul)``, int64 [D], int64 [D] and bool [D]: code points; maximal runs of code
        points that are not White_Space; whether U+0000 occurs.
    """
    size = len(offsets) - 1
    characters, words, has_nul = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, bool)
    _scan_text(data, offsets, characters, words, has_nul)
    return characters, words, has_nul
