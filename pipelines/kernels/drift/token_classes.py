"""Tokens that are alike before any exchange of document groups: a term is computed once for each state of a class.

Most tokens of a vocabulary are rare, and rare tokens look alike: of 49,000 tokens in 1,500 documents, 44,000 share
their occurrences, on both sides and in the groups that move, with many others. In an exchange such a token is in one of
few states, the occurrences that it has moved, 0 to their number. So the tokens in each state are counted, which needs
no arithmetic, and the sums get each state's term times its number: an eighth of the logarithms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.drift.group_rows import Floats, Integers, Tables, groups_above

MOST_MOVED = 255
"""Occurrences that a token of a class can move: they are counted in bytes."""

_MOST_FIXED = 1 << 24
_TOKENS_A_STATE = 1.5  # with fewer, a token's own terms are as cheap


class TokenClasses(NamedTuple):
    """M classes of N tokens, whose occurrences by group are sparse rows.

    Attributes:
        counts, groups: uint8 [C], occurrences and the groups that they are in.
        starts, stops: int64 [N], the tokens' cells, class by class.
        ends: int64 [M], where the tokens of each class end.
        first, second: float64 [M], what the two sides hold of such a token before anything is exchanged.
        largest: int64 [M], the most occurrences that a token of the class can move.
    """

    counts: npt.NDArray[np.uint8]
    groups: npt.NDArray[np.uint8]
    starts: Integers
    stops: Integers
    ends: Integers
    first: Floats
    second: Floats
    largest: Integers


@kernel
def _fill_cells(groups, above, position, out_counts, out_groups):
    """Cells of every token with a ``position`` [K] of 0 or more, where they begin; it is advanced.

    ``above``: groups of the tables before.
    """
    for g in range(groups.shape[0]):
        for k in range(groups.shape[1]):
            if groups[g, k] != 0 and position[k] >= 0:
                out_counts[position[k]] = groups[g, k]
                out_groups[position[k]] = above + g
                position[k] += 1


def token_classes(
    tables: Tables, first: Integers, second: Integers, largest: Integers, occupied: Integers
) -> tuple[TokenClasses, npt.NDArray[np.bool_]]:
    """Classes of tokens with equal ``first``, ``second`` and ``largest`` that are worth it, and which tokens are left.

    Args:
        tables: [G, K] each, occurrences by up to 256 groups; whole and not below 0 of tokens that may be in a class.
        first, second: int64 [K], what the two sides hold before anything is exchanged.
        largest: int64 [K], the most occurrences that an exchange can move; tokens of more than `MOST_MOVED`, and those
            of less than 0, are left.
        occupied: int64 [K], groups that hold each token.

    Returns:
        The classes; and bool [K], whether a token is in none of them.
    """
    usable = (largest >= 0) & (largest <= MOST_MOVED) & (np.maximum(first, second) < _MOST_FIXED)
    usable &= (np.minimum(first, second) >= 0) & (first + second > 0)  # what no side holds is left out of the sums
    tokens = np.flatnonzero(usable)
    keys = (first[tokens] * _MOST_FIXED + second[tokens]) * (MOST_MOVED + 1) + largest[tokens]
    order = np.argsort(keys)
    tokens, keys = tokens[order], keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(tokens)])
    sizes = np.diff(np.append(begins, len(tokens)))
    worth = sizes > _TOKENS_A_STATE * (largest[tokens[begins]] + 1)
    examples, tokens = tokens[begins[worth]], tokens[np.repeat(worth, sizes)]
    sizes = sizes[worth]
    left = np.ones(len(first), bool)
    left[tokens] = False
    number = np.where(left, 0, occupied)
    stops = np.cumsum(number)
    counts, group = np.empty((2, stops[-1] if len(stops) else 0), np.uint8)
    position = np.where(left, -1, stops - number)
    for groups, above in zip(tables, groups_above(tables), strict=True):
        _fill_cells(groups, above, position, counts, group)
    classes = TokenClasses(
        counts,
        group,
        (stops - number)[tokens],
        stops[tokens],
        np.cumsum(sizes),
        first[examples].astype(np.float64),
        second[examples].astype(np.float64),
        largest[examples],
    )
    return classes, left
