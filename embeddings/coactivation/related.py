"""Units that fire together: those whose strongest examples peak on the same tokens, or images, of the corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.images.card import ImageCard
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.schemas.units import Unit


@dataclass(frozen=True, slots=True)
class RelatedUnit:
    """A unit whose top examples are among those of another.

    Attributes:
        unit: its address.
        positions: of the other's top examples, how many peak on the same token as one of its own; of image models, at
            the same position of the map, None where the maps of the two differ in size or have one position.
        windows: how many are of the same window, or image; at least as many.
        examples: of the other's list.
    """

    unit: Unit
    positions: int | None
    windows: int
    examples: int


def related_units(index: Index, unit: str | Unit, k: int, among: np.ndarray | None = None) -> list[RelatedUnit]:
    """Units whose top lists share most peaks with that of a unit, best first; those that share no window are left out.

    Of an image model those that share most images come first, as positions are compared in maps of one size alone.

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
    same = np.isin(np.where(every >= 0, every << 16 | positions.astype(np.int64), -1), peaks).sum(axis=1)
    windows[row] = 0
    if among is not None:
        windows[~np.isin(np.arange(len(rows)), among)] = 0
    comparable = _comparable(index, row)
    same[~comparable] = 0
    first, second = (windows, same) if index.facts.of_images else (same, windows)
    order = np.lexsort((np.arange(len(rows)), -second, np.where(windows > 0, -first, 1)))[:k]
    units = list(index.units())
    return [
        RelatedUnit(units[at], int(same[at]) if comparable[at] else None, int(windows[at]), int(filled.sum()))
        for at in order.tolist()
        if windows[at]
    ]


def _comparable(index: Index, row: int) -> np.ndarray:
    """Of which units positions are those of the unit of a row, bool [R]: all, or those with maps of the same size."""
    if not index.facts.of_images:
        return np.ones(len(index.array("indices")), np.bool_)
    fields = ImageCard.from_json(index.facts.model).fields
    shapes = [(len(fields[point].rows), len(fields[point].columns)) for point, _ in index.facts.points]
    point_of = np.repeat(np.arange(len(shapes)), [size for _, size in index.facts.points])
    own = shapes[point_of[row]]
    alike = np.array([shape == own != (1, 1) for shape in shapes], np.bool_)
    units: np.ndarray = alike[point_of]
    return units
