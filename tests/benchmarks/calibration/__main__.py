"""Calibrate the drift statistics: `python -m tests.benchmarks.calibration --out calibration.json [--quick]`.

With `--edits` only snapshots with edited documents, with `--divergence` only p and the interval of the divergence of
the others, with `--scenario NAME` those of both whose name holds it; `--pairs` sets how many pairs of each scenario are
drawn. With `--most N` pairs are added to each of these scenarios until its rates can be told, up to N.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.calibration import limits, scenarios, table
from tests.benchmarks.calibration.domains import classifier_nulls, domain_shares, paired_bins
from tests.benchmarks.calibration.edits import EDIT_PLANS, EditedSnapshots, edited_snapshots
from tests.benchmarks.calibration.pairs import DRIFTS, SOURCES
from tests.benchmarks.calibration.planted import PLANTS, planted
from tests.benchmarks.calibration.rates import (
    OUTSIDE,
    UNKNOWN,
    Rate,
    edit_rates,
    rate_table,
    sizes_of_looks,
    snapshot_rates,
)
from tests.benchmarks.calibration.snapshots import Snapshots, snapshots
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


def jobs(sizes: Sizes, seed: int) -> list[Job]:
    """All scenarios, the longest first."""
    listed: list[Job] = [(planted, (plant, seed, sizes.planted)) for plant in PLANTS]
    for drift in DRIFTS:
        count = sizes.nulls if drift == "none" else sizes.drifts
        listed += [
            (snapshots, (source, plan.name, drift, seed, count)) for source in reversed(SOURCES) for plan in PLANS
        ]
    listed += [(edited_snapshots, (plan.name, seed, sizes.nulls)) for plan in EDIT_PLANS]
    listed += [(classifier_nulls, (plan, seed, sizes.classifier)) for plan in SPLITTABLE]
    listed += [(domain_shares, (plan.name, seed, sizes.shares)) for plan in PLANS]
    listed.append((paired_bins, (seed, sizes.shares)))
    return listed


def measured(todo: Sequence[Job], workers: int) -> dict[str, list[Any]]:
    """Results by the name of the function that gave them, in the order of the jobs."""
    results: dict[str, list[Any]] = {}
    installation()  # before the processes are forked: they share it
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in todo]
        for done, ((function, arguments), future) in enumerate(zip(todo, futures, strict=True), 1):
            results.setdefault(function.__name__, []).append(future.result())
            label = ", ".join(getattr(one, "name", one) for one in arguments if not isinstance(one, int))
            print(f"{done} of {len(todo)}: {function.__name__} {label}", file=sys.stderr, flush=True)
    return results


def checks(measurements: dict[str, list[Any]]) -> list[limits.Limit]:
    """All limits on what `measured` returned."""
    return [
        *limits.snapshot_limits(measurements["snapshots"]),
        *limits.edit_limits(measurements["edited_snapshots"]),
        *limits.domain_limits(measurements["domain_shares"]),
        *limits.classifier_limits(measurements["classifier_nulls"]),
        *limits.planted_limits(measurements["planted"]),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a limit does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of everything that was measured")
    parser.add_argument("--quick", action="store_true", help="a first look: few replicates, limits may miss by chance")
    parser.add_argument("--edits", action="store_true", help="only the pairs with edited documents")
    parser.add_argument("--divergence", action="store_true", help="only p and the interval of the divergence")
    parser.add_argument("--scenario", action="append", default=[], help="only scenarios whose name holds this text")
    parser.add_argument("--pairs", type=int, help="pairs of each scenario of snapshots and of edits")
    parser.add_argument("--most", type=int, help="add pairs to a scenario until its rates can be told")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes")
    options = parser.parse_args(arguments)
    among = [*(scenarios.EDITS if options.edits else []), *(scenarios.DIVERGENCE if options.divergence else [])]
    if (options.scenario or options.most) and not among:
        among = [*scenarios.DIVERGENCE, *scenarios.EDITS]
    try:
        some = scenarios.selected(options.scenario, among) if among else []
        pairs = options.pairs or (QUICK if options.quick else FULL).nulls
        looks = sizes_of_looks(pairs, options.most) if options.most else [pairs]
    except ValueError as error:
        parser.error(str(error))
    sizes = QUICK if options.quick else FULL
    if options.pairs:
        sizes = replace(sizes, nulls=options.pairs, drifts=options.pairs)
    start = time.monotonic()
    if some:
        results = scenarios.told_results(some, options.seed, looks, options.workers)
        measurements = {
            "snapshots": [each for each in results if isinstance(each, Snapshots)],
            "edited_snapshots": [each for each in results if isinstance(each, EditedSnapshots)],
        }
    else:
        measurements = measured(jobs(sizes, options.seed), options.workers)
    seconds, cpu = time.monotonic() - start, _cpu_seconds()
    documents = installation().documents if measurements["snapshots"] else None
    corpus = "documents drawn at random"
    if documents is not None:
        corpus = f"{len(documents)} documents, {int(documents.count.sum())} words of this Python installation"
    rates = [rate for result in measurements["snapshots"] for rate in snapshot_rates(result, len(looks))]
    rates += [rate for result in measurements["edited_snapshots"] for rate in edit_rates(result, len(looks))]
    if some:
        checked = scenario_checks(measurements)
        lines = [
            *(table.summary_rows(measurements["snapshots"]) if measurements["snapshots"] else []),
            *(table.edit_rows(measurements["edited_snapshots"]) if measurements["edited_snapshots"] else []),
        ]
    else:
        checked = checks(measurements)
        lines = [
            *table.token_rows(measurements["snapshots"]),
            *table.summary_rows(measurements["snapshots"]),
            *table.edit_rows(measurements["edited_snapshots"]),
            *table.domain_rows(measurements["domain_shares"], measurements["classifier_nulls"]),
            *table.planted_rows(measurements["planted"]),
            *table.rival_rows(measurements["snapshots"], measurements["paired_bins"][0]),
        ]
    title = f"Calibration, seed {options.seed}, {corpus}, {seconds:.0f} s, {cpu:.0f} CPU seconds"
    lines = [title, "", *lines, *_of_rates(rates, len(looks))]
    if checked:
        lines += [
            "",
            *table.limit_rows(checked),
            "",
            f"{sum(one.holds for one in checked)} of {len(checked)} limits hold",
        ]
    missed = [one.name for one in checked if not one.holds]
    missed += [rate.name for rate in rates if rate.verdict == OUTSIDE]
    lines += [f"MISSED: {name}" for name in missed]
    print("\n".join(lines))
    record = {
        "seed": options.seed,
        "replicates": asdict(sizes),
        "looks": looks,
        "corpus": corpus,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "limits": [asdict(one) | {"holds": one.holds} for one in checked],
        "rates": [asdict(rate) | {"interval": rate.interval, "verdict": rate.verdict} for rate in rates],
        "results": {name: [asdict(one) for one in results] for name, results in measurements.items()},
    }
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


def scenario_checks(measurements: dict[str, list[Any]]) -> list[limits.Limit]:
    """Limits on pairs of snapshots whose tokens are not tested, and on those with edited documents."""
    plain, edited = measurements["snapshots"], measurements["edited_snapshots"]
    made = list(limits.divergence_limits(plain)) if len(plain) == len(scenarios.DIVERGENCE) else []
    return made + (list(limits.edit_limits(edited)) if len(edited) == len(scenarios.EDITS) else [])


def _of_rates(rates: Sequence[Rate], looks: int) -> list[str]:
    """The rates with their verdicts, and how many have each."""
    unknown, outside = (sum(rate.verdict == verdict for rate in rates) for verdict in (UNKNOWN, OUTSIDE))
    level = f"{100 - 5 / looks:g} % each, for {looks} looks" if looks > 1 else "95 %"
    return [
        *table.aligned(rate_table(rates)),
        f"{len(rates) - unknown - outside} of {len(rates)} rates are within their limits by an exact interval "
        f"({level}), {outside} outside, {unknown} cannot be told",
    ]


def _cpu_seconds() -> float:
    """Of this process and of its workers, user and system."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    sys.exit(main())
