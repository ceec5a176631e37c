"""Divergences of two token distributions under many exchanges of document groups at once: most of drift's time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel

Floats = npt.NDArray[np.float64]

Integers = npt.NDArray[np.int64]

SUMS = 5
"""Sums that `exchange_sums` returns for each exchange."""

_TILE = 128  # exchanges of one kernel call
_TOKENS_A_BLOCK = 1 << 14
_EXACT_SINGLE = 1 << 24  # float32 holds every integer up to here; every multiple of 1/2 up to half of it

_MANTISSA = np.uint64(52)
_ONE = np.uint64(0x3FF0000000000000)
_SHIFT = np.uint64(0x3FF0000000000000 - 0x3FE5555555555555)  # mantissas fall into [2/3, 4/3)
_MAGIC = np.uint64(0x4330000000000000)
_MAGIC_VALUE = 2.0**52 + 1023.0
_LN2 = 0.6931471805599453
_TINY = 1e-300


@intrinsic
def _bits(typing_context, value):
    """The bit pattern of a double."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


@intrinsic
def _double(typing_context, pattern):
    """The double of a bit pattern."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@inlined
def _log(x):
    """ln x of a normal positive double within 4e-13, without a branch or a division: math.log does not vectorise.

    x = 2^k (1 + f) with |f| <= 1/3, and ln(1 + f) = f + f^2 q(f) with a Chebyshev fit q of degree 13.
    """
    pattern = _bits(x)
    exponent = (pattern + _SHIFT) >> _MANTISSA
    f = _double(pattern - (exponent << _MANTISSA) + _ONE) - 1.0
    k = _double(exponent | _MAGIC) - _MAGIC_VALUE
    q = 0.09786893051711665
    q = q * f - 0.10190464932967039
    q = q * f + 0.07131510561937401
    q = q * f - 0.0783343312638656
    q = q * f + 0.09140334493644087
    q = q * f - 0.10039239585611298
    q = q * f + 0.1110881282903986
    q = q * f - 0.1249844096061996
    q = q * f + 0.14285768737458307
    q = q * f - 0.16666695956118452
    q = q * f + 0.19999999433608903
    q = q * f - 0.24999999794486744
    q = q * f + 0.33333333335033066
    q = q * f - 0.5000000000023486
    return f + f * f * q + k * _LN2


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


@kernel
def _add_exchanges(
    counts, groups, stops, selection, swapped, fixed_first, fixed_second, sign_first, sign_second, half, scales, sums
):
    """Add R tokens' terms of `exchange_sums` to ``sums`` [SUMS, W], token by token in the order given.

    For each token:

    1. x [W], its occurrences in the groups that each exchange selects: a sparse row (``counts`` [C] in ``groups``
       uint8 [C], ascending, which end at ``stops`` [R]) times the 0/1 matrix ``selection`` [G, W], of the type of
       ``counts``; and y [W], the same over the groups from ``swapped`` on, whose counts are differences of two sides.
    2. a and b, the two pseudo-sides' occurrences, and from them the five terms with a logarithm each that is needed,
       added to ``sums``. With t = (p - q) / (p + q) the terms 0 and 2 need no division by a share that may be 0:
       p ln(2 p / (p + q)) + q ln(2 q / (p + q)) = (p + q) / 2 ((1 + t) ln(1 + t) + (1 - t) ln(1 - t)), and
       (sqrt p - sqrt q)^2 = (p + q) (1 - sqrt((1 + t) (1 - t))).

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
            p = a * scales[0, w]
            q = b * scales[1, w]
            both = p + q
            t = np.divide(p - q, max(both, _TINY))
            up = 1.0 + t
            down = 1.0 - t
            gap = up * _log(max(up, _TINY)) + down * _log(max(down, _TINY))
            sums[0, w] += 0.5 * both * gap
            sums[1, w] += abs(p - q)
            sums[2, w] += both * (1.0 - np.sqrt(up * down))
            smooth_p = (a + h) * scales[2, w]
            smooth_q = (b + h) * scales[3, w]
            ratio = _log(np.divide(smooth_q, smooth_p))
            sums[3, w] += (smooth_q - smooth_p) * ratio
            sums[4, w] += smooth_q * ratio


class _Rows(NamedTuple):
    """A block of R tokens as sparse rows; see `_add_exchanges`."""

    counts: npt.NDArray[np.float32] | Floats
    groups: npt.NDArray[np.uint8]
    stops: Integers
    first: Floats
    second: Floats
    half: Floats


