"""False alarms of the level-shift test, and coverage of its shift, under autocorrelation.

    python -m tests.benchmarks.calibration.level_shifts [--series 4000]

Prints, by points, degree of the trend and first-order coefficient, each with its exact 95 % interval: the share of
series without a shift that the test rejects at 5 %, that of a test that takes points as independent, and of series
with a shift of four standard deviations of the noise how many intervals cover it. Exits 1 if false alarms are outside
of 4 to 6 %, or coverage of 93 to 97 %, by more than these intervals.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy.signal import lfilter

from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.pipelines.statistics.telemetry.level_shifts import level_shift

SHIFT = 4.0
"""Standard deviations of the noise."""


def autoregressive(generator: np.random.Generator, series: int, n: int, phi: float) -> np.ndarray:
    """[series, n] of a stationary first-order process with unit innovations."""
    return np.asarray(lfilter([1], [1, -phi], generator.standard_normal((series, n + 200)), axis=1)[:, 200:])


def with_bounds(flags: list[bool]) -> tuple[str, float, float]:
    """(share with its exact interval as text, lower bound, upper bound)."""
    share = float(np.mean(flags))
    low, high = (float(bound[0]) for bound in clopper_pearson([share], [len(flags)]))
    return f"{share:6.1%} [{low:.1%}, {high:.1%}]", low, high


def main() -> int:
    """Print the table; 1 if a cell is outside of its limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=4000)
    series = parser.parse_args().series
    generator = np.random.default_rng(20)
    wrong = 0
    print(f"points degree  phi  {'rejected':22}{'as independent':16}covered")
    for n in (200, 1000):
        for degree in (0, 3):
            for phi in (0.0, 0.2, 0.5, 0.8):
                nulls = autoregressive(generator, series, n, phi)
                tests = [level_shift(row, degree) for row in nulls]
                rejected, low, high = with_bounds([test is not None and test.p <= 0.05 for test in tests])
                plain = [level_shift(row, degree, noise=generator.standard_normal(n)) for row in nulls[:500]]
                naive = float(np.mean([test is not None and test.p <= 0.05 for test in plain]))
                size = SHIFT / np.sqrt(1 - phi**2)
                shifted = [level_shift(row + size * (np.arange(n) >= n // 3), degree) for row in nulls]
                inside = [test is not None and test.low <= size <= test.high for test in shifted]
                covered, least, most = with_bounds(inside)
                outside = high < 0.04 or low > 0.06 or most < 0.93 or least > 0.97
                mark = " !" if outside else ""
                print(f"{n:6d} {degree:6d} {phi:4.1f}  {rejected:22}{naive:<16.1%}{covered}{mark}", flush=True)
                wrong += outside
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
