"""The distinct n-grams of the benchmarks' texts, made for looking up, and where each leads to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.contamination import IDF_GRAM, Grams, fill_filter, find_all
from corpus_audit.pipelines.kernels.normalised_words import grams

SHARED_TEXTS = 16
"""An n-gram of more texts than this (of more places, for tokens) does not tie a document to any of them, unless a text
has no other; once a document is tied to a text, all of the text's n-grams count again."""

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
    target = at if places else text
    pairs = found << 32 | target
    pairs = np.sort(pairs) if places else _distinct(pairs)
    gram, target = pairs >> 32, pairs & (2**32 - 1)
    counts = np.bincount(gram, minlength=len(keys))
    keep = counts[gram] <= SHARED_TEXTS
    keep |= _only_lead(gram, target, counts, keep, starts, places)
    gram, target = gram[keep], target[keep]
    first = np.zeros(len(keys) + 1, np.uint32)
    np.cumsum(np.bincount(gram, minlength=len(keys)), out=first[1:])
    posted = target.astype(np.uint32)
    return Posting(bare._replace(starts=first, posted=posted), numbers)


def _distinct(values: np.ndarray) -> np.ndarray:
    """As ``np.unique``, which takes five times as long on millions of integers."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def _only_lead(
    gram: np.ndarray, target: np.ndarray, counts: np.ndarray, kept: np.ndarray, starts: np.ndarray, places: bool
) -> np.ndarray:
    """bool [pairs]: for each text without a kept n-gram, the one of its n-grams that fewest texts have."""
    text = np.searchsorted(starts, target, side="right") - 1 if places else target
    led = np.zeros(len(starts) - 1, bool)
    led[text[kept]] = True
    chosen = np.zeros(len(gram), bool)
    lost = np.flatnonzero(~led[text])
    order = lost[np.lexsort((target[lost], gram[lost], counts[gram[lost]], text[lost]))]
    firsts = np.ones(len(order), bool)
    firsts[1:] = text[order[1:]] != text[order[:-1]]
    chosen[order[firsts]] = True
    return chosen


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
