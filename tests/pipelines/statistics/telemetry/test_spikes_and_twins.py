"""Local scores against numpy, planted spikes of both kinds, and twins with and without a common order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.statistics.telemetry.spikes import (
    SpikeKind,
    crossings,
    false_share,
    find_spikes,
    local_scores,
    spike_threshold,
)
from corpus_audit.pipelines.statistics.telemetry.twins import InTwin, compare_twins, in_twin

STEPS = np.arange(2000)


def curve(seed: int, noise: np.ndarray | None = None) -> np.ndarray:
    """A loss that falls as a power law, with noise."""
    generator = np.random.default_rng(seed)
    return 2 + 8 * (STEPS + 10.0) ** -0.4 + (0.02 * generator.standard_normal(len(STEPS)) if noise is None else noise)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-5, 5).map(lambda x: round(x, 1)), min_size=21, max_size=60), st.integers(1, 15),
    st.integers(0, 59),
)  # fmt: skip
def test_local_scores_are_those_of_numpy(numbers: list[float], half: int, bad: int) -> None:
    values = np.array(numbers)
    values = np.insert(values, min(bad, len(values)), np.nan)
    scores = local_scores(values, half)
    finite = np.flatnonzero(~np.isnan(values))
    for i, at in enumerate(finite):
        others = np.delete(values[finite], i)[max(0, i - half) : i + half]
        centre = np.median(others)
        deviation = np.median(np.abs(others - centre))
        assert scores.median[at] == pytest.approx(centre) and scores.scale[at] == pytest.approx(1.4826 * deviation)
        if deviation > 1e-9:
            assert scores.z[at] == pytest.approx((values[at] - centre) / (1.4826 * deviation))
    assert np.isnan(scores.z[~np.isfinite(values)]).all()


def test_the_trend_is_no_spike() -> None:
    for seed in range(5):
        assert crossings(local_scores(curve(seed)).z, 6.0) == (0, 0)


def test_a_batch_outlier_and_an_instability() -> None:
    loss, gradient = curve(1), np.exp(0.1 * np.random.default_rng(2).standard_normal(len(STEPS)))
    loss[700] += 0.5
    gradient[1211:1220] *= np.geomspace(2, 900, 9)
    loss[1216:1226] += np.array([0.2, 0.5, 1, 3, 2, 1, 0.8, 0.6, 0.4, 0.2])
    loss[1500:1504] += 0.5
    scores = local_scores(loss)
    threshold = spike_threshold(scores.z)
    outlier, instability, several = find_spikes(scores, loss, threshold, local_scores(gradient).z)
    assert (outlier.peak, outlier.kind, outlier.last) == (700, SpikeKind.BATCH_OUTLIER, 700)
    assert outlier.rise == pytest.approx(0.5, abs=0.1) and outlier.precursor_points == 0
    assert (instability.peak, instability.kind) == (1219, SpikeKind.INSTABILITY)
    assert instability.precursor_points >= 3 and instability.first == 1216
    assert several.kind is SpikeKind.UNDETERMINED
    without = find_spikes(scores, loss, threshold)
    assert {spike.kind for spike in without} == {SpikeKind.UNDETERMINED} and without[0].precursor_z is None


def test_the_threshold_rises_where_dips_are_as_frequent() -> None:
    z = np.concatenate([np.full(5, 7.0), np.full(5, -7.0), np.full(3, 12.0)])
    assert false_share(z, 6.0) == 5 / 8 and spike_threshold(z) == 7.0
    assert false_share(np.zeros(3), 6.0) == 0.0


def test_short_and_constant_series_have_no_scores() -> None:
    assert np.isnan(local_scores(np.arange(20.0)).z).all()
    assert np.isnan(local_scores(np.ones(100)).z).all()


def test_twins_agree_step_by_step_if_the_order_is_the_same() -> None:
    batch = 0.02 * np.random.default_rng(3).standard_normal(len(STEPS))
    own = [0.002 * np.random.default_rng(seed).standard_normal(len(STEPS)) for seed in (4, 5)]
    a, b = curve(0, batch + own[0]), curve(0, batch + own[1])
    a[900] += 1.0  # of this run alone
    a[1100] += 1.0
    b[1100] += 0.9  # in both
    scores = [local_scores(series) for series in (a, b)]
    result = compare_twins(STEPS, a, scores[0], STEPS, b, scores[1])
    assert result is not None and 0.98 < result.low < result.correlation < result.high < 1
    assert result.left_out == 2
    assert in_twin(900, 6.0, STEPS, scores[1])[0] is InTwin.ABSENT
    assert in_twin(1100, 6.0, STEPS, scores[1])[0] is InTwin.PRESENT
    assert in_twin(5000, 6.0, STEPS, scores[1])[0] is InTwin.NOT_LOGGED
    other = curve(9)
    unlike = compare_twins(STEPS, a, scores[0], STEPS, other, local_scores(other))
    assert unlike is not None and unlike.low < 0 < unlike.high
    few = compare_twins(STEPS[:50], a[:50], local_scores(a[:50]), STEPS, b, scores[1])
    assert few is None


def test_the_interval_of_a_correlation_covers_it() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        common = generator.standard_normal(400)
        a, b = (common + generator.standard_normal(400) for _ in range(2))
        scores = [local_scores(series) for series in (a, b)]
        result = compare_twins(np.arange(400), a, scores[0], np.arange(400), b, scores[1])
        assert result is not None
        covered += result.low <= 0.5 <= result.high
    assert covered >= 182  # of 190 expected; four standard deviations
