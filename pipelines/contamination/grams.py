"""Builds the n-gram look-up of an index: distinct n-grams of the texts, and postings from each to its texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.contamination.scan import IDF_GRAM, Grams, fill_filter, find_all
from corpus_audit.pipelines.kernels.text.normalised_words import grams

SHARED_TEXTS, SHARED_PASSAGE = 8, 128
"""An n-gram of more than `SHARED_TEXTS` texts (positions, for tokens) has no postings to them: a template would link a
document to every item. Two exceptions keep long matches: if no n-gram in `WINDOW` positions of a text is posted, that
of the fewest texts is, provided that they are at most `SHARED_PASSAGE` (a passage with its questions); and so is one of
a text that would have none at all. Once a document is linked to a text, all of the text's n-grams count."""

WINDOW = 32
"""Words or tokens of a text in which one n-gram at least should be posted."""

IDF_UNIT = 65_536
"""IDF weights are whole multiples of 1 / IDF_UNIT."""

_FILTER_BITS = 8  # for each n-gram, at least: the number of words is rounded up to a power of two


@dataclass(frozen=True)
class Posting:
    """The n-grams of one length in texts of P words or tokens.

    Attributes:
        grams: the look-up of the kernels.
        numbers: int32 [P], the number of the gram that begins at a position, or -1.
    """

    grams: Grams
    numbers: np.ndarray


def build_lookup(keys: np.ndarray, starts: np.ndarray, posted: np.ndarray) -> Grams:
    """The look-up of sorted distinct hashes, with their directory and Bloom filter."""
    # About one n-gram an entry of the directory, so that a look-up compares one or two hashes.
    directory_bits = max(1, len(keys).bit_length() - 1)
    words = max(1, len(keys) * _FILTER_BITS // 64)
    filter_bits = max(1, (words - 1).bit_length())
    directory_shift, filter_shift = np.uint64(64 - directory_bits), np.uint64(64 - filter_bits)
    directory = np.zeros(2**directory_bits + 1, np.uint32)
    counts = np.bincount((keys >> directory_shift).astype(np.int64), minlength=2**directory_bits)
    np.cumsum(counts, out=directory[1:])
    bloom = np.zeros(2**filter_bits, np.uint64)
    fill_filter(keys, filter_shift, bloom)
    return Grams(keys, directory, bloom, directory_shift, filter_shift, starts, posted)


def build_posting(hashes: np.ndarray, starts: np.ndarray, length: int, *, by_position: bool) -> Posting:
    """The n-grams of texts, with postings from each to its texts or positions.

    Args:
        hashes: uint64 [P] of words or tokens.
        starts: int64 [X + 1], offsets of the texts in ``hashes``.
        length: n.
        by_position: whether postings are the positions where a gram begins, instead of the texts that have it.
    """
    values, valid = grams(hashes, starts, length)
    positions = np.flatnonzero(valid)
    keys = _distinct(values[positions])
    # Numbering the n-grams needs the hashes and their directory only; the postings follow from the numbers.
    lookup = build_lookup(keys, np.zeros(len(keys) + 1, np.uint32), np.empty(0, np.uint32))
    grams_at = np.empty(len(positions), np.int64)
    find_all(lookup.keys, lookup.directory, lookup.directory_shift, values[positions], grams_at)
    numbers = np.full(len(hashes), -1, np.int32)
    numbers[positions] = grams_at
    text = (np.searchsorted(starts, positions, side="right") - 1).astype(np.int64)
    posted_at = _is_posted(grams_at, positions, text, positions - starts[text], len(keys), by_position)
    pairs = _distinct(grams_at[posted_at] << 32 | (positions if by_position else text)[posted_at])
    posting_starts = np.zeros(len(keys) + 1, np.uint32)
    np.cumsum(np.bincount(pairs >> 32, minlength=len(keys)), out=posting_starts[1:])
    posted = (pairs & (2**32 - 1)).astype(np.uint32)
    return Posting(lookup._replace(starts=posting_starts, posted=posted), numbers)


def _distinct(values: np.ndarray) -> np.ndarray:
    """The same as ``np.unique``, which takes five times as long on millions of integers."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def _is_posted(
    gram: np.ndarray, position: np.ndarray, text: np.ndarray, within: np.ndarray, grams: int, by_position: bool
) -> np.ndarray:
    """Whether each of N n-grams is posted for its text or position, bool [N]; see `SHARED_TEXTS`.

    ``gram``, ``position`` and ``text`` are int64 [N]; ``within`` is the position within the text.
    """
    users = gram if by_position else _distinct(gram << 32 | text) >> 32
    shared = np.bincount(users, minlength=grams)[gram]
    posted: np.ndarray = shared <= SHARED_TEXTS
    # By windows first, then by texts: a group without a posted n-gram gets the first of those that fewest texts have.
    for group, max_texts in ((text << 32 | within // WINDOW, SHARED_PASSAGE), (text, len(gram))):
        new = np.ones(len(group), bool)
        new[1:] = group[1:] != group[:-1]
        number = np.cumsum(new) - 1
        has_posted = np.zeros(len(group), bool)
        has_posted[number[posted]] = True
        candidates = np.flatnonzero(~has_posted[number] & (shared <= max_texts))
        order = candidates[np.lexsort((position[candidates], shared[candidates], number[candidates]))]
        firsts = np.ones(len(order), bool)
        firsts[1:] = number[order[1:]] != number[order[:-1]]
        posted[order[firsts]] = True
    return posted


def idf_weights(hashes: np.ndarray, starts: np.ndarray, prompts: np.ndarray, benchmark_texts: int) -> np.ndarray:
    """decon's IDF of the 5-gram at each word, int64 [P]; 0 if it occurred before in the same prompt or answer.

    ``ln(1 + N / n)`` with N benchmark texts, n of them with the 5-gram (at least 1): as decon's ``ln(N / n)``, but
    above 0 for the n-grams of a benchmark of one item.

    Args:
        hashes: uint64 [P] of words.
        starts: int64 [X + 1].
        prompts: int64 [X], words of each text that are its prompt's; prompt and answer are separate parts.
        benchmark_texts: N; the first N texts are those of the benchmarks.
    """
    parts = np.zeros(2 * len(prompts) + 1, np.int64)
    parts[1::2] = starts[:-1] + prompts
    parts[2::2] = starts[1:]
    values, valid = grams(hashes, parts, IDF_GRAM)
    positions = np.flatnonzero(valid)
    part = np.searchsorted(parts, positions, side="right") - 1
    order = np.lexsort((part, values[positions]))
    value, part, position = values[positions][order], part[order], positions[order]
    new_value = np.ones(len(order), bool)
    new_value[1:] = value[1:] != value[:-1]
    group = np.cumsum(new_value) - 1
    new_part, new_text = new_value.copy(), new_value.copy()
    new_part[1:] |= part[1:] != part[:-1]
    new_text[1:] |= part[1:] // 2 != part[:-1] // 2
    new_text &= part // 2 < benchmark_texts
    texts = np.maximum(np.bincount(group, weights=new_text), 1)
    weights = np.zeros(len(hashes), np.int64)
    idf = np.round(np.log1p(benchmark_texts / texts) * IDF_UNIT).astype(np.int64)
    weights[position[new_part]] = idf[group[new_part]]
    return weights
