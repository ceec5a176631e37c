"""A text to be traced: its words, where its spans must end, and the longest spans that it shares with an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from corpus_audit.pipelines.kernels.tracing.matching import find_words, longest_matches, span_ranges
from corpus_audit.pipelines.kernels.tracing.words import OTHER
from corpus_audit.pipelines.tracing.segment import Segment
from corpus_audit.pipelines.tracing.words import words_of

SENTENCE_ENDS = frozenset(".!?。！？｡")
CLOSING = frozenset("\"'”’»)]）」』】")
WIDE_ENDS = frozenset("。！？｡")
"""Marks that end a sentence without white space behind them."""

_NOTHING = (-1, -1)


@dataclass(frozen=True, slots=True)
class Lookup:
    """The words of a text among the symbols of a segment; int32 [W] each, as `find_words` fills them."""

    low: np.ndarray
    high: np.ndarray
    exact: np.ndarray


class Query:
    """The words of a text, white space at its beginning left out; W words.

    Attributes:
        text: the text, UTF-8, uint8.
        starts: int64 [W + 1], bytes at which the words begin, and the end.
        lengths: int32 [W], bytes of each without the white space behind it.
        counted: bool [W], which count as words.
        stops: int64 [W], the word before which a span that begins at a word must end.
    """

    def __init__(self, text: str, across_sentences: bool = False) -> None:
        self.text = np.frombuffer(text.encode(), np.uint8)
        words = words_of(self.text, np.array([0, len(self.text)], np.int64))
        first = int(len(words.lengths) > 0 and words.lengths[0] == 0)
        self.starts = np.append(words.starts[first:], len(self.text))
        self.lengths = words.lengths[first:]
        self.counted = words.counted[first:]
        self._kinds = words.kinds[first:]
        size = len(self.lengths)
        if across_sentences:
            self.stops = np.full(size, size, np.int64)
        else:
            ends = np.flatnonzero([self._ends(w) for w in range(size)]) + 1
            self.stops = np.append(ends, size)[np.searchsorted(ends, np.arange(size), side="right")].astype(np.int64)

    def _ends(self, w: int) -> bool:
        """Whether a sentence or a line ends with a word."""
        space = self._bytes(int(self.starts[w] + self.lengths[w]), int(self.starts[w + 1]))
        if "\n" in space or "\r" in space:
            return True
        if self._kinds[w] != OTHER:
            return False
        mark = self.word(w)
        if mark[0] in WIDE_ENDS:
            return True
        if not space and w + 1 < len(self.lengths):
            return False
        while mark[0] in CLOSING and w and self.starts[w] == self.starts[w - 1] + self.lengths[w - 1]:
            w -= 1
            if self._kinds[w] != OTHER:
                return False
            mark = self.word(w)
        return mark[0] in SENTENCE_ENDS

    def __len__(self) -> int:
        return len(self.lengths)

    def _bytes(self, start: int, stop: int) -> str:
        return bytes(self.text[start:stop]).decode()

    def word(self, w: int) -> str:
        """A word without the white space behind it."""
        return self._bytes(int(self.starts[w]), int(self.starts[w] + self.lengths[w]))

    def span(self, start: int, stop: int) -> str:
        """The text of words, without the white space behind the last one."""
        return self._bytes(int(self.starts[start]), int(self.starts[stop - 1] + self.lengths[stop - 1]))

    def characters(self, start: int, stop: int) -> tuple[int, int]:
        """Code points of the text at which a span of words begins and ends."""
        begins, ends = int(self.starts[start]), int(self.starts[stop - 1] + self.lengths[stop - 1])
        leads = self._leads
        return int(leads[begins]), int(leads[ends])

    @cached_property
    def _leads(self) -> np.ndarray:
        """Code points before each byte, int64 [bytes + 1]."""
        return np.concatenate([[0], np.cumsum((self.text & 0xC0) != 0x80)])

    @cached_property
    def counted_before(self) -> np.ndarray:
        """Words that count before each word, int64 [W + 1]."""
        return np.concatenate([[0], np.cumsum(self.counted, dtype=np.int64)])

    def lookup(self, segment: Segment) -> Lookup:
        """Look up the words in a segment."""
        low, high, exact = (np.empty(len(self), np.int32) for _ in range(3))
        symbols = (segment.text, segment.starts, segment.lengths)
        find_words(*symbols, self.text, self.starts, self.lengths, low, high, exact)
        return Lookup(low, high, exact)

    def longest(
        self, segments: Sequence[Segment], lookups: Sequence[Lookup], own: tuple[int, int, int] | None = None
    ) -> np.ndarray:
        """Length of the longest span that begins at each word and occurs in a segment; int32 [W], marks included.

        A span begins and ends with a word that counts: the length is 0 at others, and leaves out marks at the end.

        Args:
            segments: to look in.
            lookups: the words in each of them.
            own: a segment's number and a range of its symbols: occurrences that begin there do not count.
        """
        lengths = np.zeros(len(self), np.int32)
        for number, (segment, lookup) in enumerate(zip(segments, lookups, strict=True)):
            start, stop = own[1:] if own is not None and own[0] == number else _NOTHING
            arrays = (segment.symbols, segment.suffixes, lookup.low, lookup.high, lookup.exact)
            longest_matches(*arrays, self.stops, start, stop, lengths)
        positions = np.arange(len(self))
        last = np.maximum.accumulate(np.where(self.counted, positions + 1, 0))  # behind the last word up to each
        ends = last[np.maximum(positions + lengths - 1, 0)] if len(self) else positions
        trimmed: np.ndarray = np.where(self.counted & (lengths > 0), ends - positions, 0).astype(np.int32)
        return trimmed


def ranges(segment: Segment, lookup: Lookup, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The suffixes of a segment that begin with each of P spans of a query: first and behind the last, int64 [P]."""
    firsts, lasts = np.empty(len(starts), np.int64), np.empty(len(starts), np.int64)
    span_ranges(
        segment.symbols, segment.suffixes, lookup.low, lookup.high, lookup.exact, starts, lengths, firsts, lasts
    )
    return firsts, lasts


def maximal(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of the spans that are part of no longer one, int64, from the longest at every word.

    A span that begins later ends no earlier, so that only the farthest end before it has to be looked at.
    """
    ends = np.where(lengths > 0, np.arange(len(lengths)) + lengths, 0)
    before = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]])
    starts = np.flatnonzero(ends > before)
    return starts, lengths[starts].astype(np.int64)
