"""Calibrate the drift statistics: `python -m tests.benchmarks.calibration --out calibration.json [--quick]`.

With `--edits` only snapshots with edited documents, with `--divergence` only p and the interval of the divergence of
the others; `--pairs` sets how many pairs of each scenario are drawn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.calibration import limits, table
from tests.benchmarks.calibration.domains import classifier_nulls, domain_shares, paired_bins
from tests.benchmarks.calibration.edits import EDIT_PLANS, edited_snapshots
from tests.benchmarks.calibration.pairs import DRIFTS, SOURCES
from tests.benchmarks.calibration.planted import PLANTS, planted
from tests.benchmarks.calibration.snapshots import snapshots
from tests.benchmarks.nulls import PLANS, installation

SEED = 20_261_125
WORKERS = 2
SPLITTABLE = [plan.name for plan in PLANS if plan.removed]


@dataclass(frozen=True)
class Sizes:
    """Replicates by kind of scenario."""

    nulls: int
    drifts: int
    shares: int
    classifier: int
    planted: int


FULL = Sizes(nulls=200, drifts=60, shares=200, classifier=120, planted=40)
QUICK = Sizes(nulls=15, drifts=8, shares=30, classifier=15, planted=4)

Job = tuple[Callable[..., Any], tuple[Any, ...]]


def jobs(sizes: Sizes, seed: int, edits_alone: bool = False) -> list[Job]:
    """All scenarios, the longest first; or only those with edited documents."""
    edits: list[Job] = [(edited_snapshots, (plan.name, seed, sizes.nulls)) for plan in EDIT_PLANS]
    if edits_alone:
        return edits
    found: list[Job] = [(planted, (plant, seed, sizes.planted)) for plant in PLANTS]
    for drift in DRIFTS:
        count = sizes.nulls if drift == "none" else sizes.drifts
        found += [
            (snapshots, (source, plan.name, drift, seed, count)) for source in reversed(SOURCES) for plan in PLANS
        ]
    found += edits
    found += [(classifier_nulls, (plan, seed, sizes.classifier)) for plan in SPLITTABLE]
    found += [(domain_shares, (plan.name, seed, sizes.shares)) for plan in PLANS]
    found.append((paired_bins, (seed, sizes.shares)))
    return found


def divergence_jobs(sizes: Sizes, seed: int) -> list[Job]:
    """Pairs of snapshots whose tokens are not tested."""
    return [
        (snapshots, (source, plan.name, drift, seed, sizes.nulls if drift == "none" else sizes.drifts, False))
        for drift in DRIFTS
        for source in SOURCES
        for plan in PLANS
    ]


def measured(todo: Sequence[Job], workers: int) -> dict[str, list[Any]]:
    """Results by the name of the function that gave them, in the order of the jobs."""
    results: dict[str, list[Any]] = {}
    if any(function is not edited_snapshots for function, _ in todo):
        installation()  # before the processes are forked: they share it
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in todo]
        for done, ((function, arguments), future) in enumerate(zip(todo, futures, strict=True), 1):
            results.setdefault(function.__name__, []).append(future.result())
            label = ", ".join(getattr(one, "name", one) for one in arguments if not isinstance(one, int))
            print(f"{done} of {len(todo)}: {function.__name__} {label}", file=sys.stderr, flush=True)
    return results


def checks(found: dict[str, list[Any]]) -> list[limits.Limit]:
    """All limits on what `measured` returned."""
    return [
        *limits.snapshot_limits(found["snapshots"]),
        *limits.edit_limits(found["edited_snapshots"]),
        *limits.domain_limits(found["domain_shares"]),
        *limits.classifier_limits(found["classifier_nulls"]),
        *limits.planted_limits(found["planted"]),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a limit does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of everything that was measured")
    parser.add_argument("--quick", action="store_true", help="a first look: few replicates, limits may miss by chance")
    parser.add_argument("--edits", action="store_true", help="only the pairs with edited documents")
    parser.add_argument("--divergence", action="store_true", help="only p and the interval of the divergence")
    parser.add_argument("--pairs", type=int, help="pairs of each scenario of snapshots and of edits")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes")
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else FULL
    if options.pairs:
        sizes = replace(sizes, nulls=options.pairs, drifts=options.pairs)
    todo = divergence_jobs(sizes, options.seed) if options.divergence else jobs(sizes, options.seed, options.edits)
    start = time.monotonic()
    found = measured(todo, options.workers)
    seconds = time.monotonic() - start
    corpus = "documents drawn at random"
    if not options.edits:
        documents = installation().documents
        corpus = f"{len(documents)} documents, {int(documents.count.sum())} words of this Python installation"
    if options.divergence:
        checked = list(limits.divergence_limits(found["snapshots"]))
        lines = [*table.summary_rows(found["snapshots"])]
    elif options.edits:
        checked = list(limits.edit_limits(found["edited_snapshots"]))
        lines = [*table.edit_rows(found["edited_snapshots"])]
    else:
        checked = checks(found)
        lines = [
            *table.token_rows(found["snapshots"]),
            *table.summary_rows(found["snapshots"]),
            *table.edit_rows(found["edited_snapshots"]),
            *table.domain_rows(found["domain_shares"], found["classifier_nulls"]),
            *table.planted_rows(found["planted"]),
            *table.rival_rows(found["snapshots"], found["paired_bins"][0]),
        ]
    title = f"Calibration, seed {options.seed}, {corpus}, {seconds:.0f} s on {options.workers} processes"
    lines = [title, "", *lines, *table.limit_rows(checked)]
    missed = [one.name for one in checked if not one.holds]
    lines += ["", f"{len(checked) - len(missed)} of {len(checked)} limits hold"]
    lines += [f"MISSED: {name}" for name in missed]
    print("\n".join(lines))
    record = {
        "seed": options.seed,
        "replicates": asdict(sizes),
        "corpus": corpus,
        "seconds": round(seconds, 1),
        "limits": [asdict(one) | {"holds": one.holds} for one in checked],
        "results": {name: [asdict(one) for one in results] for name, results in found.items()},
    }
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
