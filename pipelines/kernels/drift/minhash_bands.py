"""Pairs of similar MinHash signatures, by banding, with work that is bounded in the size of a bucket."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel

WINDOW = 16
"""Neighbours in each of two orders that a signature is compared with where a bucket is large."""

WITHIN, ACROSS, OTHER_SIDE = 0, 1, 2
"""Relations of a pair: one domain, two domains of one side, two sides."""


@kernel
def _band_hashes(signatures, first, last, out):
    for i in range(len(signatures)):
        h = np.uint64(0xCBF29CE484222325)
        for p in range(first, last):
            h = (h ^ np.uint64(signatures[i, p])) * np.uint64(0x100000001B3)
            h ^= h >> np.uint64(29)
        out[i] = h * np.uint64(0x9E3779B97F4A7C15)


def band_hashes(signatures: np.ndarray, first: int, last: int) -> np.ndarray:
    """Hashes, uint64 [N], of the columns ``first`` to ``last``, exclusive, of signatures uint32 [N, P]."""
    out = np.empty(len(signatures), np.uint64)
    _band_hashes(signatures, first, last, out)
    return out


@inlined
def _root(parents, i):
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@inlined
def _compare(a, b, signatures, domains, sides, hashes, single, max_differing, agreeing, parents):
    """Record the pair if at most ``max_differing`` values differ and the two are not the same text."""
    if single[a] and single[b] and hashes[a, 0] == hashes[b, 0] and hashes[a, 1] == hashes[b, 1]:
        return
    differ = 0
    width = signatures.shape[1]
    for start in range(0, width, 32):
        for p in range(start, min(start + 32, width)):
            differ += signatures[a, p] != signatures[b, p]
        if differ > max_differing:
            return
    if sides[a] != sides[b]:
        relation = OTHER_SIDE
    elif domains[a] == domains[b]:
        relation = WITHIN
    else:
        relation = ACROSS
    for p in range(width):
        if signatures[a, p] == signatures[b, p]:
            bit = np.uint64(1) << np.uint64(p & 63)
            agreeing[a, relation, p >> 6] |= bit
            agreeing[b, relation, p >> 6] |= bit
    ra, rb = _root(parents, a), _root(parents, b)
    parents[max(ra, rb)] = min(ra, rb)


@kernel
def _scan(keys, order, signatures, domains, sides, hashes, single, max_differing, agreeing, parents):
    n = len(order)
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and keys[order[stop]] == keys[order[start]]:
            stop += 1
        for i in range(start, stop):
            for j in range(i + 1, min(stop, i + 1 + WINDOW)):
                _compare(
                    order[i], order[j], signatures, domains, sides, hashes, single, max_differing, agreeing, parents
                )
        start = stop


@kernel
def _flatten(parents):
    for i in range(len(parents)):
        parents[i] = _root(parents, i)


def find_similar(
    signatures: np.ndarray,
    domains: np.ndarray,
    sides: np.ndarray,
    hashes: np.ndarray,
    single: np.ndarray,
    least: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Which signature values each row shares with similar rows, and the groups that similar rows make.

    Two rows are similar if at least ``least`` of their P values agree. At most P - ``least`` then differ, so of one
    more bands than that one agrees as a whole: rows that agree in no band are never similar, and none is missed. Rows
    that agree in a band are a bucket. Each is compared with the next `WINDOW` of its bucket by domain and, separately,
    in the order of the rows, so that a bucket of m rows costs m, not m^2; in buckets of more than `WINDOW` rows some
    pairs are only compared in another band, or joined through others.

    Args:
        signatures: uint32 [N, P], P at most 128, rows in an order that does not depend on their domains.
        domains: int64 [N].
        sides: int8 [N]: 0 or 1.
        hashes: uint64 [N, 2]: content hash; two rows that are one text are no pair.
        single: bool [N]: whether the row stands for one text only.
        least: values that must agree.

    Returns:
        ``(agreeing uint64 [N, 3, 2], groups int64 [N])``: bit p of the 128 is set where value p agrees with that of a
        similar row of the relation `WITHIN`, `ACROSS` or `OTHER_SIDE`; the lowest row of each row's group.
    """
    count, width = signatures.shape
    agreeing = np.zeros((count, 3, 2), np.uint64)
    parents = np.arange(count)
    max_differing = width - least
    edges = np.linspace(0, width, max_differing + 2).astype(np.int64)
    by_domain = np.lexsort((sides, domains))
    for first, last in pairwise(edges):
        keys = band_hashes(signatures, first, last)
        for order in (np.arange(count), by_domain):
            sorted_rows = order[np.argsort(keys[order], kind="stable")]
            _scan(keys, sorted_rows, signatures, domains, sides, hashes, single, max_differing, agreeing, parents)
    _flatten(parents)
    return agreeing, parents
