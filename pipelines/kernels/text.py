"""Characters and words of UTF-8 text, one pass over the bytes of a batch."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.jit import kernel

UNICODE_VERSION = "White_Space of Unicode 15 (unchanged since 4.0.1, but for U+180E, dropped in 6.3)"


@kernel
def _is_ascii_space(byte):
    return (byte == np.uint8(32)) | (np.uint8(byte - np.uint8(9)) < np.uint8(5))


@kernel
def _count_ascii(document):
    """Words of an ASCII document; written so that the compiler vectorises it."""
    words = np.int64(not _is_ascii_space(document[0]))
    for i in range(1, len(document)):
        words += np.int64((not _is_ascii_space(document[i])) & _is_ascii_space(document[i - 1]))
    return words


@kernel
def _count_unicode(document):
    """Words of a document that holds multi-byte characters."""
    words = 0
    in_word = False
    i = 0
    while i < len(document):
        byte = document[i]
        if byte < 0x80:
            space = _is_ascii_space(byte)
            i += 1
        elif byte < 0xE0:
            # U+0085 and U+00A0
            space = byte == 0xC2 and (document[i + 1] == 0x85 or document[i + 1] == 0xA0)
            i += 2
        elif byte < 0xF0:
            second, third = document[i + 1], document[i + 2]
            if byte == 0xE2:
                # U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F
                space = (second == 0x80 and (third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)) or (
                    second == 0x81 and third == 0x9F
                )
            elif byte == 0xE1:
                space = second == 0x9A and third == 0x80  # U+1680
            else:
                space = byte == 0xE3 and second == 0x80 and third == 0x80  # U+3000
            i += 3
        else:
            space = False
            i += 4
        if not space and not in_word:
            words += 1
        in_word = not space
    return words


@kernel
def _scan_text(data, offsets, characters, words, has_nul):
    for d in range(len(offsets) - 1):
        document = data[offsets[d] : offsets[d + 1]]
        count = np.int64(0)
        high = np.uint8(0)
        nul = np.uint8(0)
        for byte in document:
            high |= byte
            nul |= np.uint8(byte == np.uint8(0))
            count += np.int64((byte & np.uint8(0xC0)) != np.uint8(0x80))
        characters[d] = count
        has_nul[d] = nul != 0
        if len(document) == 0:
            words[d] = 0
        elif high < 0x80:
            words[d] = _count_ascii(document)
        else:
            words[d] = _count_unicode(document)


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