def exchange_sums(
    groups: Integers | Floats,
    fixed: tuple[Integers | Floats, Integers | Floats],
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

    The occurrences x are a product of matrices, [K, G] times [G, P]. K is the vocabulary and P thousands, so x would
    fill a gigabyte or more. It is never made as a whole, but in tiles that are added up while they are in the cache::

                          P exchanges
                    128    128    128   ...
                  +------+------+------+---
         16,384   | tile | tile | tile |        the tiles of a row are computed at once, one a thread;
         tokens   +------+------+------+---     each thread adds to its own columns of the sums [SUMS, P]
         16,384   |      |      |      |
                  +------+------+------+---

    1. `_blocks` cuts the tokens and makes sparse rows of them. Tokens that both sides hold in full whatever is
       selected (shared documents alone have them) come as one row together.
    2. Counts are float32 while a token's total is exact in it (half the memory traffic), else float64.
    3. `_add_exchanges` computes a tile. A column of sums is added up by one thread, token by token in one order, so the
       sums are the same for any number of workers, and, but for the last bits, on any processor.

    Tokens that no side holds are left out.

    Args:
        groups: int64 or float64 [G, K], the tokens' occurrences by group, G <= 256; multiples of 1/2, whose absolute
            values add up to less than 2^52 over the groups.
        fixed: int64 [K] each.
        signs: -1, 0 or 1 each; a and b must not become negative.
        selection: float64 [G, P], 0 or 1.
        scales: float64 [4, P].
        workers: threads.
        swapped: the first of the groups whose versions are exchanged; None where there are none.

    Returns:
        float64 [SUMS, P].
    """
    tiles = [slice(start, start + _TILE) for start in range(0, selection.shape[1], _TILE)]
    sums = [np.zeros((SUMS, selection[:, tile].shape[1])) for tile in tiles]
    scale = [np.ascontiguousarray(scales[:, tile]) for tile in tiles]
    single = [np.ascontiguousarray(selection[:, tile], dtype=np.float32) for tile in tiles]
    double = [np.ascontiguousarray(selection[:, tile]) for tile in tiles]
    sign_first, sign_second = map(float, signs)

    def add(tile: int, rows: _Rows) -> None:
        matrix = single if rows.counts.dtype == np.float32 else double
        first_swapped = groups.shape[0] if swapped is None else swapped
        _add_exchanges(
            *rows[:3],
            matrix[tile],
            first_swapped,
            *rows[3:5],
            sign_first,
            sign_second,
            rows.half,
            scale[tile],
            sums[tile],
        )

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        pending: list[Future[None]] = []
        for rows in _blocks(groups, *fixed):  # the next block is made while the last one is added
            for future in pending:
                future.result()
            pending = [pool.submit(add, tile, rows) for tile in range(len(tiles))]
        for future in pending:
            future.result()
    return np.concatenate(sums, axis=1)


def _blocks(groups: Integers | Floats, first: Integers | Floats, second: Integers | Floats) -> Iterator[_Rows]:
    """Tokens in blocks, with counts of a type that is exact for them; those in no group make one row in front.

    Both sides hold the same of these, so their shares p and q are in one ratio whatever is selected. Every term is
    linear in shares of one ratio, so that the term of the sum is the sum of the terms.
    """
    totals = np.abs(groups).sum(axis=0)
    alike = (totals == 0) & (first == second)
    fixed = first[alike]
    if fixed.any():
        empty = np.zeros(0, np.float32), np.zeros(0, np.uint8), np.zeros(1, np.int64)
        total = np.array([fixed.sum()], np.float64)
        yield _Rows(*empty, total, total, np.array([np.count_nonzero(fixed) / 2]))
    single = totals <= (_EXACT_SINGLE if groups.dtype.kind == "i" else _EXACT_SINGLE // 2)
    for exact, dtype in ((single, np.float32), (~single, np.float64)):
        tokens = np.flatnonzero(exact & ~alike)
        for start in range(0, len(tokens), _TOKENS_A_BLOCK):
            block = tokens[start : start + _TOKENS_A_BLOCK]
            table = np.ascontiguousarray(groups[:, block].T)
            occurs = table != 0  # cells of truth values are looked through several times as fast as numbers
            cells = np.flatnonzero(occurs)
            number = np.count_nonzero(occurs, axis=1)
            group = cells - np.repeat(np.arange(len(block)) * table.shape[1], number)
            stops = np.cumsum(number)
            half = np.full(len(block), 0.5)
            yield _Rows(
                cast("npt.NDArray[np.float64]", table.ravel()[cells].astype(dtype)),
                group.astype(np.uint8),
                stops,
                first[block].astype(np.float64),
                second[block].astype(np.float64),
                half,
            )
