"""Changes of a rate such as the time of a step: segments of constant level, by binary segmentation with a tested shift.

Vostrikova 1981; the test of each cut is `level_shifts.level_shift` on logarithms, so that a change is a ratio.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp

import numpy as np

from corpus_audit.pipelines.statistics.telemetry.level_shifts import (
    LEAST_POINTS,
    autoregression,
    filtered,
    level_shift,
)
from corpus_audit.pipelines.statistics.telemetry.spikes import local_scores

MOST_BLOCKS = 1_000
"""A longer series is averaged to this many blocks, by medians."""

MOST_CHANGES = 20
"""Cuts that are looked for."""


_QUANTILE = 1.959964


@dataclass(frozen=True, slots=True)
class RateChange:
    """A change of level.

    Attributes:
        position: of the first point after it.
        ratio: of the level after it to that before, with its 95 % interval.
        low, high: that interval.
        p: see `level_shifts.LevelShift`.
        n: blocks that were tested.
    """

    position: int
    ratio: float
    low: float
    high: float
    p: float
    n: int


def rate_changes(values: np.ndarray, level: float = 0.01, least: float = 0.05) -> tuple[list[RateChange], int]:
    """(changes by position, tests made) of a positive series.

    Args:
        values: float64 [N]; what is not positive and finite is left out.
        level: of each test, divided by the tests that a full search makes (Bonferroni).
        least: the smallest change that is reported, as a share.
    """
    usable = np.flatnonzero(np.isfinite(values) & (values > 0))
    width = max(-(-len(usable) // MOST_BLOCKS), 1)
    blocks = len(usable) // width
    if blocks < LEAST_POINTS:
        return [], 0
    series = np.log(np.median(values[usable][: blocks * width].reshape(blocks, width), axis=1))
    cuts: dict[int, tuple[float, int]] = {}
    todo = [(0, blocks)]
    tests = 0
    while todo and len(cuts) < MOST_CHANGES:
        start, stop = todo.pop(0)
        if stop - start < LEAST_POINTS:
            continue
        piece = series[start:stop]
        # The dependence of neighbours, from what is left of a running median: a second change would look like one.
        local = local_scores(piece)
        shift = level_shift(piece, 0, noise=piece - local.median)
        tests += 1
        if shift is not None and shift.p <= level / (1 + 2 * len(cuts)):
            cut = start + shift.position
            cuts[cut] = shift.p, shift.n
            todo += [(start, cut), (cut, stop)]
    changes = _ratios(series, cuts, least)
    return [replace(change, position=int(usable[change.position * width])) for change in changes], tests


def _ratios(series: np.ndarray, cuts: dict[int, tuple[float, int]], least: float) -> list[RateChange]:
    """Ratios of the means on both sides of every cut, up to the next; cuts below the least change are dropped."""
    bounds = [0, *sorted(cuts), len(series)]
    while True:
        pieces = [series[start:stop] for start, stop in pairwise(bounds)]
        sizes = [float(now.mean() - before.mean()) for before, now in pairwise(pieces)]
        small = [i for i, size in enumerate(sizes) if abs(exp(size) - 1) < least]
        if not small:
            break
        del bounds[min(small, key=lambda i: abs(sizes[i])) + 1]
    residuals = np.concatenate([piece - piece.mean() for piece in pieces])
    phi = autoregression(residuals, len(pieces))
    spread = float(filtered(residuals, phi).std()) / max(1 - sum(phi), 0.02)  # long-run standard deviation
    changes = []
    for cut, size, before, now in zip(bounds[1:-1], sizes, pieces, pieces[1:], strict=False):
        width = _QUANTILE * spread * (1 / len(before) + 1 / len(now)) ** 0.5
        p, n = cuts[cut]
        changes.append(RateChange(cut, exp(size), exp(size - width), exp(size + width), p, n))
    return changes
