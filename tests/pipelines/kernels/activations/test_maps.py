"""Marks and positions of maxima, against numpy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.activations.maps import first_positions, mark_entering, mark_samples
from corpus_audit.pipelines.kernels.activations.topk_lists import EMPTY, insert_lowest, insert_peaks, insert_samples
from corpus_audit.pipelines.kernels.activations.windows import SAMPLE_BINS


def lists(rows, *shape):
    shape = (rows, *shape)
    columns = (np.full(shape, -np.inf, np.float32), np.full(shape, EMPTY, np.uint64))
    return (*columns, np.zeros(shape, np.uint16), np.zeros(shape, np.uint64))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([1, -1]))
def test_what_enters_a_list_is_marked(seed, k, sign):
    rng = np.random.default_rng(seed)
    kept, floors, contexts = lists(5, k), np.full(5, -np.inf, np.float32), np.arange(9, dtype=np.uint64)[:, None]
    for _ in range(4):
        peak = rng.integers(-3, 4, (9, 3)).astype(np.float32)
        windows = rng.permutation(1000)[:9].astype(np.uint64)
        selected, at = np.flatnonzero(rng.random(9) < 0.8), np.zeros((9, 3), np.int32)
        selected = selected if sign > 0 else np.arange(9)
        marked = np.zeros((9, 3), np.bool_)
        mark_entering(selected, peak, windows, 2, float(sign), kept[0], kept[1], marked)
        worst = kept[0][2:, -1], kept[1][2:, -1]
        for b in range(9):
            for u in range(3):
                enters = (-sign * peak[b, u], windows[b]) < (-worst[0][u], worst[1][u])
                assert marked[b, u] == (enters and b in selected)
        if sign > 0:
            insert_peaks(selected, peak, at, windows, contexts, 2, floors, *kept)
        else:
            insert_lowest(peak, at, windows, contexts, 2, *kept)


def test_every_sample_that_is_inserted_was_marked():
    rng = np.random.default_rng(1)
    kept, floors = lists(4, SAMPLE_BINS, 2), np.full(4, -np.inf, np.float32)
    for step in range(20):
        peak = rng.normal(scale=4, size=(6, 4)).astype(np.float32)
        windows = (rng.permutation(10**6)[:6]).astype(np.uint64)
        marked = np.zeros((6, 4), np.bool_)
        mark_samples(peak, windows, 0, kept[1], marked)
        before = set(kept[1].ravel().tolist())
        insert_samples(peak, np.zeros((6, 4), np.int32), windows, windows[:, None], 0, floors, *kept)
        entered = {(int(w), int(u)) for u in range(4) for w in set(kept[1][u].ravel().tolist()) - before}
        pairs = {(int(windows[b]), u) for b, u in zip(*np.nonzero(marked), strict=True)}
        assert entered <= pairs and (step < 10 or len(pairs) < 24)


def test_the_first_position_of_the_peak():
    rng = np.random.default_rng(2)
    for size in (1, 63, 64, 65, 200):
        maps = rng.integers(-2, 3, (50, size)).astype(np.float32)
        maps[0] = -0.0
        peak = maps.max(1)
        peak[0] = 0.0
        out = np.full(50, -1, np.int32)
        first_positions(maps, peak, out)
        np.testing.assert_array_equal(out, maps.argmax(1))
