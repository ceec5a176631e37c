"""Variance components and leaks: closed forms, exact permutations by enumeration, and planted truth."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.evaluations.leaks import leak_beyond_placebo, leak_share
from corpus_audit.pipelines.statistics.evaluations.noise import noise_parts


def test_one_seed_splits_items_and_epochs_as_one_way_analysis_does() -> None:
    scores = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    parts = noise_parts(scores.ravel(), np.repeat(np.arange(4), 3))
    within = scores.var(axis=1, ddof=1).mean()
    assert parts.epochs == pytest.approx(within)
    assert parts.items == pytest.approx(scores.mean(axis=1).var(ddof=1) - within / 3)
    assert parts.mean_items + parts.mean_epochs == pytest.approx(scores.mean(axis=1).var(ddof=1) / 4)
    assert np.isnan(parts.seeds) and np.isnan(parts.mean_seeds)


def test_planted_components_are_estimated() -> None:
    rng = np.random.default_rng(1)
    items, seeds, epochs = 2000, 12, 3
    cell = rng.normal(0, 0.4, (items, 1)) + rng.normal(0, 0.05, (1, seeds)) + rng.normal(0, 0.2, (items, seeds))
    score = cell[:, :, None] + rng.normal(0, 0.3, (items, seeds, epochs))
    item, seed, _ = np.meshgrid(range(items), range(seeds), range(epochs), indexing="ij")
    parts = noise_parts(score.ravel(), item.ravel(), seed.ravel())
    assert parts.items == pytest.approx(0.16, rel=0.1)
    assert parts.epochs == pytest.approx(0.09, rel=0.03)
    assert parts.interaction == pytest.approx(0.04, rel=0.06)
    assert parts.seeds == pytest.approx(0.0025, rel=0.8)
    assert parts.items_used == items


def test_items_that_a_seed_left_out_are_left_out() -> None:
    parts = noise_parts([1, 0, 1, 0, 1.0], ["a", "a", "b", "b", "c"], [0, 1, 0, 1, 0])
    assert parts.items_used == 2
    with pytest.raises(ValueError, match="two items"):
        noise_parts([1.0, 0.0], ["a", "b"], [0, 1])


def planted(rng: np.random.Generator, leak: float, items: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two models: a gain of 2 points everywhere, and of ``leak`` more on the fifth that is contaminated."""
    dirty = rng.random(items) < 0.2
    skill = rng.beta(2, 2, items) * 0.6 + 0.1 * dirty  # contaminated items are easier from the start
    before = (rng.random(items) < skill).astype(float)
    after = (rng.random(items) < np.minimum(skill + 0.02 + leak * dirty, 1)).astype(float)
    return before, after, dirty


def test_gain_is_clean_gain_and_leak() -> None:
    before, after, dirty = planted(np.random.default_rng(20), 0.2)
    result = leak_share(before, after, dirty)
    assert result.gain.mean == pytest.approx(result.clean.mean + result.leak.value, abs=1e-12)
    difference = after - before
    error = np.sqrt(difference[dirty].var() / dirty.sum() + difference[~dirty].var() / (~dirty).sum())
    assert result.error == pytest.approx(dirty.mean() * error, rel=1e-3)
    assert result.leak.low < 0.2 * dirty.mean() < result.leak.high
    assert result.p < 1e-6 and result.p_permuted == pytest.approx(1e-4)
    assert 0.3 < result.at_ceiling < 0.6


def test_labels_that_say_nothing_show_no_leak() -> None:
    before, after, dirty = planted(np.random.default_rng(3), 0.0)
    result = leak_share(before, after, dirty)
    assert result.leak.low < 0 < result.leak.high and result.p > 0.05 and result.p_permuted > 0.05
    placebo = leak_share(before, after, np.random.default_rng(4).permutation(dirty))
    beyond = leak_beyond_placebo(result, placebo)
    assert beyond.low < 0 < beyond.high


def test_permutations_within_strata_are_those_that_enumeration_gives() -> None:
    before = np.array([0, 0, 0, 0, 1, 1, 1.0])
    after = np.array([1, 1, 0, 0, 1, 0, 1.0])
    dirty = np.array([True, True, False, False, True, False, False])
    gain = after - before
    centred = np.r_[gain[:4] - gain[:4].mean(), gain[4:] - gain[4:].mean()]
    sums = [
        centred[list(first)].sum() + centred[second] for first in combinations(range(4), 2) for second in range(4, 7)
    ]
    exact = np.mean(np.abs(sums) >= abs(centred[dirty].sum()) - 1e-12)
    assert leak_share(before, after, dirty, strata=before).p_permuted == pytest.approx(exact, abs=0.015)


def test_clusters_widen_and_forbid_the_permutation_of_items() -> None:
    before, after, dirty = planted(np.random.default_rng(5), 0.1, 300)
    repeated = [np.repeat(array, 4) for array in (before, after, dirty)]
    clustered = leak_share(*repeated, cluster=np.repeat(np.arange(300), 4))
    assert clustered.error == pytest.approx(leak_share(before, after, dirty).error, rel=1e-9)
    assert np.isnan(clustered.p_permuted)
    with pytest.raises(ValueError, match="two contaminated"):
        leak_share(before, after, np.zeros(300, dtype=bool))
