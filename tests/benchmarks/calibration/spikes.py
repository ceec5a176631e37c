"""How many of the spikes that are found are chance, and how many of the planted ones are found.

    python -m tests.benchmarks.calibration.spikes [--runs 200]

Runs of 5,000 points: a power law with noise that is normal, dependent from point to point, heavy-tailed on both sides
(Student's t with 4 degrees of freedom), or larger at the start. Half of the runs have ten spikes of 8 to 30 standard
deviations. Prints by noise how many spikes a run without any has, the share of false ones among those that are found in
runs with spikes (the threshold rises until dips suggest at most a tenth), and the share of planted ones that are found.
Exits 1 if more than a tenth is false, as the mean over runs and beyond chance.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy.signal import lfilter

from corpus_audit.pipelines.statistics.telemetry.spikes import (
    FALSE_SHARE,
    find_spikes,
    local_scores,
    spike_threshold,
)

POINTS, SPIKES, NEAR = 5_000, 10, 2
NOISES = ("normal", "dependent", "heavy-tailed", "larger at the start")


def noise_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    """[POINTS] with standard deviation 1, except at a start that scatters more."""
    if kind == "heavy-tailed":
        return rng.standard_t(4, POINTS) / np.sqrt(2)
    noise = rng.standard_normal(POINTS)
    if kind == "dependent":
        return np.asarray(lfilter([1], [1, -0.5], noise)) * np.sqrt(1 - 0.5**2)
    return noise * (1 + 4 * np.exp(-np.arange(POINTS) / 300)) if kind == "larger at the start" else noise


def spikes_of_run(kind: str, rng: np.random.Generator, count: int) -> tuple[int, int]:
    """(spikes found, planted ones among them) of a run with ``count`` spikes."""
    noise = noise_of(kind, rng)
    at = rng.choice(np.arange(200, POINTS - 200, 50), count, replace=False)
    scale = 1 + 4 * np.exp(-at / 300) * (kind == "larger at the start")
    noise[at] += scale * rng.uniform(8, 30, count)
    loss = 1.8 + 9 * (np.arange(POINTS) + 20.0) ** -0.35 + 0.025 * noise
    scores = local_scores(loss)
    spikes = find_spikes(scores, loss, spike_threshold(scores.z))
    return len(spikes), sum(any(abs(spike.peak - each) <= NEAR for each in at) for spike in spikes)


def main() -> int:
    """Print the table; 1 if too many are false."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(21)
    wrong = 0
    print(f"{'noise':22}{'without any':>12}{'false':>8}{'error':>8}{'planted that are found':>24}")
    for kind in NOISES:
        alone = float(np.mean([spikes_of_run(kind, rng, 0)[0] for _ in range(runs)]))
        results = [spikes_of_run(kind, rng, SPIKES) for _ in range(runs)]
        false = np.array([(count - right) / max(count, 1) for count, right in results])
        power = np.mean([right / SPIKES for _, right in results])
        error = float(false.std(ddof=1) / np.sqrt(runs))
        wrong += false.mean() - 1.96 * error > FALSE_SHARE
        print(f"{kind:22}{alone:12.3f}{false.mean():8.1%}{error:8.1%}{power:24.1%}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
