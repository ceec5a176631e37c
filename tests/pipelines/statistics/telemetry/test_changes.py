"""Level shifts under autocorrelation, divergence, values that are not finite, gaps and changes of a rate."""

from __future__ import annotations

import numpy as np
import pytest

from corpus_audit.pipelines.statistics.telemetry.interruptions import divergence, gaps, not_finite
from corpus_audit.pipelines.statistics.telemetry.level_shifts import level_shift, windowed_shifts
from corpus_audit.pipelines.statistics.telemetry.rates import rate_changes


def autoregressive(generator: np.random.Generator, n: int, phi: float) -> np.ndarray:
    noise = generator.standard_normal(n + 100)
    series = np.empty(n + 100)
    value = 0.0
    for i, step in enumerate(noise):
        value = phi * value + step
        series[i] = value
    return series[100:]


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
def test_false_alarms_are_rare_under_autocorrelation(phi: float) -> None:
    generator = np.random.default_rng(5)
    results = [level_shift(autoregressive(generator, 300, phi), degree) for degree in (0, 3) for _ in range(150)]
    alarms = sum(result is not None and result.p <= 0.05 for result in results)
    assert 3 <= alarms <= 29  # of 300; 15 are expected, and sqrt(14) is their standard deviation


def test_a_shift_is_found_and_its_interval_covers_it() -> None:
    generator = np.random.default_rng(6)
    covered = near = 0
    for _ in range(60):
        series = autoregressive(generator, 600, 0.4) + 3.0 * (np.arange(600) >= 250) + np.linspace(3, 0, 600)
        result = level_shift(series)
        assert result is not None and result.p < 0.01
        near += abs(result.position - 250) <= 10
        covered += result.low <= 3.0 <= result.high
    assert near >= 50 and covered >= 50
    assert level_shift(np.ones(500)) is None and level_shift(np.arange(50.0)) is None


def test_windows_skip_the_start_and_gaps() -> None:
    generator = np.random.default_rng(7)
    step = np.concatenate([np.arange(1500), np.arange(9000, 10500)])
    values = 10 * (np.arange(3000) + 1.0) ** -0.3 + 0.02 * generator.standard_normal(3000)
    values[2400:] += 0.1
    results = windowed_shifts(step, values)
    assert results[0].start == 300 and all(not (w.start < 1500 < w.stop) for w in results)
    (shown,) = [w for w in results if w.shift.p < 0.005]
    assert abs(shown.position - 2400) <= 5 and shown.shift.low <= 0.1 <= shown.shift.high
    long = windowed_shifts(np.arange(400_000), generator.standard_normal(400_000))
    assert len(long) == 90 and long[-1].stop <= 400_000


def test_a_loss_that_stays_up_has_diverged_and_one_that_recovers_has_not() -> None:
    steps = np.arange(4000)
    loss = 2 + 8 * (steps + 10.0) ** -0.4 + 0.02 * np.random.default_rng(8).standard_normal(4000)
    assert divergence(loss) is None
    recovered = loss + 2.0 * ((steps > 2000) & (steps < 2600))
    assert divergence(recovered) is None
    diverged = loss + 2.0 * (steps >= 3000)
    result = divergence(diverged)
    assert result is not None and abs(result.first - 3000) <= 25 and result.rise == pytest.approx(2.0, abs=0.1)
    assert divergence(diverged[:150]) is None


def test_stretches_that_are_not_finite_and_gaps() -> None:
    values = np.array([1, np.nan, np.inf, 1, 1, np.nan])
    step = np.array([0, 10, 20, 30, 90, 100])
    assert [(s.first, s.last, s.steps) for s in not_finite(values, step)] == [(1, 2, 11), (5, 5, 1)]
    usual, missing = gaps(step)
    assert usual == 10 and [(s.first, s.last, s.steps) for s in missing] == [(3, 4, 50)]
    assert gaps(np.array([1, 2])) == (0, [])


def test_changes_of_a_rate_are_ratios() -> None:
    generator = np.random.default_rng(9)
    seconds = np.exp(0.05 * generator.standard_normal(3000))
    seconds[1000:2200] *= 1.3
    seconds[5] = 200.0
    changes, tests = rate_changes(seconds)
    assert [change.ratio for change in changes] == pytest.approx([1.3, 1 / 1.3], rel=0.02) and tests >= 3
    assert [abs(change.position - at) <= 6 for change, at in zip(changes, (1000, 2200), strict=True)] == [True, True]
    assert rate_changes(np.exp(0.05 * generator.standard_normal(3000)))[0] == []
    assert rate_changes(np.full(50, 1.0)) == ([], 0)
