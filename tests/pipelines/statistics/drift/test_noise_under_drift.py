"""What chance gives between two sides that differ: closed forms of few occurrences, and drift of a known size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from corpus_audit.pipelines.statistics.drift.divergence import jensen_shannon
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.noise_under_drift import ExchangedTokens, noise_under_drift
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from tests.pipelines.statistics.contrasts import contrast

TOKENS = 3_000
NONE = np.zeros((0, TOKENS), int)


def equal_sides(occurrences: int, burst: int = 1) -> ExchangedTokens:
    """One token between sides of 100 tokens of which all are exchanged."""
    count = np.array([float(occurrences * burst)])
    fixed = np.array([[0.0], count / 100])  # nothing drawn: all of it is on the second side
    return ExchangedTokens(count, np.array([occurrences]), np.array([0.5]), 0.5, fixed, (1 / 100, -1 / 100))


def entropy(pi: float) -> float:
    return float(-pi * np.log2(pi) - (1 - pi) * np.log2(1 - pi))


@pytest.mark.parametrize("pi", [0.5, 0.3, 0.9])
def test_a_token_that_occurs_once_shows_no_drift(pi: float) -> None:
    """It adds 1 / 200 of a bit wherever it is, and phi(pi) = (1 - H(pi)) / 200."""
    noise = float(equal_sides(1).noise(np.array([pi]))[0])
    assert noise == pytest.approx(entropy(pi) / 200, rel=1e-9)


@pytest.mark.parametrize(("occurrences", "shown"), [(1, 0.0), (2, np.log(2)), (3, 0.9548)])
def test_what_a_rare_token_shows_of_a_small_drift(occurrences: int, shown: float) -> None:
    tokens, step = equal_sides(occurrences), 0.01
    at, off = (np.array([0.5 + delta]) for delta in (0.0, step))
    phi = [float(tokens.divergence(tokens.count * pi)[0]) for pi in (at, off)]
    noise = [float(tokens.noise(pi)[0]) for pi in (at, off)]
    assert (phi[1] - phi[0] + noise[1] - noise[0]) / (phi[1] - phi[0]) == pytest.approx(shown, abs=2e-3)


@pytest.mark.parametrize(("occurrences", "burst", "error"), [(5, 3, 1e-9), (64, 1, 1e-9), (200, 2, 0.02)])
def test_noise_is_the_mean_over_what_is_drawn(occurrences: int, burst: int, error: float) -> None:
    tokens, pi = equal_sides(occurrences, burst), 0.35
    drawn = np.arange(occurrences + 1)
    many = replace(tokens, fixed=np.repeat(tokens.fixed, len(drawn), axis=1))
    mean = float(stats.binom.pmf(drawn, occurrences, pi) @ many.divergence(burst * drawn.astype(float)))
    expected = mean - float(tokens.divergence(tokens.count * pi)[0])
    assert float(tokens.noise(np.array([pi]))[0]) == pytest.approx(expected, rel=error)


def test_shares_are_shrunk_to_the_spread_that_drift_has() -> None:
    rng = np.random.default_rng(2)
    occurrences = np.repeat([1, 4, 40, 400], 4_000)
    pi = np.clip(rng.normal(0.5, 0.1, len(occurrences)), 0, 1)
    observed = rng.binomial(occurrences, pi) / occurrences
    count = occurrences.astype(float)
    tokens = ExchangedTokens(count, occurrences, observed, 0.5, np.zeros((2, len(count))), (0.0, 0.0))
    shrunk = tokens.shrunk(0.1**2).reshape(4, -1)
    assert shrunk.std(axis=1) == pytest.approx([0.1] * 4, rel=0.05)
    assert tokens.shrunk(1e-12) == pytest.approx(np.full(len(count), 0.5), abs=1e-3)
    assert tokens.shrunk(1e9) == pytest.approx(observed, abs=1e-6)


def documents(rng: np.random.Generator, size: int, shares: np.ndarray) -> np.ndarray:
    return rng.multinomial(60, shares / shares.sum(), size)


BASE = 1 / (np.arange(TOKENS) + 5.0)
CHANGED = BASE / BASE.sum() * np.exp(0.6 * np.random.default_rng(3).standard_normal(TOKENS))


def snapshots(seed: int, sizes: tuple[int, int, int]) -> tuple[TokenContrast, float]:
    """Documents of independent tokens, most of which are rare; and the divergence of what they were drawn from."""
    rng = np.random.default_rng([seed, *sizes])
    made = contrast(*(documents(rng, n, source) for n, source in zip(sizes, (BASE, CHANGED, BASE), strict=True)))
    before, now = BASE / BASE.sum(), CHANGED / CHANGED.sum()
    mixed = (sizes[1] * now + sizes[2] * before) / (sizes[1] + sizes[2])
    return made, float(jensen_shannon(before, mixed))


@pytest.mark.parametrize("sizes", [(150, 150, 0), (300, 100, 0), (0, 150, 150)])
def test_the_excess_is_the_drift_that_there_is(sizes: tuple[int, int, int]) -> None:
    excess, corrections, truth = [], [], 0.0
    for seed in range(8):
        made, truth = snapshots(seed, sizes)
        distance = drift_summary(made, 99, seed).distances["jsd"]
        assert distance.excess is not None
        excess.append(distance.excess)
        exchange = Exchange.of(made)
        corrections.append(noise_under_drift(exchange, distance.excess, clustered=False))
        assert noise_under_drift(exchange, -0.001, clustered=False) == 0
        assert abs(noise_under_drift(exchange, 1e-9, clustered=False)) < 1e-7
    assert np.mean(excess) == pytest.approx(truth, rel=0.07 if sizes[2] else 0.04)
    assert np.mean(excess) + np.mean(corrections) < 0.95 * truth  # without the correction it would be too low


def test_clusters_count_once() -> None:
    rng = np.random.default_rng(4)
    groups = [np.tile(documents(rng, 64, BASE), (3, 1)) for _ in range(2)]
    made = contrast(*groups, NONE)
    together = replace(made, clustered=True)
    alone, joined = (ExchangedTokens.of(Exchange.of(each), each.clustered) for each in (made, together))
    rare = alone.count == 3
    assert rare.sum() > 100 and (alone.occurrences[rare] == 3).all()
    assert (joined.occurrences <= alone.occurrences).all() and joined.occurrences[rare].mean() < 3
