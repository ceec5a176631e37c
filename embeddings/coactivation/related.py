"""Units that fire together: those whose strongest examples peak on the same tokens of the corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.units import Unit


@dataclass(frozen=True, slots=True)
class RelatedUnit:
    """A unit whose top examples are among those of another.

    Attributes:
        unit: its address.
        tokens: of the other's top examples, how many peak on the same token as one of its own.
        windows: how many are of the same window; at least as many.
        examples: of the other's list.
    """

    unit: Unit
    tokens: int
    windows: int
    examples: int


def related_units(index: Index, unit: str | Unit, k: int, among: np.ndarray | None = None) -> list[RelatedUnit]:
    """Units whose top lists share most peaks with that of a unit, best first; those that share no window are left out.

    Only the top lists are compared: two units that fire together weakly, or everywhere, do not show. Lists keep one
    example of a context, so that the same passage elsewhere may stand for it in the other list.

    Args:
        index: the index.
        unit: the other unit.
        k: the number of units at most.
        among: rows of the units that are compared, int64; all, if None.

    Raises:
        UnitError: there is no such unit.
    """
    row = index.row_of(unit)
    rows, positions = np.asarray(index.array("top.row")), np.asarray(index.array("top.position"))
    empty = len(index.window_names)
    filled = rows[row] != empty
    mine = rows[row][filled].astype(np.int64)
    peaks = mine << 16 | positions[row][filled].astype(np.int64)
    every = np.where(rows != empty, rows.astype(np.int64), -1)
    # A window is in a list once, so that what is counted is examples.
    windows = np.isin(every, mine).sum(axis=1)
    tokens = np.isin(np.where(every >= 0, every << 16 | positions.astype(np.int64), -1), peaks).sum(axis=1)
    windows[row] = 0
    if among is not None:
        windows[~np.isin(np.arange(len(rows)), among)] = 0
    order = np.lexsort((np.arange(len(rows)), -windows, np.where(windows > 0, -tokens, 1)))[:k]
    units = list(index.units())
    return [
        RelatedUnit(units[at], int(tokens[at]), int(windows[at]), int(filled.sum()))
        for at in order.tolist()
        if windows[at]
    ]
