"""The nearest vectors against plain products of all of them, over data that is made to mislead the codes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.index import nearest as module
from corpus_audit.embeddings.index.nearest import encode, nearest
from corpus_audit.pipelines.kernels.activations.vectors import bound_products

KINDS = ("normal", "clustered", "duplicates", "near ties", "equal", "ranges", "wide rows", "integers", "codes", "tiny")
KINDS += ("huge",)


def vectors_of(kind, n, width, rng):
    """float32 [n, width]."""
    normal = rng.normal(size=(n, width))
    centre = rng.normal(size=width)
    made = {
        "normal": normal,
        "clustered": centre + 0.05 * normal,
        "duplicates": normal[rng.integers(0, max(1, n // 4), n)] if n else normal,
        "near ties": centre * (1 + 1e-7 * rng.integers(-3, 4, (n, width))),
        "equal": np.broadcast_to(centre, (n, width)),
        "ranges": normal * 10.0 ** rng.uniform(-44, 37, (n, 1)),
        "wide rows": normal * 10.0 ** rng.uniform(-44, 37, (n, width)),
        "integers": rng.integers(-3, 4, (n, width)) * rng.integers(0, 2, (n, 1)),
        "codes": np.where(np.arange(width) == 0, 127, rng.integers(-127, 128, (n, width))),  # their errors are 0
        "tiny": np.float64(np.float32(1e-45)) * rng.integers(-300, 301, (n, width)),
        "huge": 3.4e38 * np.sign(normal) * rng.integers(0, 2, (n, width)),
    }[kind]
    return np.clip(made, -3.4e38, 3.4e38).astype(np.float32)


def query_of(kind, vectors, rng):
    """float64 [D], not zero."""
    width = vectors.shape[1]
    made = {
        "normal": rng.normal(size=width),
        "one of them": vectors[rng.integers(len(vectors))].astype(np.float64) if len(vectors) else np.zeros(width),
        "one-hot": np.eye(width)[rng.integers(width)] * 7,
        "ranges": rng.normal(size=width) * 10.0 ** rng.uniform(-300, 300, width),
        "tiny": np.full(width, 5e-324),
    }[kind]
    return made if made.any() else np.ones(width)


def scores_of(vectors, query):
    """Plain float64, in the order of the dimensions."""
    exact = query / np.abs(query).max()
    direction = exact / np.linalg.norm(exact)
    return np.cumsum(vectors.astype(np.float64) * direction, axis=1)[:, -1]


def brute_force(vectors, query, k, allowed=None):
    """Rows and scores."""
    scores = scores_of(vectors, query)
    rows = np.lexsort((np.arange(len(vectors)), -scores))
    if allowed is not None:
        rows = rows[allowed[rows]]
    return rows[:k], scores[rows[:k]]


def check(vectors, query, k, allowed=None, **settings):
    result = nearest(vectors, encode(vectors), query, k, allowed, **settings)
    rows, scores = brute_force(vectors, query, k, allowed)
    assert result.rows.tolist() == rows.tolist()
    assert result.scores.tolist() == scores.tolist()
    assert len(rows) <= result.compared <= (len(vectors) if allowed is None else allowed.sum())
    return result


QUERIES = st.sampled_from(("normal", "one of them", "one-hot", "ranges", "tiny"))
WIDTHS = st.sampled_from((1, 2, 3, 7, 16, 33, 384, 2048))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(KINDS),
    QUERIES,
    st.integers(0, 150),
    WIDTHS,
    st.integers(1, 200),
    st.sampled_from((None, 0.0, 0.1, 1.0)),
    st.integers(0, 2**32 - 1),
)
def test_rows_and_scores_are_those_of_brute_force(kind, requested, n, width, k, share, seed):
    rng = np.random.default_rng(seed)
    vectors = vectors_of(kind, n, width, rng)
    allowed = None if share is None else rng.random(n) < share
    check(vectors, query_of(requested, vectors, rng), k, allowed)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), QUERIES, WIDTHS, st.integers(0, 2**32 - 1))
@example("huge", "one-hot", 1, 0)
def test_bounds_hold_for_every_vector(kind, requested, width, seed):
    rng = np.random.default_rng(seed)
    vectors = vectors_of(kind, 12, width, rng)
    query = query_of(requested, vectors, rng)
    held = encode(vectors)
    z, step, missed = module._quantised(module._direction(query))
    assert int(np.abs(z.astype(np.int64)).sum()) * 127 < 2**31
    upper, reach = np.empty(12), 127 * np.sqrt(width) * missed
    for i, score in enumerate(scores_of(vectors, query)):
        heap = np.full(1, -np.inf)
        everywhere = np.empty(0, np.bool_)
        bound_products(held.codes, held.scale, held.error, z, step, reach, everywhere, i, i + 1, upper, heap)
        assert heap[0] <= score <= upper[i]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), WIDTHS, st.integers(0, 2**32 - 1))
def test_errors_of_codes_hold(kind, width, seed):
    vectors = vectors_of(kind, 12, width, np.random.default_rng(seed))
    held = encode(vectors)
    apart = vectors.astype(np.longdouble) - held.scale[:, None].astype(np.longdouble) * held.codes
    assert (np.sqrt((apart**2).sum(axis=1)) <= held.error).all()
    assert held.codes.min() >= -127


def missed_without_errors():
    """A is nearest, but its code holds nothing of what makes it so; B's code holds all."""
    return np.array([[1.27, 0.3], [127, 0.49]], np.float32), np.array([0.0, 1.0])


