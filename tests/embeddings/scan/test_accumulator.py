"""What is kept of all units, against plain Python; parts of a corpus in any order and cut come to the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, BatchRows
from corpus_audit.schemas.errors import AuditError, UsageError
from tests.embeddings.made import SIZES, add, state_of, values_of, windows_from

ROWS = 5
TEXTS = [
    "a b c d e f g h i j k l",
    "the quick brown fox",
    "a b c d e f g h i j k l",
    "x",
    "m n o p q r s t u v w x y z",
]
NAMES, OF = ["books", "web"], [0, 1, 1, 0, 1]


def whole():
    windows, _ = windows_from(TEXTS)
    return windows, state_of(windows, ROWS, NAMES, OF)


def same(a, b, order=None):
    """Whether two accumulators hold the same; sums of floats within rounding."""
    positions = [b.domains.index(name) for name in a.domains]
    for name, array in a.arrays().items():
        other = b.arrays()[name]
        if name in ("fired", "total", "tokens", "documents", "windows") or name.startswith("domain."):
            other = other[positions]
        if name == "total":
            np.testing.assert_allclose(array, other, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(array, other, err_msg=name)


def test_highest_and_lowest_are_those_of_brute_force():
    windows, state = whole()
    values = values_of(windows, ROWS)
    for row in range(ROWS):
        best = {}
        for i in range(len(windows)):
            for t in range(windows.offsets[i], windows.offsets[i + 1]):
                if windows.counted[t]:
                    best.setdefault(i, []).append((float(values[t, row]), -t))
        peaks = [(*max(result), int(windows.ids[i, 0])) for i, result in best.items()]
        contexts = {}
        for value, t, window in peaks:
            context = int(windows.contexts[-t])
            if context not in contexts or (-value, window) < contexts[context]:
                contexts[context] = (-value, window)
        expected = sorted(contexts.values())[: SIZES.top]
        filled = state.top.filled[row]
        result = list(
            zip((-state.top.value[row][filled]).tolist(), state.top.window[row][filled].tolist(), strict=True)
        )
        assert result == expected
        lowest = min(min(v for v, _ in result) for result in best.values())
        assert state.minima.value[row, 0] == -np.float32(lowest)


def test_special_tokens_and_what_does_not_count_are_never_examples():
    windows, state = whole()
    for lists in (state.top, state.minima, *state.by_domain):
        for window, position in zip(lists.window[lists.filled], lists.position[lists.filled], strict=True):
            i = int(np.flatnonzero(windows.ids[:, 0] == window)[0])
            assert windows.counted[windows.offsets[i] + position]


def test_sums_and_counts():
    windows, state = whole()
    values = values_of(windows, ROWS)
    counted = windows.counted
    np.testing.assert_allclose(state.total.sum(axis=(0, 1)), values[counted].sum(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(state.fired.sum(axis=(0, 1)), (values[counted] > 0).sum(axis=0))
    assert state.tokens.sum() == counted.sum() == 12 + 4 + 12 + 1 + 14
    assert state.windows.sum() == len(windows)


def test_histograms_follow_numpy():
    windows, _ = windows_from(TEXTS * 30)
    state = state_of(windows, ROWS, NAMES, OF * 30)
    values = values_of(windows, ROWS)
    candidates = np.zeros(len(values), bool)
    for i in np.flatnonzero(windows.ids[:, 0] % np.uint64(16) == 0):
        candidates[windows.offsets[i] : windows.offsets[i + 1]] = True
    candidates &= windows.counted
    assert candidates.any()
    edges = np.concatenate([[-np.inf], histogram_edges(), [np.inf]])
    for row in range(ROWS):
        expected, _ = np.histogram(values[candidates, row], edges)
        np.testing.assert_array_equal(state.histogram[row], expected)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(9)), st.sets(st.integers(1, 8), max_size=3))
def test_any_cut_and_order_gives_the_same(order, cuts):
    windows, expected = whole()
    assert len(windows) == 9
    parts = np.split(np.array(order), sorted(cuts))
    states = [state_of(windows, ROWS, NAMES, OF, selected=part) for part in parts]
    merged = states[-1]
    for state in states[:-1]:
        merged.merge(state)
    same(expected, merged)


def test_lists_of_a_part_that_comes_twice_are_the_same():
    windows, state = whole()
    again = state_of(windows, ROWS, NAMES, OF, selected=range(4))
    before = state.top.window.copy(), state.samples.window.copy()
    state.merge(again)
    np.testing.assert_array_equal(before[0], state.top.window)
    np.testing.assert_array_equal(before[1], state.samples.window)


def test_it_comes_back_from_its_arrays():
    _, state = whole()
    same(state, ActivationAccumulator.from_arrays(state.arrays(), SIZES, state.floors, state.domains))


def test_what_is_no_number_is_refused():
    state = ActivationAccumulator(1, SIZES, np.full(1, -np.inf, np.float32))
    batch = BatchRows(np.zeros(1, np.uint64), state.positions_of(["a"]), np.zeros(1, np.int64), np.ones((1, 2), bool),
                      np.zeros((1, 2), np.uint64))  # fmt: skip
    with pytest.raises(AuditError, match="not finite"):
        add(state, batch, np.array([[[np.nan], [1.0]]], np.float32))


def test_too_many_domains_are_refused():
    state = ActivationAccumulator(1, SIZES, np.full(1, -np.inf, np.float32))
    with pytest.raises(UsageError, match=r"embedding\.domains"):
        state.positions_of([str(i) for i in range(65)])
