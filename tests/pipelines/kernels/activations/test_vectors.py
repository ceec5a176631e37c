"""Products and their bounds against plain Python."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.activations.vectors import bound_products, products

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.sampled_from((0, 1, 5, 16, 100)), st.integers(1, 50), st.booleans(), SEEDS)
def test_bounds_and_the_largest_of_the_lower_ones(n, width, k, masked, seed):
    rng = np.random.default_rng(seed)
    codes = rng.choice([-127, -126, -1, 0, 1, 2, 127], (n, width)).astype(np.int8)
    scale, error = rng.integers(0, 4, n).astype(np.float32), rng.integers(0, 1000, n).astype(np.float32)
    query = np.full(width, 32767) if seed % 2 else rng.integers(-32767, 32768, width)
    allowed = rng.random(n) < 0.7 if masked else np.empty(0, np.bool_)
    upper, heap = np.full(n, np.nan), np.full(k, -np.inf)
    for first, last in ((0, n // 3), (n // 3, n)):
        bound_products(codes, scale, error, query.astype(np.int16), 0.5, 3.0, allowed, first, last, upper, heap)
    lower = []
    for i in range(n):
        about = sum(int(code) * int(part) for code, part in zip(codes[i], query, strict=True)) * 0.5 * float(scale[i])
        around = 3.0 * float(scale[i]) + float(error[i])
        if masked and not allowed[i]:
            assert np.isnan(upper[i])
        else:
            assert upper[i] == about + around
            lower.append(about - around)
    largest = sorted(lower)[-k:]
    assert sorted(heap.tolist()) == [-np.inf] * (k - len(largest)) + largest and heap[0] == min(heap)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.sampled_from((0, 1, 5, 16, 100)), SEEDS)
def test_products_are_summed_in_order(n, width, seed):
    rng = np.random.default_rng(seed)
    vectors, query = rng.normal(size=(n, width)).astype(np.float32), rng.normal(size=width)
    rows = rng.integers(0, n, 10)
    out = np.empty(10)
    products(vectors, query, rows, out)
    for row, product in zip(rows, out.tolist(), strict=True):
        total = 0.0
        for value, part in zip(vectors[row].tolist(), query.tolist(), strict=True):
            total += value * part
        assert product == total
