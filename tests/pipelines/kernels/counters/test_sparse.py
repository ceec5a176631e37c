"""Sparse group counts against dictionaries."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.counters import sparse

ROWS = st.lists(st.dictionaries(st.integers(0, 63), st.integers(1, 2**40), max_size=6), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_merging_adds_counts_group_by_group(rows: list[dict[int, int]], random) -> None:  # type: ignore[no-untyped-def]
    masks = np.array([sum(1 << group for group in row) for row in rows], np.uint64)
    counts = np.array([row[group] for row in rows for group in sorted(row)], np.int64)
    order = list(range(len(rows)))
    random.shuffle(order)
    starts = sorted({0, *random.sample(range(len(rows)), random.randint(0, len(rows) - 1))})
    out_masks, out_counts = sparse.merge_groups(masks, counts, np.array(order, np.int64), np.array(starts, np.int64))
    expected = []
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        total: Counter[int] = Counter()
        for position in order[start:stop]:
            total.update(rows[position])
        expected.append(total)
    assert out_masks.tolist() == [sum(1 << group for group in total) for total in expected]
    assert out_counts.tolist() == [total[group] for total in expected for group in sorted(total)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 63), max_size=8), max_size=10))
def test_masks_of_ragged_groups(rows: list[set[int]]) -> None:
    groups = np.array([group for row in rows for group in sorted(row)], np.uint8)
    stops = np.cumsum([len(row) for row in rows]).astype(np.int64)
    assert sparse.group_masks(groups, stops).tolist() == [sum(1 << group for group in row) for row in rows]
