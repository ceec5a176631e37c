"""Tables of hash groups by token, [G, K]: made from bit masks, and read as sparse rows of a token each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.counters.bits import lowest_bit

Floats = npt.NDArray[np.float64]

Integers = npt.NDArray[np.int64]

_TOKENS_A_BLOCK = 1 << 14
_EXACT_SINGLE = 1 << 24  # float32 holds every integer up to here; every multiple of 1/2 up to half of it


Tables = Sequence[Integers | Floats]
"""Tables of hash groups [G, K] over the same tokens, the groups of one below those of the one before."""


class TokenRows(NamedTuple):
    """A block of R tokens as sparse rows over hash groups.

    Attributes:
        counts: occurrences in a group, [C], other than 0.
        groups: the groups, uint8 [C], ascending within a token.
        stops: where each token's groups end, int64 [R].
        first, second: what the two sides hold of the token whatever is exchanged, float64 [R].
        half: 1/2 for each token that the row stands for, float64 [R].
    """

    counts: npt.NDArray[np.float32] | Floats
    groups: npt.NDArray[np.uint8]
    stops: Integers
    first: Floats
    second: Floats
    half: Floats


class TokenTotals(NamedTuple):
    """Totals over the groups of a table [G, K], [K] each, of the table's type.

    Attributes:
        absolute: sum of absolute values.
        largest: the largest value, at least 0.
        occupied: groups with a value other than 0, int64.
    """

    absolute: npt.NDArray[Any]
    largest: npt.NDArray[Any]
    occupied: Integers


@kernel
def _add_totals(groups, absolute, largest, occupied):
    for g in range(groups.shape[0]):
        for k in range(groups.shape[1]):
            value = groups[g, k]
            absolute[k] += abs(value)
            largest[k] = max(largest[k], value)
            occupied[k] += value != 0


def token_totals(tables: Tables) -> TokenTotals:
    """Totals of the tokens of some tables, int64 or float64 [G, K] each, over all of their groups."""
    size, dtype = tables[0].shape[1], tables[0].dtype
    totals = TokenTotals(np.zeros(size, dtype), np.zeros(size, dtype), np.zeros(size, np.int64))
    for groups in tables:
        _add_totals(groups, *totals)
    return totals


@kernel
def _fill_rows(groups, above, tokens, position, out_counts, out_groups):
    """``position`` [R], where each token's cells of this table begin, is advanced; ``above``: groups before them."""
    for g in range(groups.shape[0]):
        for r in range(len(tokens)):
            value = groups[g, tokens[r]]
            if value != 0:
                at = position[r]
                out_counts[at] = value
                out_groups[at] = above + g
                position[r] = at + 1


def groups_above(tables: Tables) -> list[int]:
    """The number of the first group of each table."""
    return [sum(len(table) for table in tables[:i]) for i in range(len(tables))]


def token_rows(
    tables: Tables,
    first: Integers | Floats,
    second: Integers | Floats,
    totals: TokenTotals,
    wanted: npt.NDArray[np.bool_],
) -> Iterator[TokenRows]:
    """Tokens in blocks of sparse rows, those in no group as one row in front, those that no side holds left out.

    Counts are float32 where that holds a token's total exactly, which halves the memory traffic, else float64: the
    tokens of float32 come first, each kind in ascending order.

    Both sides hold the same of the tokens in front, so their shares p and q are in one ratio whatever is exchanged:
    every term that is linear in shares of one ratio is, of the sum, the sum of the terms.

    Args:
        tables: int64 or float64 [G, K] each and of one type, occurrences by group, the groups of one below those of the
            other, up to 256; multiples of 1/2.
        first, second: [K], what the two sides hold whatever is exchanged.
        totals: those of ``tables``.
        wanted: bool [K], the tokens.
    """
    alike = wanted & (totals.occupied == 0) & (first == second)
    fixed = first[alike]
    if fixed.any():
        empty = np.zeros(0, np.float32), np.zeros(0, np.uint8), np.zeros(1, np.int64)
        total = np.array([fixed.sum()], np.float64)
        yield TokenRows(*empty, total, total, np.array([np.count_nonzero(fixed) / 2]))
    single = totals.absolute <= (_EXACT_SINGLE if tables[0].dtype.kind == "i" else _EXACT_SINGLE // 2)
    for exact, dtype in ((single, np.float32), (~single, np.float64)):
        tokens = np.flatnonzero(exact & wanted & ~alike)
        for start in range(0, len(tokens), _TOKENS_A_BLOCK):
            block = tokens[start : start + _TOKENS_A_BLOCK]
            number = totals.occupied[block]
            stops = np.cumsum(number)
            counts, group = np.empty(stops[-1], dtype), np.empty(stops[-1], np.uint8)
            position = stops - number
            for groups, above in zip(tables, groups_above(tables), strict=True):
                _fill_rows(groups, above, block, position, counts, group)
            yield TokenRows(
                counts,
                group,
                stops,
                first[block].astype(np.float64),
                second[block].astype(np.float64),
                np.full(len(block), 0.5),
            )


@kernel
def _add_masked(groups, columns, masks, counts):
    at = 0
    for row in range(len(masks)):
        column = columns[row]
        mask = masks[row]
        while mask != 0:
            groups[lowest_bit(mask), column] += counts[at]
            at += 1
            mask &= mask - np.uint64(1)


def add_masked(
    groups: Integers, columns: Integers, masks: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64]
) -> None:
    """Add rows of group counts to a table in place.

    Args:
        groups: int64 [64, K], which is added to.
        columns: int64 [N], the column of each row.
        masks: uint64 [N], a bit for each group in which the row has a count.
        counts: int64, the rows' counts, one for each set bit from the lowest.
    """
    _add_masked(groups, columns, masks, counts)


@kernel
def _add_moments(groups, linear, square, products, squares):
    for g in range(groups.shape[0]):
        for k in range(groups.shape[1]):
            if groups[g, k] != 0:
                value = np.float64(groups[g, k])
                products[g] += value * linear[k]
                squares[g] += value * value * square[k]


def weighted_moments(groups: Integers, linear: Floats, square: Floats) -> tuple[Floats, Floats]:
    """Each group's sum of values times ``linear`` [K], and of squared values times ``square`` [K]; float64 [G] each."""
    products, squares = np.zeros((2, len(groups)))
    _add_moments(groups, linear, square, products, squares)
    return products, squares
