"""Words of UTF-8 text as n-gram rules compare them: lower-case, without punctuation, hashed; n-grams of hashes.

A word is a maximal run of code points that are not White_Space, without those that the tables drop; an empty
run is no word. The tables map every code point to `DROP`, `SPACE`, or the code point that it counts as; code points
beyond the Basic Multilingual Plane are not changed.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel

DROP, SPACE = 0, 1

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0x243F6A8885A308D3)
_BASE = np.uint64(0xD6E8FEB86659FD93)
_FINISH = np.uint64(0xBF58476D1CE4E5B9)


@inlined
def finish(h):
    """Spread a sum of products over all bits."""
    h = (h ^ (h >> np.uint64(32))) * _FINISH
    return h ^ (h >> np.uint64(29))


@inlined
def token_hash(token):
    """The hash that stands for a token id in an n-gram."""
    return finish((np.uint64(token) + np.uint64(1)) * _PRIME)


@inlined
def rolled(h, leaving, entering, power):
    """The polynomial of the next n-gram; ``power`` is the base to the n - 1."""
    return (h - leaving * power) * _BASE + entering


@kernel
def hash_words(document, ascii_table, wide_table, out, stops):
    """Write the hash of every word into ``out`` and the byte behind the space that ends it, or the document's end, into
    ``stops``; returns how many there are."""
    n = 0
    h = _START  # which also says that no character of the word has come: a word that hashes to it, one in 2^64, is lost
    i = 0
    size = len(document)
    # Continuation bytes are not checked: readers reject what is not valid UTF-8.
    while i < size:
        byte = document[i]
        if byte < 0x80:
            code = np.uint64(ascii_table[byte])
            i += 1
        elif byte < 0xE0:
            code = np.uint64(wide_table[((np.int64(byte) & 0x1F) << 6) | (np.int64(document[i + 1]) & 0x3F)])
            i += 2
        elif byte < 0xF0:
            low = ((np.int64(document[i + 1]) & 0x3F) << 6) | (np.int64(document[i + 2]) & 0x3F)
            code = np.uint64(wide_table[((np.int64(byte) & 0x0F) << 12) | low])
            i += 3
        else:
            low = ((np.int64(document[i + 2]) & 0x3F) << 6) | (np.int64(document[i + 3]) & 0x3F)
            code = np.uint64(((np.int64(byte) & 0x07) << 18) | ((np.int64(document[i + 1]) & 0x3F) << 12) | low)
            i += 4
        if code > np.uint64(1):
            h = (h ^ code) * _PRIME
        elif code == np.uint64(1) and h != _START:
            out[n] = finish(h)
            stops[n] = i
            n += 1
            h = _START
    if h != _START:
        out[n] = finish(h)
        stops[n] = size
        n += 1
    return n


@kernel
def word_span(document, ascii_table, wide_table, start, stop):
    """(first byte, byte behind the last) of the counted characters between two bytes of a document, or -1."""
    first = last = -1
    i = start
    while i < stop:
        character = i
        byte = document[i]
        if byte < 0x80:
            code = np.int64(ascii_table[byte])
            i += 1
        elif byte < 0xE0:
            code = np.int64(wide_table[((np.int64(byte) & 0x1F) << 6) | (np.int64(document[i + 1]) & 0x3F)])
            i += 2
        elif byte < 0xF0:
            low = ((np.int64(document[i + 1]) & 0x3F) << 6) | (np.int64(document[i + 2]) & 0x3F)
            code = np.int64(wide_table[((np.int64(byte) & 0x0F) << 12) | low])
            i += 3
        else:
            code = np.int64(2)
            i += 4
        if code > 1:
            if first < 0:
                first = character
            last = i
    return first, last


@kernel
def _hash_all(data, offsets, ascii_table, wide_table, out, ends, stops):
    n = 0
    for d in range(len(offsets) - 1):
        n += hash_words(data[offsets[d] : offsets[d + 1]], ascii_table, wide_table, out[n:], ends)
        stops[d] = n
    return n


@kernel
def _hash_tokens(tokens, out):
    for i in range(len(tokens)):
        out[i] = token_hash(tokens[i])


@kernel
def gram_at(hashes, start, length):
    """The hash of the n-gram of ``length`` words or tokens that begins at ``start``."""
    h = np.uint64(0)
    for i in range(start, start + length):
        h = h * _BASE + hashes[i]
    return finish(h)


@kernel
def _grams(hashes, starts, length, out, valid):
    for t in range(len(starts) - 1):
        for i in range(starts[t], starts[t + 1]):
            valid[i] = i + length <= starts[t + 1]
            if valid[i]:
                out[i] = gram_at(hashes, i, length)


def base_power(exponent: int) -> np.uint64:
    """The base of the polynomial to ``exponent``, modulo 2^64."""
    return np.uint64(pow(int(_BASE), exponent, 2**64))


def hash_texts(
    data: np.ndarray, offsets: np.ndarray, ascii_table: np.ndarray, wide_table: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Word hashes of D texts: uint64 [W], and int64 [D + 1] offsets into them.

    Args:
        data: uint8, valid UTF-8.
        offsets: int64 [D + 1] into ``data``.
        ascii_table: uint8 [128].
        wide_table: uint16 [65,536].
    """
    out = np.empty((len(data) + len(offsets)) // 2 + 1, np.uint64)
    ends = np.empty(len(out), np.int64)
    starts = np.zeros(len(offsets), np.int64)
    n = _hash_all(data, offsets, ascii_table, wide_table, out, ends, starts[1:])
    return out[:n].copy(), starts


def hash_tokens(tokens: np.ndarray) -> np.ndarray:
    """uint64 [T] hashes of token ids."""
    out = np.empty(len(tokens), np.uint64)
    _hash_tokens(tokens, out)
    return out


def grams(hashes: np.ndarray, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The hash of the n-gram that begins at each word or token, uint64 [W], and whether there is one, bool [W].

    Args:
        hashes: uint64 [W] of words or tokens.
        starts: int64 [D + 1], offsets of the texts in ``hashes``.
        length: n.
    """
    out = np.zeros(len(hashes), np.uint64)
    valid = np.zeros(len(hashes), bool)
    _grams(hashes, starts, length, out, valid)
    return out, valid
