"""Keys in a sorted table against a set."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.counters.lookup import contains_keys

KEYS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**64 - 1) | st.integers(0, 3)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(KEYS, KEYS)
def test_against_a_set(table: list[tuple[int, int]], requested: list[tuple[int, int]]) -> None:
    requested = requested + table[::2]
    keys = [np.array(column, np.uint64) for column in (zip(*requested, strict=True) if requested else ((), ()))]
    sorted_keys = [np.array(column, np.uint64) for column in (zip(*sorted(table), strict=True) if table else ((), ()))]
    assert contains_keys(keys[0], keys[1], sorted_keys[0], sorted_keys[1]).tolist() == [
        key in set(table) for key in requested
    ]
