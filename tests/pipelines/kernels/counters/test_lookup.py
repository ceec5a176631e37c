"""Keys in a sorted table against a set."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.counters.lookup import found

KEYS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**64 - 1) | st.integers(0, 3)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(KEYS, KEYS)
def test_against_a_set(table: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    wanted = wanted + table[::2]
    both = [np.array(column, np.uint64) for column in (zip(*wanted, strict=True) if wanted else ((), ()))]
    held = [np.array(column, np.uint64) for column in (zip(*sorted(table), strict=True) if table else ((), ()))]
    assert found(both[0], both[1], held[0], held[1]).tolist() == [key in set(table) for key in wanted]