def test_without_errors_of_codes_a_vector_is_missed():
    vectors, query = missed_without_errors()
    held = encode(vectors)
    assert nearest(vectors, held, query, 1).rows.tolist() == [1]
    assert nearest(vectors, replace(held, error=np.zeros(2, np.float32)), query, 1).rows.tolist() == [0]


def test_without_the_error_of_the_query_a_vector_is_missed(monkeypatch):
    vectors, query = np.array([[1e-5, 0], [0, 127]], np.float32), np.array([1, 1e-6])
    held = encode(vectors)
    assert nearest(vectors, held, query, 1).rows.tolist() == [1]
    quantised = module._quantised
    monkeypatch.setattr(module, "_quantised", lambda direction: (*quantised(direction)[:2], 0.0))
    assert nearest(vectors, held, query, 1).rows.tolist() == [0]


@pytest.mark.parametrize("width", [2047, 2048])
def test_sums_do_not_overflow(width):
    vectors = np.ones((3, width), np.float32)
    vectors[1] = -1
    result = check(vectors, np.ones(width), 3)
    assert result.scores == pytest.approx([np.sqrt(width)] * 2 + [-np.sqrt(width)])


def test_mapped_vectors_in_threads(tmp_path):
    rng = np.random.default_rng(3)
    vectors = vectors_of("duplicates", 130_000, 8, rng)
    held = encode(vectors)
    arrays = {"vectors": vectors, "codes": held.codes, "scale": held.scale, "error": held.error}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays}
    read = module.Codes(mapped["codes"], mapped["scale"], mapped["error"])
    query, allowed = rng.normal(size=8), rng.random(130_000) < 0.5
    rows, scores = brute_force(vectors, query, 30, allowed)
    for workers in (1, 2, 5):
        result = nearest(mapped["vectors"], read, query, 30, allowed, workers)
        assert result.rows.tolist() == rows.tolist() and result.scores.tolist() == scores.tolist()
        assert result.compared < 10_000
    equal = np.ones((110_000, 2), np.float32)  # nothing is ruled out, the first are returned
    result = nearest(equal, encode(equal), np.ones(2), 3)
    assert result.rows.tolist() == [0, 1, 2] and result.compared == 110_000


def test_most_rows_are_ruled_out():
    rng = np.random.default_rng(4)
    vectors = vectors_of("normal", 20_000, 64, rng)
    assert check(vectors, rng.normal(size=64), 20).compared < 100


@pytest.mark.parametrize("query", [[0, 0], [np.nan, 1], [np.inf, 1], [-np.inf, np.nan]])
def test_queries_without_a_direction_are_refused(query):
    vectors = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="the query is zero, or"):
        nearest(vectors, encode(vectors), np.array(query, np.float64), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused(value):
    vectors = np.ones((5, 3), np.float32)
    vectors[4, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        encode(vectors)


def test_shapes_that_do_not_fit_are_refused():
    vectors = np.ones((5, 3), np.float32)
    held, query = encode(vectors), np.ones(3)
    for wrong in (
        lambda: nearest(vectors, held, np.ones(4), 1),
        lambda: nearest(vectors[:4], held, query, 1),
        lambda: nearest(vectors, replace(held, scale=held.scale[:4]), query, 1),
        lambda: nearest(vectors, held, query, 1, np.ones(4, np.bool_)),
    ):
        with pytest.raises(ValueError, match="shapes differ"):
            wrong()
    with pytest.raises(ValueError, match="k is 0"):
        nearest(vectors, held, query, 0)
