"""Divergences of two token distributions under many exchanges of document groups at once: most of drift's time.

The occurrences that P exchanges of G groups move are a product of matrices, [K, G] times [G, P]. K is the vocabulary
and P thousands, so it would fill a gigabyte or more. It is never made as a whole, but in tiles that are added up while
they are in the cache::

                      P exchanges
                128    128    128   ...
              +------+------+------+---
     16,384   | tile | tile | tile |        the tiles of a row are computed at once, one a thread;
     tokens   +------+------+------+---     each thread adds to its own columns of the sums [SUMS, P]
     16,384   |      |      |      |
              +------+------+------+---

1. Rare tokens that are alike are taken together, a term for each state that they can be in (`token_classes`).
2. `group_rows.token_rows` cuts the others and makes sparse rows of them. Tokens that both sides hold in full whatever
   is selected (shared documents alone have them) come as one row together. Counts are float32 while a token's total is
   exact in it (half the memory traffic), else float64.
3. `_add_classes` and `_add_exchanges` compute a tile. A column of sums is added up by one thread, in one order, so the
   sums are the same for any number of workers, and, but for the last bits, on any processor.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.drift.group_rows import (
    Floats,
    Integers,
    Tables,
    TokenRows,
    TokenTotals,
    groups_above,
    token_rows,
    token_totals,
)
from corpus_audit.pipelines.kernels.drift.logarithm import log
from corpus_audit.pipelines.kernels.drift.token_classes import TokenClasses, token_classes

SUMS = 5
"""Sums that `exchange_sums` returns for each exchange."""

_TILE = 128  # exchanges of one kernel call
_TINY = 1e-300


@inlined
def _add_selected(counts, groups, start, stop, selection, x):
    """Add the selected groups' counts of one token, cells ``start`` to ``stop``, to ``x`` [W].

    Four groups at a time, so that x is loaded and stored a quarter as often.
    """
    width = len(x)
    i = start
    while i + 4 <= stop:
        c0, s0 = counts[i], selection[groups[i]]
        c1, s1 = counts[i + 1], selection[groups[i + 1]]
        c2, s2 = counts[i + 2], selection[groups[i + 2]]
        c3, s3 = counts[i + 3], selection[groups[i + 3]]
        for w in range(width):
            x[w] += (c0 * s0[w] + c1 * s1[w]) + (c2 * s2[w] + c3 * s3[w])
        i += 4
    while i < stop:
        c0, s0 = counts[i], selection[groups[i]]
        for w in range(width):
            x[w] += c0 * s0[w]
        i += 1


@inlined
def _terms(a, b, half, scale_first, scale_second, smooth_first, smooth_second):
    """The five terms of `exchange_sums` for a token that the sides hold a and b times, with a logarithm each.

    With t = (p - q) / (p + q) the terms 0 and 2 need no division by a share that may be 0:
    p ln(2 p / (p + q)) + q ln(2 q / (p + q)) = (p + q) / 2 ((1 + t) ln(1 + t) + (1 - t) ln(1 - t)), and
    (sqrt p - sqrt q)^2 = (p + q) (1 - sqrt((1 + t) (1 - t))).
    """
    p = a * scale_first
    q = b * scale_second
    both = p + q
    t = np.divide(p - q, max(both, _TINY))
    up = 1.0 + t
    down = 1.0 - t
    gap = up * log(max(up, _TINY)) + down * log(max(down, _TINY))
    smooth_p = (a + half) * smooth_first
    smooth_q = (b + half) * smooth_second
    ratio = log(np.divide(smooth_q, smooth_p))
    return (
        0.5 * both * gap,
        abs(p - q),
        both * (1.0 - np.sqrt(up * down)),
        (smooth_q - smooth_p) * ratio,
        smooth_q * ratio,
    )


@kernel
def _add_exchanges(
    counts, groups, stops, selection, swapped, fixed_first, fixed_second, sign_first, sign_second, half, scales, sums
):
    """Add R tokens' terms of `exchange_sums` to ``sums`` [SUMS, W], token by token in the order given.

    For each token:

    1. x [W], its occurrences in the groups that each exchange selects: a sparse row (``counts`` [C] in ``groups``
       uint8 [C], ascending, which end at ``stops`` [R]) times the 0/1 matrix ``selection`` [G, W], of the type of
       ``counts``; and y [W], the same over the groups from ``swapped`` on, whose counts are differences of two sides.
    2. a and b, the two pseudo-sides' occurrences, and from them the five terms, which are added to ``sums``.

    ``half`` [R] is above 0; ``scales`` are [4, W]. The innermost loops run over the exchanges, so that they vectorise
    without a change to the order of any sum.
    """
    width = selection.shape[1]
    x = np.empty(width, selection.dtype)
    y = np.empty(width, selection.dtype)
    start = np.int64(0)
    for token in range(len(stops)):
        stop = stops[token]
        middle = start
        while middle < stop and groups[middle] < swapped:
            middle += 1
        for w in range(width):
            x[w] = 0
            y[w] = 0
        _add_selected(counts, groups, start, middle, selection, x)
        _add_selected(counts, groups, middle, stop, selection, y)
        start = stop

        first = fixed_first[token]
        second = fixed_second[token]
        h = half[token]
        for w in range(width):
            a = first + sign_first * np.float64(x[w]) + np.float64(y[w])
            b = second + sign_second * np.float64(x[w]) - np.float64(y[w])
            gap, absolute, root, jeffreys, kullback = _terms(
                a, b, h, scales[0, w], scales[1, w], scales[2, w], scales[3, w]
            )
            sums[0, w] += gap
            sums[1, w] += absolute
            sums[2, w] += root
            sums[3, w] += jeffreys
            sums[4, w] += kullback


@kernel
def _add_classes(
    counts,
    groups,
    starts,
    stops,
    ends,
    first,
    second,
    largest,
    selection,
    sign_first,
    sign_second,
    scales,
    x,
    number,
    sums,
):
    """Add the terms of the tokens of some classes to ``sums`` [SUMS, W]; see `token_classes`.

    ``selection`` uint8 [G, W]; ``x`` uint8 [W] and ``number`` float64 [states, W] are room for what a token has moved,
    and for how many tokens of a class have moved how much.
    """
    width = selection.shape[1]
    token = np.int64(0)
    for m in range(len(ends)):
        for state in range(largest[m] + 1):
            for w in range(width):
                number[state, w] = 0
        while token < ends[m]:
            for w in range(width):
                x[w] = 0
            for i in range(starts[token], stops[token]):
                row = selection[groups[i]]
                for w in range(width):
                    x[w] += counts[i] * row[w]
            for w in range(width):
                number[x[w], w] += 1
            token += 1
        for state in range(largest[m] + 1):
            a = first[m] + sign_first * state
            b = second[m] + sign_second * state
            for w in range(width):
                gap, absolute, root, jeffreys, kullback = _terms(
                    a, b, 0.5, scales[0, w], scales[1, w], scales[2, w], scales[3, w]
                )
                sums[0, w] += number[state, w] * gap
                sums[1, w] += number[state, w] * absolute
                sums[2, w] += number[state, w] * root
                sums[3, w] += number[state, w] * jeffreys
                sums[4, w] += number[state, w] * kullback


@dataclass(frozen=True)
class _Tile:
    """Some of the exchanges, W, and what is added up for them.

    Attributes:
        byte, single, double: the selections [G, W] in uint8, float32 and float64.
        scales: float64 [4, W].
        sums: float64 [SUMS, W].
    """

    byte: npt.NDArray[np.uint8]
    single: npt.NDArray[np.float32]
    double: Floats
    scales: Floats
    sums: Floats

    def add_classes(self, classes: TokenClasses, sign_first: float, sign_second: float) -> None:
        """Add the tokens of some classes."""
        width = self.byte.shape[1]
        room = np.empty(width, np.uint8), np.empty((int(classes.largest.max(initial=0)) + 1, width))
        _add_classes(*classes, self.byte, sign_first, sign_second, self.scales, *room, self.sums)

    def add(self, rows: TokenRows, swapped: int, sign_first: float, sign_second: float) -> None:
        """Add a block of tokens."""
        selection = self.single if rows.counts.dtype == np.float32 else self.double
        sides = rows.first, rows.second, sign_first, sign_second
        _add_exchanges(*rows[:3], selection, swapped, *sides, rows.half, self.scales, self.sums)


def _tiles(selection: Floats, scales: Floats) -> list[_Tile]:
    """Selections [G, P] and scales [4, P] cut into tiles."""
    return [
        _Tile(
            np.ascontiguousarray(selection[:, start : start + _TILE], dtype=np.uint8),
            np.ascontiguousarray(selection[:, start : start + _TILE], dtype=np.float32),
            np.ascontiguousarray(selection[:, start : start + _TILE]),
            np.ascontiguousarray(scales[:, start : start + _TILE]),
            np.zeros((SUMS, min(_TILE, selection.shape[1] - start))),
        )
        for start in range(0, selection.shape[1], _TILE)
    ]


def exchange_sums(
    tables: Tables,
    fixed: tuple[Integers, Integers],
    signs: tuple[int, int],
    selection: Floats,
    scales: Floats,
    workers: int = 1,
    swapped: int | None = None,
) -> Floats:
    """Sums over K tokens of five functions of two sides' shares, for P exchanges of G groups of documents.

    In an exchange the first side holds a = fixed[0] + signs[0] x + y of a token and the second
    b = fixed[1] + signs[1] x - y, with x its occurrences in the groups before ``swapped`` that are selected, and y
    those in the groups from there on: documents that are on both sides in two versions, whose counts are the second
    version's less the first's, so that a selected group has its versions exchanged. With the shares p = scales[0] a,
    q = scales[1] b, P = scales[2] (a + 1/2), Q = scales[3] (b + 1/2), the sums are

        0: p ln(2 p / (p + q)) + q ln(2 q / (p + q))
        1: |p - q|
        2: (sqrt p - sqrt q)^2
        3: (Q - P) ln(Q / P)
        4: Q ln(Q / P)

    Tokens that no side holds are left out.

    Args:
        tables: int64 or float64 [., K] each and of one type, the tokens' occurrences by group, the groups of one below
            those of the other, G <= 256 in all; multiples of 1/2, whose absolute values add up to less than 2^52 over
            the groups; below 0 from ``swapped`` on alone.
        fixed: int64 [K] each.
        signs: -1, 0 or 1 each; a and b must not become negative.
        selection: float64 [G, P], 0 or 1.
        scales: float64 [4, P].
        workers: threads.
        swapped: the first of the groups whose versions are exchanged; None where there are none.

    Returns:
        float64 [SUMS, P].
    """
    tiles = _tiles(selection, scales)
    swapped = len(selection) if swapped is None else swapped
    sign_first, sign_second = float(signs[0]), float(signs[1])
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        totals = token_totals(tables)
        classes, left = _classes(tables, fixed, swapped, totals)
        pending = [pool.submit(tile.add_classes, classes, sign_first, sign_second) for tile in tiles]
        for rows in token_rows(tables, *fixed, totals, left):  # the next block is made while the last one is added
            for future in pending:
                future.result()
            pending = [pool.submit(tile.add, rows, swapped, sign_first, sign_second) for tile in tiles]
        for future in pending:
            future.result()
    return np.concatenate([tile.sums for tile in tiles], axis=1)


def _classes(
    tables: Tables, fixed: tuple[Integers, Integers], swapped: int, totals: TokenTotals
) -> tuple[TokenClasses, npt.NDArray[np.bool_]]:
    """Classes of the tokens that are in none of the groups from ``swapped`` on, and which tokens are left."""
    usable = np.full(len(fixed[0]), tables[0].dtype.kind == "i")
    for groups, above in zip(tables, groups_above(tables), strict=True):
        if above + len(groups) > swapped:
            usable &= ~groups[max(swapped - above, 0) :].any(axis=0)
    return token_classes(tables, *fixed, np.where(usable, totals.absolute, -1).astype(np.int64), totals.occupied)
