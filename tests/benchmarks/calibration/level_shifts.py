"""False alarms of the level-shift test, and coverage and power of its shift, under autocorrelation.

    python -m tests.benchmarks.calibration.level_shifts [--series 2000]

Prints, by points, degree of the trend and first-order coefficient, the share of series without a shift that the test
rejects at 5 %, that of a test that takes points as independent, and of series with a shift of four standard
deviations of the noise how many intervals cover it. Exits 1 if a share of false alarms is outside of 3.5 to 7 % (with
2,000 series its own standard deviation is 0.5 %).
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy.signal import lfilter

from corpus_audit.pipelines.statistics.telemetry.level_shifts import level_shift


def autoregressive(generator: np.random.Generator, series: int, n: int, phi: float) -> np.ndarray:
    """[series, n] of a stationary first-order process with unit innovations."""
    return lfilter([1], [1, -phi], generator.standard_normal((series, n + 200)), axis=1)[:, 200:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=2000)
    series = parser.parse_args().series
    generator = np.random.default_rng(20)
    wrong = 0
    print("points degree  phi  rejected  as independent  covered")
    for n in (200, 1000):
        for degree in (0, 3):
            for phi in (0.0, 0.2, 0.5, 0.8):
                nulls = autoregressive(generator, series, n, phi)
                tests = [level_shift(row, degree) for row in nulls]
                rejected = float(np.mean([test is not None and test.p <= 0.05 for test in tests]))
                plain = [level_shift(row, degree, noise=generator.standard_normal(n)) for row in nulls[:500]]
                naive = float(np.mean([test is not None and test.p <= 0.05 for test in plain]))
                size = 4 / np.sqrt(1 - phi**2)
                shifted = [level_shift(row + size * (np.arange(n) >= n // 3), degree) for row in nulls[:500]]
                covered = float(np.mean([test is not None and test.low <= size <= test.high for test in shifted]))
                print(f"{n:6d} {degree:6d} {phi:4.1f} {rejected:8.1%} {naive:14.1%} {covered:9.1%}", flush=True)
                wrong += not 0.035 <= rejected <= 0.07
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
