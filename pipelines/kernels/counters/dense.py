"""Merging tables of cells (domain, number) by adding into dense arrays: no sort, one pass a column, without the GIL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpus_audit.pipelines.kernels.compiler.jit import inlined, kernel
from corpus_audit.pipelines.kernels.counters.bits import add_group_counts, take_group_sums

MAX_SLOTS_A_ROW = 8
"""Slots of a dense array a row of the tables; with more, sorting is cheaper."""


@inlined
def _slot(cell, first, width):
    return ((cell >> np.uint64(32)) - first) * width + (cell & np.uint64(0xFFFFFFFF))


@kernel
def _widest(cells):
    width = np.uint64(0)
    for cell in cells:
        width = max(width, cell & np.uint64(0xFFFFFFFF))
    return width


@kernel
def _mark_slots(cells, first, width, rows):
    for cell in cells:
        rows[_slot(cell, first, width)] = 1


@kernel
def _number_slots(first, width, rows, out):
    """Turn marks into row numbers and write the cell of every row into ``out``; returns the number of rows."""
    n = 0
    for slot in range(len(rows)):
        if rows[slot]:
            out[n] = ((first + np.uint64(slot) // width) << np.uint64(32)) | (np.uint64(slot) % width)
            rows[slot] = n
            n += 1
    return n


@kernel
def _rows(cells, first, width, rows, out):
    for i in range(len(cells)):
        out[i] = rows[_slot(cells[i], first, width)]


@kernel
def _add(rows, values, sums):
    for i in range(len(rows)):
        sums[rows[i]] += values[i]


@kernel
def _largest(values):
    largest = np.int64(0)
    for value in values:
        largest = max(largest, abs(value))
    return largest


@kernel
def _add_groups(rows, masks, counts, cursors, at, size, out_masks, out_counts):
    """Rows of all parts, one part after the other; ``cursors`` [parts + 1] and ``at`` [parts] are where parts begin."""
    sums = np.zeros(64, np.int64)
    parts = len(at)
    stops = cursors[1:].copy()
    n = 0
    # Rows ascend within a part, so that a cursor a part finds those of each merged row without a search.
    for row in range(size):
        union = np.uint64(0)
        for part in range(parts):
            i = cursors[part]
            if i < stops[part] and rows[i] == row:
                cursors[part] = i + 1
                union |= masks[i]
                at[part] = add_group_counts(masks[i], counts, at[part], sums)
        out_masks[row] = union
        n = take_group_sums(union, sums, out_counts, n)
    return n


class DenseMerge:
    """The mapping from rows of several tables of cells to the M rows of their merged table.

    Attributes:
        cells: uint64 [M], the merged table's cells, ascending.
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        """``parts`` are the cells of each table, uint64, ascending; none is empty."""
        first = np.uint64(min(int(cells[0]) for cells in parts) >> 32)
        width = np.uint64(max(int(_widest(cells)) for cells in parts) + 1)
        domains = (max(int(cells[-1]) for cells in parts) >> 32) - int(first) + 1
        numbers = np.zeros(domains * int(width), np.int32)
        for cells in parts:
            _mark_slots(cells, first, width, numbers)
        out = np.empty(min(len(numbers), sum(map(len, parts))), np.uint64)
        size = _number_slots(first, width, numbers, out)
        self.cells = out[:size]
        self._rows = [np.empty(len(cells), np.int32) for cells in parts]
        for cells, rows in zip(parts, self._rows, strict=True):
            _rows(cells, first, width, numbers, rows)

    @staticmethod
    def is_cheaper(parts: Sequence[np.ndarray]) -> bool:
        """Whether merging in dense arrays is cheaper than sorting: the cells must be dense enough."""
        domains = (max(int(cells[-1]) for cells in parts) >> 32) - (min(int(cells[0]) for cells in parts) >> 32) + 1
        # A cheap lower bound before every number is read: the last cell of a table of one domain has its largest.
        least_width = max(int(cells[-1]) & 0xFFFFFFFF for cells in parts) + 1
        affordable = MAX_SLOTS_A_ROW * sum(map(len, parts))
        if domains * least_width > affordable:
            return False
        return domains * (max(int(_widest(cells)) for cells in parts) + 1) <= affordable

    @staticmethod
    def fits(values: Sequence[np.ndarray]) -> bool:
        """Whether sums over the parts certainly fit into int64."""
        # Half of int64, as in `merging`: larger counts are merged there by sorting, which raises instead of wrapping.
        return max(int(_largest(column)) for column in values) * len(values) < 2**62

    def sums(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Sums of the parts' values, int64 [M]; wraps on overflow."""
        total = np.zeros(len(self.cells), np.int64)
        for rows, column in zip(self._rows, values, strict=True):
            _add(rows, column, total)
        return total

    def groups(self, masks: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Group masks united, uint64 [M], and the counts of every set bit added up, int64."""
        cursors = np.cumsum([0, *map(len, masks)])
        at = np.cumsum([0, *map(len, counts[:-1])])
        united = np.empty(len(self.cells), np.uint64)
        sums = np.empty(sum(map(len, counts)), np.int64)
        size = _add_groups(
            np.concatenate(self._rows),
            np.concatenate(masks),
            np.concatenate(counts),
            cursors,
            at,
            len(united),
            united,
            sums,
        )
        return united, sums[:size].copy()
