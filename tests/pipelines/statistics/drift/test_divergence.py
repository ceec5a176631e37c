"""Distances between token distributions against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from corpus_audit.pipelines.statistics.drift import divergence

ONE = np.array([5, 3, 0, 2, 90])
TWO = np.array([1, 1, 8, 0, 40])


def test_jensen_shannon_is_scipys() -> None:
    assert divergence.jensen_shannon_root(ONE, TWO) == pytest.approx(jensenshannon(ONE, TWO, base=2), abs=1e-12)
    assert divergence.jensen_shannon(ONE, TWO) == pytest.approx(jensenshannon(ONE, TWO, base=2) ** 2, abs=1e-12)


def test_bounds_of_distributions_that_share_nothing() -> None:
    left, right = np.array([4, 0]), np.array([0, 9])
    assert divergence.jensen_shannon(left, right) == pytest.approx(1.0)
    assert divergence.total_variation(left, right) == pytest.approx(1.0)
    assert divergence.hellinger(left, right) == pytest.approx(1.0)


def test_closed_forms() -> None:
    left, right = np.array([1, 3]), np.array([1, 1])
    assert divergence.total_variation(left, right) == pytest.approx(0.25)
    expected = np.sqrt(1 - (np.sqrt(0.25 * 0.5) + np.sqrt(0.75 * 0.5)))
    assert divergence.hellinger(left, right) == pytest.approx(expected)


def test_smoothed_divergences() -> None:
    p, q = (ONE + 0.5) / (ONE.sum() + 2.5), (TWO + 0.5) / (TWO.sum() + 2.5)
    assert divergence.kullback_leibler(ONE, TWO) == pytest.approx(entropy(q, p, base=2))
    assert divergence.population_stability(ONE, TWO) == pytest.approx(entropy(p, q) + entropy(q, p))


@pytest.mark.parametrize("name", ["jensen_shannon", "total_variation", "hellinger", "population_stability"])
def test_equal_distributions_are_no_distance_apart(name: str) -> None:
    assert getattr(divergence, name)(ONE, ONE) == pytest.approx(0.0, abs=1e-7)
