"""How often `units` reports a preference or a move where there is none: two tables of nulls, two CPU minutes.

    python -m tests.benchmarks.unit_nulls --out unit-nulls.json

A domain's documents are drawn as all others are, or a later snapshot's as an earlier one's, of which it has a part. A
unit's mean in a document is normal, exponential, or 0 but in one document of ten; tokens of a document scatter about
that mean, and lengths are log-normal. In some cases one document has a part of the tokens of the domain, or of the
documents in which the snapshots differ. Of every case: the share of units whose p is below 5 % upwards and downwards
(2.5 % each is exact, less is cautious), and the share of draws in which a unit has a q of 5 % or less (5 % is exact).
Exits 1 if a case with at least 30 documents a side exceeds `MOST_FOUND` by more than chance explains, or rejects above
`MOST_REJECTED` in one direction.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtr
from scipy.stats import binom

from corpus_audit.embeddings.index.rates import LEAST_DOCUMENTS, LEAST_GROUPS, differences
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg

UNITS, GROUPS = 500, 16
MOST_FOUND, MOST_REJECTED = 0.05, 0.028

Means = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SHAPES: dict[str, Means] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "rare": lambda rng, shape: rng.exponential(size=shape) * (rng.random(shape) < 0.1),
}


LONGEST = (0.0, 0.2, 0.5)
"""Shares of the tokens that one document has."""


@dataclass(frozen=True)
class Plan:
    """Documents of two sides: of both, of the first alone and of the second alone.

    Attributes:
        name: of the row of the table.
        shared, first, second: numbers of documents.
    """

    name: str
    shared: int
    first: int
    second: int

    @property
    def is_compared(self) -> bool:
        """Whether both sides have enough documents."""
        return self.shared + min(self.first, self.second) >= LEAST_DOCUMENTS


PREFERENCES = (
    Plan("10 of 310", 0, 300, 10),
    Plan("30 of 330", 0, 300, 30),
    Plan("60 of 360", 0, 300, 60),
    Plan("200 of 500", 0, 300, 200),
    Plan("300 of 360", 0, 60, 300),
)
MOVES = (
    Plan("none kept", 0, 300, 300),
    Plan("none kept, fewer", 0, 300, 60),
    Plan("half kept", 150, 150, 150),
    Plan("nine in ten kept", 270, 30, 30),
    Plan("30 added", 300, 0, 30),
    Plan("100 added", 300, 0, 100),
    Plan("30 removed", 270, 30, 0),
)


def sides(rng: np.random.Generator, plan: Plan, longest: float, means: Means) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sums [GROUPS, UNITS] and tokens [GROUPS] of both sides of a plan.

    The last document, of the second side alone if that has any, has the share ``longest`` of the tokens of those that
    are of the same side alone.
    """
    count = plan.shared + plan.first + plan.second
    tokens = np.maximum(rng.lognormal(5, 1, count), 5)
    if longest:
        tokens[-1] = longest / (1 - longest) * tokens[-(plan.second or plan.first) : -1].sum()
    value = means(rng, (count, UNITS)) * tokens[:, None] + rng.normal(size=(count, UNITS)) * np.sqrt(tokens)[:, None]
    group, number = rng.integers(0, GROUPS, count), np.arange(count)
    result = []
    for member in (number < plan.shared + plan.first, (number < plan.shared) | (number >= plan.shared + plan.first)):
        sums = np.zeros((GROUPS, UNITS))
        np.add.at(sums, group[member], value[member])
        result.append((sums, np.bincount(group[member], tokens[member], GROUPS)))
    return result


def case(plan: Plan, disjoint: bool, shape: str, longest: float, draws: int, seed: int = 0) -> dict[str, Any]:
    """Rejections of one case; without the least number of documents, what they would be."""
    rng = np.random.default_rng(seed)
    up, down, found, said = [], [], 0, 0
    documents = plan.shared + plan.first, max(plan.shared + plan.second, LEAST_DOCUMENTS)
    for _ in range(draws):
        result = differences(*sides(rng, plan, longest, SHAPES[shape]), documents, disjoint)
        if not np.isfinite(result.t).any():
            continue
        said += 1
        p = 2 * stdtr(result.degrees, -np.abs(result.t))
        up.append(float(((p < 0.05) & (result.t > 0)).mean()))
        down.append(float(((p < 0.05) & (result.t < 0)).mean()))
        found += bool((benjamini_hochberg(p) <= 0.05).any())
    shares = {"up": float(np.mean(up)), "down": float(np.mean(down)), "found": found / said} if said else {}
    return {"plan": plan.name, "shape": shape, "longest": longest, "draws": said, **shares}


def missed_by(result: dict[str, Any]) -> list[str]:
    """Limits that a case exceeds."""
    what = f"{result['plan']}, {result['shape']}, {result['longest']:.0%}"
    most = float(binom.ppf(0.999, result["draws"], MOST_FOUND)) / result["draws"]
    missed = [f"{what}: any q in {result['found']:.0%}"] if result["found"] > most else []
    return missed + [
        f"{what}: p < 5 % {direction} in {result[direction]:.1%}"
        for direction in ("up", "down")
        if result[direction] > MOST_REJECTED
    ]


def main() -> int:
    """Print the tables; with ``--out`` write them too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    tables: dict[str, list[dict[str, Any]]] = {}
    missed = []
    for question, plans in (("prefer", PREFERENCES), ("moved-from", MOVES)):
        print(f"units --{question}, {UNITS:,} units; with fewer than {LEAST_DOCUMENTS} documents nothing is compared")
        print(f"{'documents':18} {'unit':12} {'longest':>7} {'p < 5 %: up':>12} {'down':>7} {'any q <= 5 %':>13}")
        for plan in plans:
            for shape in SHAPES:
                for longest in LONGEST:
                    result = case(plan, question == "prefer", shape, longest, arguments.draws)
                    tables.setdefault(question, []).append(result)
                    row = f"{plan.name:18} {shape:12} {longest:7.0%}"
                    if not result["draws"]:
                        print(f"{row} fewer than {LEAST_GROUPS} groups", flush=True)
                        continue
                    print(
                        f"{row} {result['up']:12.1%} {result['down']:7.1%} {result['found']:13.0%}"
                        f"{'' if plan.is_compared else '  (not compared)'}",
                        flush=True,
                    )
                    if plan.is_compared:
                        missed += missed_by(result)
    if arguments.out is not None:
        text = json.dumps({**tables, "missed": missed}, indent=1)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    for reason in missed:
        print(f"MISSED: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
