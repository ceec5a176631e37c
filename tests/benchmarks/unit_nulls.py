"""How often `units --prefer` reports a preference where there is none: the table of its nulls, about two minutes.

    python -m tests.benchmarks.unit_nulls --out unit-nulls.json

A domain's documents are drawn as all others are. A unit's mean in a document is normal, exponential, or 0 but in one
document of ten; tokens of a document scatter about that mean, and lengths are log-normal. In some cases one document
has a part of the domain's tokens. Of every case: the share of units whose p is below 5 % upwards and downwards (2.5 %
each is exact, less is cautious), and the share of draws in which a unit has a q of 5 % or less (5 % is exact). Exits 1
if a case with at least 30 documents exceeds `MOST_FOUND` by more than chance explains, or rejects above `MOST_REJECTED`
in one direction.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtr
from scipy.stats import binom

from corpus_audit.embeddings.index import rates
from corpus_audit.embeddings.index.rates import LEAST_DOCUMENTS, differences
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg

ELSEWHERE, UNITS, GROUPS = 300, 1000, 16
MOST_FOUND, MOST_REJECTED = 0.05, 0.028

Means = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SHAPES: dict[str, Means] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "rare": lambda rng, shape: rng.exponential(size=shape) * (rng.random(shape) < 0.1),
}


def side(rng: np.random.Generator, documents: int, longest: float, means: Means) -> tuple[np.ndarray, np.ndarray]:
    """Sums [GROUPS, UNITS] and tokens [GROUPS] of documents, the first of which has the share ``longest`` of tokens."""
    tokens = np.maximum(rng.lognormal(5, 1, documents), 5)
    if longest:
        tokens[0] = longest / (1 - longest) * tokens[1:].sum()
    shape = documents, UNITS
    value = means(rng, shape) * tokens[:, None] + rng.normal(size=shape) * np.sqrt(tokens)[:, None]
    group = rng.integers(0, GROUPS, documents)
    sums = np.zeros((GROUPS, UNITS))
    np.add.at(sums, group, value)
    return sums, np.bincount(group, tokens, GROUPS)


def case(documents: int, shape: str, longest: float, draws: int, seed: int = 0) -> dict[str, Any]:
    """Rejections of one case; without the least number of documents, what they would be."""
    rng = np.random.default_rng(seed)
    up, down, found, said = [], [], 0, 0
    for _ in range(draws):
        sides = [side(rng, size, share, SHAPES[shape]) for size, share in ((ELSEWHERE, 0.0), (documents, longest))]
        result = differences(sides[0], sides[1], (ELSEWHERE, max(documents, LEAST_DOCUMENTS)), disjoint=True)
        if not np.isfinite(result.t).any():
            continue
        said += 1
        p = 2 * stdtr(result.degrees, -np.abs(result.t))
        up.append(float(((p < 0.05) & (result.t > 0)).mean()))
        down.append(float(((p < 0.05) & (result.t < 0)).mean()))
        found += bool((benjamini_hochberg(p) <= 0.05).any())
    shares = {"up": float(np.mean(up)), "down": float(np.mean(down)), "found": found / said} if said else {}
    return {"documents": documents, "shape": shape, "longest": longest, "draws": said, **shares}


def main() -> int:
    """Print the table; with ``--out`` write it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    print(f"{UNITS:,} units, {ELSEWHERE} documents elsewhere; with fewer than {LEAST_DOCUMENTS} nothing is compared")
    print(f"{'documents':>9} {'unit':12} {'longest':>7} {'p < 5 %: up':>12} {'down':>7} {'any q <= 5 %':>13}")
    cases, missed = [], []
    for documents in (10, LEAST_DOCUMENTS, 60, 200):
        for shape in SHAPES:
            for longest in (0.0, 0.2, 0.5):
                result = case(documents, shape, longest, arguments.draws)
                cases.append(result)
                if not result["draws"]:
                    print(f"{documents:9} {shape:12} {longest:7.0%} fewer than {rates.LEAST_GROUPS} groups", flush=True)
                    continue
                print(
                    f"{documents:9} {shape:12} {longest:7.0%} {result['up']:12.1%} {result['down']:7.1%} "
                    f"{result['found']:13.0%}{'  (not compared)' if documents < LEAST_DOCUMENTS else ''}",
                    flush=True,
                )
                if documents >= LEAST_DOCUMENTS:
                    most = float(binom.ppf(0.999, result["draws"], MOST_FOUND)) / result["draws"]
                    if result["found"] > most:
                        missed.append(f"{documents} documents, {shape}, {longest:.0%}: any q in {result['found']:.0%}")
                    missed += [
                        f"{documents} documents, {shape}, {longest:.0%}: p < 5 % {direction} in {result[direction]:.1%}"
                        for direction in ("up", "down")
                        if result[direction] > MOST_REJECTED
                    ]
    if arguments.out is not None:
        text = json.dumps({"cases": cases, "missed": missed}, indent=1)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    for reason in missed:
        print(f"MISSED: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
