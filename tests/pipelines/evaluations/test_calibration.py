"""Power and coverage of whole comparisons: nulls at 4 to 6 %, 95 % intervals at 93 to 97 %, power as computed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from corpus_audit.pipelines.evaluations.difference import Difference, paired_difference
from corpus_audit.pipelines.evaluations.pairing import Pairs
from corpus_audit.pipelines.statistics.evaluations.leaks import leak_share
from corpus_audit.pipelines.statistics.evaluations.power import minimum_detectable

pytestmark = pytest.mark.slow

REPLICATES = 3_000


def compared(before: np.ndarray, after: np.ndarray, cluster: np.ndarray | None = None) -> Difference:
    names = pa.nulls(len(before), pa.string())
    return paired_difference(Pairs(before, after, names, names, cluster, 0, 0, 0, 0, 0, None, (1.0, 1.0)))


def simulated(rng: np.random.Generator, items: int, effect: float, kind: str) -> tuple[Difference, float]:
    """A comparison of two simulated models, and the difference of their expected scores."""
    if kind == "clustered":
        sizes = rng.integers(1, 12, items // 6)
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        shared = rng.normal(0, 0.5, len(sizes))[cluster]
        before = rng.normal(0, 1, len(cluster))
        return compared(before, before + effect + shared + rng.normal(0, 0.5, len(cluster)), cluster), effect
    skill = rng.beta(1.5, 1.5, items)
    before = (rng.random(items) < skill).astype(float)
    moved = np.where(skill > 0.5, skill - effect, skill + effect) if effect else skill
    after = (rng.random(items) < moved).astype(float)
    return compared(before, after), 0.0


@pytest.mark.parametrize(("kind", "items"), [("binary", 1_000), ("clustered", 600)])
def test_nulls_are_rejected_at_the_level(kind: str, items: int) -> None:
    rng = np.random.default_rng(11)
    results = [simulated(rng, items, 0.0, kind)[0] for _ in range(REPLICATES)]
    rejected = np.mean([result.p <= 0.05 for result in results])
    covered = np.mean([result.low <= 0 <= result.high for result in results])
    assert 0.04 <= rejected <= 0.06
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("items", [20, 60, 150])
def test_exact_methods_keep_the_level_and_their_intervals_cover(items: int) -> None:
    rng = np.random.default_rng(12)
    rejected, covered = [], []
    for _ in range(600):
        skill = rng.beta(1.5, 1.5, items)
        before, after = (rng.random(items) < skill).astype(float), (rng.random(items) < skill).astype(float)
        result = compared(before, after)
        rejected.append(result.p <= 0.05)
        covered.append(result.low <= 0 <= result.high)
    assert np.mean(rejected) <= 0.055  # exact: never more than the level, and less where counts are few
    assert 0.935 <= np.mean(covered) <= 0.985


def test_a_regression_of_the_detectable_size_is_shown_with_the_stated_power() -> None:
    rng = np.random.default_rng(13)
    items = 1_000
    # Answers of 0 and 1 with expected scores s_i - e and s_i: w^2 = 0 and s^2 = E p (1 - p).
    skill = rng.beta(3, 3, items)
    within = float((skill * (1 - skill)).mean())
    size = minimum_detectable(items, 0.0, (within, within), (1, 1))
    shown, covered = [], []
    for _ in range(REPLICATES):
        before = (rng.random(items) < skill).astype(float)
        after = (rng.random(items) < np.clip(skill - size, 0, 1)).astype(float)
        result = compared(before, after)
        shown.append(result.p <= 0.05)
        covered.append(result.low <= (np.clip(skill - size, 0, 1) - skill).mean() <= result.high)
    assert 0.76 <= np.mean(shown) <= 0.84
    # Skills are fixed here, and an interval for new items is wider than need be: it covers no less.
    assert 0.93 <= np.mean(covered) <= 0.975


def test_leaks_of_known_size_are_covered_and_nulls_kept() -> None:
    rng = np.random.default_rng(14)
    covered, rejected, permuted = [], [], []
    for _ in range(1_000):
        dirty = rng.random(600) < 0.25
        skill = rng.beta(2, 2, 600) * 0.5 + 0.1 * dirty
        before = (rng.random(600) < skill).astype(float)
        after = (rng.random(600) < skill + 0.03).astype(float)
        leaked = (rng.random(600) < skill + 0.03 + 0.3 * dirty).astype(float)
        null = leak_share(before, after, dirty, permutations=199)
        rejected.append(null.p <= 0.05)
        permuted.append(null.p_permuted <= 0.05)
        leak = leak_share(before, leaked, dirty, permutations=1).leak
        covered.append(leak.low <= 0.3 * dirty.mean() <= leak.high)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert 0.035 <= np.mean(rejected) <= 0.065 and 0.03 <= np.mean(permuted) <= 0.065
