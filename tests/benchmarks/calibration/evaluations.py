"""How often a comparison of evaluations is wrong where the truth is known.

``python -m tests.benchmarks.calibration.evaluations [--replicates N]``

Simulates pairs of models: right or wrong answers of independent items (20 to 1,000 of them), real-valued scores in
clusters of unequal size, and leaks. Prints the share of nulls that are rejected at 5 %, the coverage of 95 % intervals,
and the power for a difference as large as the MDE (80 % if it is right). Exits 1 if paired t-tests reject more or fewer
than 4 to 6 % of nulls, exact ones more than 5.5 %, or an interval covers less than 93 %.
"""

from __future__ import annotations

import argparse

import numpy as np

from corpus_audit.pipelines.evaluations.difference import FEW
from corpus_audit.pipelines.statistics.evaluations.leaks import leak_share
from corpus_audit.pipelines.statistics.evaluations.power import minimum_detectable
from tests.pipelines.evaluations.test_calibration import compared, simulated

CASES = (("binary", 20), ("binary", 60), ("binary", 150), ("binary", 400), ("binary", 1_000), ("clustered", 600))


def nulls(kind: str, items: int, replicates: int) -> tuple[float, float]:
    """Share of nulls rejected, and coverage of the difference of 0."""
    rng = np.random.default_rng(items)
    results = [simulated(rng, items, 0.0, kind)[0] for _ in range(replicates)]
    rejected = [result.p <= 0.05 for result in results]
    return float(np.mean(rejected)), float(np.mean([result.low <= 0 <= result.high for result in results]))


def power(items: int, replicates: int) -> tuple[float, float]:
    """Share of regressions as large as the MDE that are shown, and coverage of their size."""
    rng = np.random.default_rng(items + 1)
    skill = rng.beta(3, 3, items)
    within = float((skill * (1 - skill)).mean())
    after_skill = np.clip(skill - minimum_detectable(items, 0.0, (within, within), (1, 1)), 0, 1)
    truth = float((after_skill - skill).mean())
    shown, covered = [], []
    for _ in range(replicates):
        before, after = ((rng.random(items) < chance).astype(float) for chance in (skill, after_skill))
        result = compared(before, after)
        shown.append(result.p <= 0.05)
        covered.append(result.low <= truth <= result.high)
    return float(np.mean(shown)), float(np.mean(covered))


def leaks(items: int, size: float, replicates: int) -> tuple[float, float]:
    """Share of leaks with p at most 5 %, and coverage of a leak of ``size`` points on contaminated items."""
    rng = np.random.default_rng(items + 2)
    shown, covered = [], []
    for _ in range(replicates):
        dirty = rng.random(items) < 0.25
        skill = rng.beta(2, 2, items) * 0.5 + 0.1 * dirty
        before, after = ((rng.random(items) < chance).astype(float) for chance in (skill, skill + 0.03 + size * dirty))
        leak = leak_share(before, after, dirty, permutations=1)
        shown.append(leak.p <= 0.05)
        covered.append(leak.leak.low <= size * dirty.mean() <= leak.leak.high)
    return float(np.mean(shown)), float(np.mean(covered))


def main() -> int:
    """Print the table, and return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicates", type=int, default=4_000)
    replicates = parser.parse_args().replicates
    wrong = False
    print(f"{'':34}{'rejected':>9}{'covered':>9}   of {replicates:,} simulated pairs")
    for kind, items in CASES:
        rejected, covered = nulls(kind, items, replicates)
        print(f"{f'null, {kind}, {items:,} items':34}{rejected:9.3f}{covered:9.3f}")
        least = 0.0 if kind == "binary" and items < FEW else 0.04
        wrong |= not least <= rejected <= (0.055 if least == 0 else 0.06) or covered < 0.93
    for items in (400, 1_000):
        shown, covered = power(items, replicates)
        print(f"{f'regression of the MDE, {items:,} items':34}{shown:9.3f}{covered:9.3f}")
        wrong |= covered < 0.93
    for size in (0.0, 0.1, 0.3):
        shown, covered = leaks(600, size, replicates)
        print(f"{f'leak of {100 * size:.0f} points, 600 items':34}{shown:9.3f}{covered:9.3f}")
        wrong |= covered < 0.93 or (size == 0 and not 0.04 <= shown <= 0.06)
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
