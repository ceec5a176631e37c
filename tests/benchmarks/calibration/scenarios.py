"""Scenarios by name, each with as many pairs as its rates need: one look, or looks until they can be told."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from threadpoolctl import threadpool_limits

from tests.benchmarks.calibration.edits import EDIT_PLANS, EditedSnapshots, edited_snapshots
from tests.benchmarks.calibration.pairs import DRIFTS, SOURCES
from tests.benchmarks.calibration.rates import Rate, all_decided, edit_rates, snapshot_rates
from tests.benchmarks.calibration.snapshots import Snapshots, snapshots
from tests.benchmarks.nulls import PLANS, installation

PAIRS_OF_A_TASK = 50
"""Pairs that one process draws at a time, so that the last scenario to be told keeps all processes busy."""

Result = Snapshots | EditedSnapshots


@dataclass(frozen=True)
class Scenario:
    """One kind of pairs.

    Attributes:
        name: as printed, and as ``--scenario`` takes it.
        arguments: source, plan and drift, or the plan of the edits alone.
    """

    name: str
    arguments: tuple[str, ...]

    def rates(self, result: Result, looks: int) -> list[Rate]:
        """Its rates, each with an interval that is wide enough for a number of looks."""
        return edit_rates(result, looks) if isinstance(result, EditedSnapshots) else snapshot_rates(result, looks)

    def tasks(self, seed: int, first: int, stop: int) -> Iterator[tuple[Callable[..., Result], tuple[Any, ...]]]:
        """Functions with arguments that draw the pairs ``first`` to ``stop``, without the last."""
        for start in range(first, stop, PAIRS_OF_A_TASK):
            pairs = min(PAIRS_OF_A_TASK, stop - start)
            if len(self.arguments) == 1:
                yield edited_snapshots, (*self.arguments, seed, pairs, start)
            else:
                yield snapshots, (*self.arguments, seed, pairs, False, start)


DIVERGENCE = [
    Scenario(f"{source}, {plan.name}, drift {drift}", (source, plan.name, drift))
    for drift in DRIFTS
    for source in SOURCES
    for plan in PLANS
]
"""Pairs of snapshots without edits."""

EDITS = [Scenario(f"edits, {plan.name}", (plan.name,)) for plan in EDIT_PLANS]


def selected(names: Sequence[str], among: Sequence[Scenario]) -> list[Scenario]:
    """Scenarios whose name holds one of some texts; all without any.

    Raises:
        ValueError: if a text is in no name.
    """
    for name in names:
        if not any(name in scenario.name for scenario in among):
            raise ValueError(f"no scenario holds {name!r}: {'; '.join(scenario.name for scenario in among)}")
    return [scenario for scenario in among if not names or any(name in scenario.name for name in names)]


def told_results(some: Sequence[Scenario], seed: int, sizes: Sequence[int], workers: int) -> list[Result]:
    """What each scenario gave, in order: with ``sizes[0]`` pairs, then with more until all of its rates can be told.

    Args:
        some: scenarios.
        seed: of the whole benchmark; a pair is the same whatever the sizes are.
        sizes: pairs at each look, ascending; one look only if there is one.
        workers: processes.
    """
    if any(len(scenario.arguments) > 1 for scenario in some):
        installation()  # before the processes are forked: they share it
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    parts: dict[int, dict[int, Result]] = {number: {} for number in range(len(some))}
    look = dict.fromkeys(parts, 0)
    running: dict[Future[Result], tuple[int, int]] = {}
    # Threads of BLAS that wait for a core others use would take most of the time.
    with ProcessPoolExecutor(workers, mp_context=context, initializer=threadpool_limits, initargs=(1,)) as pool:

        def draw(number: int, first: int, stop: int) -> None:
            for function, arguments in some[number].tasks(seed, first, stop):
                running[pool.submit(function, *arguments)] = number, arguments[-1]

        for number in parts:
            draw(number, 0, sizes[0])
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, first = running.pop(future)
                parts[number][first] = future.result()
                if any(other == number for other, _ in running.values()):
                    continue
                at, scenario = look[number], some[number]
                rates = scenario.rates(_joined(parts[number]), len(sizes))
                for rate in rates:
                    progress = f"{rate.name}: {100 * rate.value:.1f} % of {rate.trials}, {rate.verdict}"
                    print(progress, file=sys.stderr, flush=True)
                if at + 1 < len(sizes) and not all_decided(rates):
                    look[number] = at + 1
                    draw(number, sizes[at], sizes[at + 1])
    return [_joined(parts[number]) for number in parts]


def _joined(parts: dict[int, Result]) -> Result:
    """Parts of one scenario in the order of their pairs."""
    return reduce(add, (parts[first] for first in sorted(parts)))
