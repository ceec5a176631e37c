"""Builds the n-gram look-up of an index: distinct n-grams of the texts, and postings from each to its texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.contamination.scan import IDF_GRAM, Grams, fill_filter, find_all
from corpus_audit.pipelines.kernels.text.normalised_words import grams

SHARED_TEXTS, SHARED_PASSAGE = 8, 128
"""An n-gram that more texts than `SHARED_TEXTS` have (more places, for tokens) does not tie a document to them: a
template would tie it to every item. Two exceptions keep what is long: of `WINDOW` places of a text without another
n-gram, the one that fewest texts have does, if they are at most `SHARED_PASSAGE` (a passage with its questions); and so
does one of a text that has no other at all. Once a document is tied to a text, all of the text's n-grams count."""

WINDOW = 32

IDF_UNIT = 65_536
"""IDF weights are whole multiples of 1 / IDF_UNIT."""

_FILTER_BITS = 8


@dataclass(frozen=True)
class Posting:
    """n-grams of one length over P places.

    Attributes:
        grams: what the kernels look up.
        numbers: int32 [P], the number of the gram that begins at a place, or -1.
    """

    grams: Grams
    numbers: np.ndarray


def lookup(keys: np.ndarray, starts: np.ndarray, posted: np.ndarray) -> Grams:
    """Sorted distinct hashes with their directory and filter."""
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


def post(hashes: np.ndarray, starts: np.ndarray, length: int, *, places: bool) -> Posting:
    """The n-grams of texts and what they lead to.

    Args:
        hashes: uint64 [P] of words or tokens.
        starts: int64 [X + 1], where each text's begin.
        length: n.
        places: whether grams lead to the places where they begin, and not to the texts that have them.
    """
    values, valid = grams(hashes, starts, length)
    at = np.flatnonzero(valid)
    keys = _distinct(values[at])
    bare = lookup(keys, np.zeros(len(keys) + 1, np.uint32), np.empty(0, np.uint32))
    found = np.empty(len(at), np.int64)
    find_all(bare.keys, bare.directory, bare.directory_shift, values[at], found)
    numbers = np.full(len(hashes), -1, np.int32)
    numbers[at] = found
    text = (np.searchsorted(starts, at, side="right") - 1).astype(np.int64)
    leads = _leads(found, at, text, at - starts[text], len(keys), places)
    pairs = _distinct(found[leads] << 32 | (at if places else text)[leads])
    first = np.zeros(len(keys) + 1, np.uint32)
    np.cumsum(np.bincount(pairs >> 32, minlength=len(keys)), out=first[1:])
    posted = (pairs & (2**32 - 1)).astype(np.uint32)
    return Posting(bare._replace(starts=first, posted=posted), numbers)


def _distinct(values: np.ndarray) -> np.ndarray:
    """As ``np.unique``, which takes five times as long on millions of integers."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def _leads(
    gram: np.ndarray, place: np.ndarray, text: np.ndarray, within: np.ndarray, grams: int, places: bool
) -> np.ndarray:
    """bool [N]: whether the n-gram at a place leads to it; see `SHARED_TEXTS`. ``within`` counts places from the text's
    first."""
    users = gram if places else _distinct(gram << 32 | text) >> 32
    shared = np.bincount(users, minlength=grams)[gram]
    leads: np.ndarray = shared <= SHARED_TEXTS
    for group, most in ((text << 32 | within // WINDOW, SHARED_PASSAGE), (text, len(gram))):
        new = np.ones(len(group), bool)
        new[1:] = group[1:] != group[:-1]
        number = np.cumsum(new) - 1
        led = np.zeros(len(group), bool)
        led[number[leads]] = True
        lost = np.flatnonzero(~led[number] & (shared <= most))
        order = lost[np.lexsort((place[lost], shared[lost], number[lost]))]
        firsts = np.ones(len(order), bool)
        firsts[1:] = number[order[1:]] != number[order[:-1]]
        leads[order[firsts]] = True
    return leads


def idf_weights(hashes: np.ndarray, starts: np.ndarray, prompts: np.ndarray, benchmark_texts: int) -> np.ndarray:
    """decon's IDF of the 5-gram at each place, int64 [P]; 0 where its part of the text had it before.

    ``ln(1 + N / n)`` with N benchmark texts, n of them with the 5-gram (at least 1): as decon's ``ln(N / n)``, but
    above 0 for the n-grams of a benchmark of one item.

    Args:
        hashes: uint64 [P] of words.
        starts: int64 [X + 1].
        prompts: int64 [X], words of each text that are its prompt's; prompt and answer are told apart.
        benchmark_texts: how many of the texts, from the first, are N.
    """
    parts = np.zeros(2 * len(prompts) + 1, np.int64)
    parts[1::2] = starts[:-1] + prompts
    parts[2::2] = starts[1:]
    values, valid = grams(hashes, parts, IDF_GRAM)
    at = np.flatnonzero(valid)
    part = np.searchsorted(parts, at, side="right") - 1
    order = np.lexsort((part, values[at]))
    value, part, place = values[at][order], part[order], at[order]
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
    weights[place[new_part]] = idf[group[new_part]]
    return weights
