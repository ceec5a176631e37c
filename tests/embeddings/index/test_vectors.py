"""Vectors of windows: lengths, means by document, and joins that do not depend on the order or number of parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.index.vectors import WindowVectors, document_means, gather, unit
from corpus_audit.schemas.errors import StoreError


def made(names, width=3):
    """Vectors that depend on the window's name alone, as those of a canonical batch do."""
    seeds = [np.random.default_rng(int(name)).normal(size=(2, width)) for name in names]
    both = np.array(seeds, np.float32).reshape(-1, 2, width)
    position = (np.array(names, np.uint64) % np.uint64(5)).astype(np.uint16)
    return WindowVectors.of(np.array(names, np.uint64), both[:, 0], both[:, 1], position)


def equal(first, second):
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("window", "mean", "peak", "norm", "position")
    )


names = st.lists(st.integers(0, 40), max_size=12, unique=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=5))
def test_joined_on_disk_as_in_memory_whatever_the_parts(tmp_path_factory, parts):
    held = [WindowVectors.joined([made(sorted(part)), WindowVectors.empty(3)]) for part in parts]
    whole = made(sorted(set().union(*parts)))
    assert equal(WindowVectors.joined(held), whole if len(whole) else WindowVectors.empty(3))
    folder = tmp_path_factory.mktemp("joined")
    assert equal(gather(held[::-1], 3, folder), WindowVectors.joined(held))
    assert equal(WindowVectors.load(folder), WindowVectors.joined(held))


def test_lengths_are_one_and_kept():
    vectors = WindowVectors.of(
        np.array([7], np.uint64), np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]), np.array([1], np.uint16)
    )
    np.testing.assert_array_equal(vectors.mean, np.array([[0.6, 0.8]], np.float32))
    np.testing.assert_array_equal(vectors.peak, [[0, 0]])
    np.testing.assert_array_equal(vectors.norm, [[5, 0]])
    assert unit(np.array([[1e30, 1e30]], np.float32)).tolist() == [[pytest.approx(2**-0.5)] * 2]


def test_a_document_is_the_mean_of_its_windows():
    vectors = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32)
    of, means = document_means(vectors, np.array([4, 2, 4, 4]))
    assert of.tolist() == [2, 4]
    np.testing.assert_allclose(means, [[0, 1], [2 / 5**0.5, 1 / 5**0.5]], rtol=1e-6)
    assert document_means(vectors[:0], np.empty(0, np.int64))[1].shape == (0, 2)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    made([1, 2, 3]).save(tmp_path)
    np.save(tmp_path / "vector.position.npy", np.zeros(2, np.uint16))
    with pytest.raises(StoreError, match="do not fit"):
        WindowVectors.load(tmp_path)
