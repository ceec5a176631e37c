"""Merging cells in dense arrays against a dictionary."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.counters.dense import DenseMerge

CELLS = st.dictionaries(
    st.tuples(st.integers(5, 7), st.integers(0, 40)),
    st.dictionaries(st.integers(0, 63), st.integers(1, 2**40), min_size=1, max_size=5),
    min_size=1,
    max_size=30,
)
"""(domain, number) -> group -> count."""


def columns(part: dict[tuple[int, int], dict[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows = sorted(part)
    cells = np.array([domain << 32 | number for domain, number in rows], np.uint64)
    masks = np.array([sum(1 << group for group in part[row]) for row in rows], np.uint64)
    counts = np.array([part[row][group] for row in rows for group in sorted(part[row])], np.int64)
    totals = np.array([sum(part[row].values()) for row in rows], np.int64)
    return cells, masks, counts, totals


@settings(max_examples=80, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=5))
def test_sums_and_groups_are_those_of_a_dictionary(parts: list[dict[tuple[int, int], dict[int, int]]]) -> None:
    expected: dict[tuple[int, int], Counter[int]] = {}
    for part in parts:
        for row, groups in part.items():
            expected.setdefault(row, Counter()).update(groups)
    cells, masks, counts, totals = zip(*map(columns, parts), strict=True)
    merge = DenseMerge(cells)
    expected_columns = columns({row: dict(groups) for row, groups in expected.items()})
    assert merge.cells.tolist() == expected_columns[0].tolist()
    assert merge.sums(totals).tolist() == expected_columns[3].tolist()
    united, sums = merge.groups(masks, counts)
    assert united.tolist() == expected_columns[1].tolist()
    assert sums.tolist() == expected_columns[2].tolist()


def test_cells_that_lie_far_apart_are_left_to_sorting() -> None:
    near = np.arange(10, dtype=np.uint64)
    assert DenseMerge.is_cheaper([near, near])
    assert not DenseMerge.is_cheaper([near, np.array([10_000], np.uint64)])
    assert not DenseMerge.is_cheaper([near, near + np.uint64(1000 << 32)])
    hidden = np.array([5, 100_000, (1 << 32) + 1], np.uint64)
    assert not DenseMerge.is_cheaper([hidden, hidden])


def test_sums_that_may_not_fit_are_left_to_the_checked_path() -> None:
    assert DenseMerge.fits([np.array([2**60]), np.array([-1])])
    assert not DenseMerge.fits([np.array([2**61]), np.array([1])])
    assert not DenseMerge.fits([np.array([1]), np.array([-(2**61)])])
