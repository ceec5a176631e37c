"""Token n-grams that one version of a document has and the other lacks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel

LONGEST = 8
"""Tokens of the longest n-gram."""

MOST_CHANGED = 2_000
"""Tokens of a document that are looked at, the first that lie in a changed n-gram: bounds the output."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@inlined
def _mix(h, n):
    h = (h ^ (h >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(n)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return (h ^ (h >> np.uint64(32))) | np.uint64(1)  # 0 is an empty slot


@inlined
def _gram(tokens, i, n):
    h = np.uint64(0)
    for k in range(n):
        h = h * _MULTIPLIER + np.uint64(tokens[i + k]) + np.uint64(1)
    return _mix(h, n)


@kernel
def _fill(table, tokens, n):
    table[:] = 0
    mask = np.uint64(len(table) - 1)
    for i in range(len(tokens) - n + 1):
        h = _gram(tokens, i, n)
        at = (h >> np.uint64(20)) & mask
        while table[at] != 0 and table[at] != h:
            at = (at + np.uint64(1)) & mask
        table[at] = h


@inlined
def _holds(table, h):
    mask = np.uint64(len(table) - 1)
    at = (h >> np.uint64(20)) & mask
    while table[at] != 0 and table[at] != h:
        at = (at + np.uint64(1)) & mask
    return table[at] == h


@kernel
def _changes(ids, starts, other_ids, other_starts, grams, pairs, positions, sizes):
    total = 0
    for p in range(len(starts) // 2):
        mine = ids[starts[2 * p] : starts[2 * p + 1]]
        theirs = other_ids[other_starts[2 * p] : other_starts[2 * p + 1]]
        size = 16
        while size < 2 * len(theirs):
            size *= 2
        table = np.zeros(size, np.uint64)
        marked = np.zeros(len(mine), np.bool_)
        left = MOST_CHANGED
        if len(mine) < LONGEST:
            marked[:] = True
        else:
            _fill(table, theirs, LONGEST)
            for i in range(len(mine) - LONGEST + 1):
                if left > 0 and not _holds(table, _gram(mine, i, LONGEST)):
                    for k in range(i, i + LONGEST):
                        left -= not marked[k]
                        marked[k] = True
        for n in range(1, LONGEST + 1):
            _fill(table, theirs, n)
            for i in range(len(mine) - n + 1):
                if marked[i] and marked[i + n - 1]:
                    h = _gram(mine, i, n)
                    if not _holds(table, h):
                        grams[total] = h
                        pairs[total] = p
                        positions[total] = i
                        sizes[total] = n
                        total += 1
    return total


def ngrams_not_in(
    ids: npt.NDArray[np.uint32],
    starts: npt.NDArray[np.int64],
    other_ids: npt.NDArray[np.uint32],
    other_starts: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """N-grams of 1 to `LONGEST` tokens of each document that the other version does not have anywhere.

    An n-gram that is not in the other version lies in n-grams of `LONGEST` tokens that are not either, so only tokens
    of those are looked at.

    Args:
        ids, other_ids: token ids.
        starts, other_starts: int64 [2 P], where each version of P documents begins and ends in them, in turn.

    Returns:
        ``(gram, pair, position, size)``, [F] each: a 64-bit hash, the document, the first token within it, the tokens.
        An n-gram that occurs more than once is there more than once.
    """
    lengths = starts[1::2] - starts[::2]
    capacity = int(np.minimum(lengths, MOST_CHANGED + LONGEST).sum()) * LONGEST
    grams = np.empty(capacity, np.uint64)
    pairs, positions, sizes = (np.empty(capacity, np.int64) for _ in range(3))
    total = _changes(ids, starts, other_ids, other_starts, grams, pairs, positions, sizes)
    return grams[:total].copy(), pairs[:total].copy(), positions[:total].copy(), sizes[:total].copy()
