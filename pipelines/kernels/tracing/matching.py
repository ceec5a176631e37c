"""Longest spans that a text shares with the documents of a suffix array, and where they occur."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import kernel, subkernel


@subkernel
def _compare(one, one_start, one_stop, other, other_start, other_stop):
    """-1, 0 or 1 as some bytes stand before, are equal to, or stand behind others; a prefix stands before the rest."""
    size = min(one_stop - one_start, other_stop - other_start)
    for i in range(size):
        a, b = one[one_start + i], other[other_start + i]
        if a != b:
            return -1 if a < b else 1
    rest = (one_stop - one_start) - (other_stop - other_start)
    return -1 if rest < 0 else 1 if rest > 0 else 0


@subkernel
def _first_word(text, starts, lengths, word_text, start, stop, after):
    """The first symbol whose word is not before a given word; not equal to it either, if ``after``."""
    low, high = 0, len(lengths)
    while low < high:
        middle = (low + high) // 2
        order = _compare(text, starts[middle], starts[middle] + lengths[middle], word_text, start, stop)
        if order < 0 or (after and order == 0):
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def find_words(
    text: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    word_text: np.ndarray,
    word_starts: np.ndarray,
    word_lengths: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    exact: np.ndarray,
) -> None:
    """Look up W words of a text in the V symbols of a segment.

    Args:
        text: uint8, the symbols one after the other: ascending by word, then by white space.
        starts: int64 [V + 1], where each begins.
        lengths: int32 [V], bytes of each without the white space.
        word_text: uint8, the text.
        word_starts: int64 [W + 1], where its words begin, each with the white space behind it.
        word_lengths: int32 [W], bytes of each without the white space.
        low, high: int32 [W], receive the range of symbols that are this word, with any white space.
        exact: int32 [W], receives the symbol that is this word with this white space, -1 without one.
    """
    for w in range(len(word_lengths)):
        start, stop, end = word_starts[w], word_starts[w] + word_lengths[w], word_starts[w + 1]
        low[w] = _first_word(text, starts, lengths, word_text, start, stop, False)
        high[w] = _first_word(text, starts, lengths, word_text, start, stop, True)
        exact[w] = -1
        for symbol in range(low[w], high[w]):  # rarely more than a few kinds of white space
            if _compare(text, starts[symbol] + lengths[symbol], starts[symbol + 1], word_text, stop, end) == 0:
                exact[w] = symbol
                break


@subkernel
def _bound(symbols, suffixes, low, high, depth, symbol):
    """The first of some suffixes, which are equal up to ``depth``, whose symbol there is not below ``symbol``."""
    while low < high:
        middle = (low + high) // 2
        if symbols[suffixes[middle] + depth] < symbol:
            low = middle + 1
        else:
            high = middle
    return low


@subkernel
def _occurs_outside(suffixes, low, high, own_start, own_stop):
    """Whether one of some suffixes begins outside of a range of the text."""
    for i in range(low, high):  # noqa: SIM110 - numba has no any()
        if suffixes[i] < own_start or suffixes[i] >= own_stop:
            return True
    return False


@kernel
def longest_matches(
    symbols: np.ndarray,
    suffixes: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    exact: np.ndarray,
    stops: np.ndarray,
    own_start: int,
    own_stop: int,
    lengths: np.ndarray,
) -> None:
    """Raise, at each of W words of a text, the length of the longest span that begins there and occurs in a segment.

    Args:
        symbols: int32 [T], the documents' symbols, 0 behind each document.
        suffixes: int32 [S], positions of the suffixes in order.
        low, high, exact: int32 [W] each, as by `find_words`.
        stops: int64 [W], the word before which a span that begins at a word must end.
        own_start, own_stop: occurrences that begin in this range of ``symbols`` do not count.
        lengths: int32 [W], words of the longest span of other segments; raised where this segment has a longer one.
    """
    for p in range(len(stops)):
        first, last = 0, len(suffixes)
        depth = 0
        while p + depth < stops[p]:
            word = p + depth
            if low[word] == high[word]:
                break
            first = _bound(symbols, suffixes, first, last, depth, low[word])
            last = _bound(symbols, suffixes, first, last, depth, high[word])
            if not _occurs_outside(suffixes, first, last, own_start, own_stop):
                break
            depth += 1
            if exact[word] < 0:
                break
            first = _bound(symbols, suffixes, first, last, depth - 1, exact[word])
            last = _bound(symbols, suffixes, first, last, depth - 1, exact[word] + 1)
        lengths[p] = max(lengths[p], depth)


@kernel
def span_ranges(
    symbols: np.ndarray,
    suffixes: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    exact: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    firsts: np.ndarray,
    lasts: np.ndarray,
) -> None:
    """Where spans of a text are in a segment's suffix array.

    Args:
        symbols, suffixes, low, high, exact: as of `longest_matches`.
        starts, lengths: int64 [P], first word and words of each span, at least one.
        firsts, lasts: int64 [P], receive the range of suffixes that begin with it; empty if it does not occur.
    """
    for s in range(len(starts)):
        first, last = 0, len(suffixes)
        for depth in range(lengths[s]):
            word = starts[s] + depth
            ends = depth + 1 == lengths[s]
            lowest = low[word] if ends else exact[word]
            beyond = high[word] if ends else exact[word] + 1
            if lowest < 0 or lowest == beyond:
                last = first
                break
            first = _bound(symbols, suffixes, first, last, depth, lowest)
            last = _bound(symbols, suffixes, first, last, depth, beyond)
        firsts[s], lasts[s] = first, last
