"""Spikes of a training loss: points far above a centred local median, and whether the gradient norm rose before.

The median and its absolute deviation come from 50 points on either side, the point itself left out. A median of earlier
points only would be biased by the trend, and a running mean and standard deviation by the spike itself. How many of the
points above a threshold are chance is estimated from those below its negative: noise that is symmetric around the local
median crosses both equally often (the target-decoy argument of Elias and Gygi 2007, and of Barber and Candes 2015);
beyond the largest dip the tail of the dips is extrapolated. `tests/benchmarks/calibration/spikes.py` prints how many
are false.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from corpus_audit.pipelines.kernels.telemetry.local_scale import local_scale

HALF_WINDOW = 50
"""Points on either side."""

LEAST_POINTS = 21
"""Points of a series below which nothing is said."""

THRESHOLD = 6.0
"""Robust standard deviations above the local median; raised where the estimated share of chance is too high."""

FALSE_SHARE = 0.1
"""Largest estimated share of chance among the points above the threshold."""

LEAD = 10
"""Points before a spike in which the gradient norm is looked at."""

NORMAL = 1.4826
"""Median absolute deviation to standard deviation, for normal noise."""

_TAIL = 2.5
"""Robust standard deviations below the local median from which dips are the tail of the noise."""

_LEAST_DIPS = 20
"""Dips beyond `_TAIL` below which no distribution is fitted to them."""

_HEAVIEST = 0.45
"""Largest shape of that distribution; from a half on its variance is infinite."""

_GAP = 5
"""Points of a spike are at most this many points apart."""


class SpikeKind(StrEnum):
    """What a spike looks like."""

    BATCH_OUTLIER = "batch outlier"  # one or two points, and the gradient norm was as usual before
    INSTABILITY = "instability"  # the gradient norm rose before the loss did
    UNDETERMINED = "undetermined"  # several points without a precursor, or no gradient norm is logged


@dataclass(frozen=True, slots=True)
class LocalScores:
    """Robust scores of a series.

    Attributes:
        z: float64 [N], (value - median) / (1.4826 MAD); NaN for values that are not finite, and without local scatter.
        median: float64 [N].
        scale: float64 [N], 1.4826 MAD.
    """

    z: np.ndarray
    median: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, slots=True)
class Spike:
    """A run of points above the threshold.

    Attributes:
        first, peak, last: positions in the series.
        z: the score at the peak.
        rise: value minus local median at the peak.
        kind: what it looks like.
        precursor_z: largest score of the gradient norm in the points before; None if none is logged there.
        precursor_points: points before with a score of at least `THRESHOLD`.
        gradient_z: score of the gradient norm at the peak, or None.
    """

    first: int
    peak: int
    last: int
    z: float
    rise: float
    kind: SpikeKind
    precursor_z: float | None
    precursor_points: int
    gradient_z: float | None


def local_scores(values: np.ndarray, half: int = HALF_WINDOW) -> LocalScores:
    """Scores of every point against its neighbours; values that are not finite are not neighbours either."""
    finite = np.flatnonzero(np.isfinite(values))
    z, median, scale = (np.full(len(values), np.nan) for _ in range(3))
    if len(finite) >= LEAST_POINTS:
        series = np.ascontiguousarray(values[finite], np.float64)
        centre, deviation = np.empty(len(series)), np.empty(len(series))
        kernel: Any = local_scale  # its types are those of its arguments
        kernel(series, half, np.empty(2 * half + 2), centre, deviation)
        median[finite], scale[finite] = centre, NORMAL * deviation
        with np.errstate(divide="ignore", invalid="ignore"):
            z[finite] = np.where(deviation > 0, (series - centre) / (NORMAL * deviation), np.nan)
    return LocalScores(z, median, scale)


def crossings(z: np.ndarray, threshold: float) -> tuple[int, int]:
    """(points above the threshold, points below its negative)."""
    return int((z > threshold).sum()), int((z < -threshold).sum())


def chance_above(z: np.ndarray, threshold: float) -> float:
    """How many points above a threshold are chance: as many as dips below its negative, or as their tail lets expect.

    Beyond the largest dip there are none to count, though noise with heavy tails has points there too. So a generalised
    Pareto distribution is fitted to the dips beyond `_TAIL` (Pickands 1975; by probability-weighted moments, Hosking
    and Wallis 1987), with a tail at least as heavy as an exponential one.
    """
    _, down = crossings(z, threshold)
    excess = np.sort(-z[z < -_TAIL] - _TAIL)
    n = len(excess)
    if n < _LEAST_DIPS or threshold <= _TAIL:
        return float(down)
    mean = float(excess.mean())
    weighted = float((excess * np.arange(n - 1, -1, -1)).sum()) / (n * (n - 1))
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else _HEAVIEST
    shape = min(max(shape, 0.0), _HEAVIEST)
    scale, beyond = mean * (1 - shape), threshold - _TAIL
    tail = np.exp(-beyond / scale) if shape < 1e-6 else (1 + shape * beyond / scale) ** (-1 / shape)
    return max(float(down), n * float(tail))


def false_share(z: np.ndarray, threshold: float) -> float:
    """Estimated share of chance among the points above a threshold, at most 1; 0 if no point is above."""
    up, _ = crossings(z, threshold)
    return min(chance_above(z, threshold) / up, 1.0) if up else 0.0


def spike_threshold(z: np.ndarray, least: float = THRESHOLD, target: float = FALSE_SHARE) -> float:
    """The smallest threshold, in steps of a half from ``least``, at which the share of chance is within the target."""
    threshold = least
    while false_share(z, threshold) > target:
        threshold += 0.5
    return threshold


def find_spikes(
    scores: LocalScores,
    values: np.ndarray,
    threshold: float,
    gradient: np.ndarray | None = None,
) -> list[Spike]:
    """Spikes in order.

    Args:
        scores: of the loss.
        values: float64 [N], the loss.
        threshold: see `spike_threshold`.
        gradient: float64 [N], scores of the gradient norm at the same steps, NaN where it is not logged.
    """
    above = np.flatnonzero(scores.z > threshold)
    if not len(above):
        return []
    groups = np.split(above, np.flatnonzero(np.diff(above) > _GAP) + 1)
    return [_spike(group, scores, values, gradient) for group in groups]


def _spike(group: np.ndarray, scores: LocalScores, values: np.ndarray, gradient: np.ndarray | None) -> Spike:
    first, last = int(group[0]), int(group[-1])
    peak = int(group[np.argmax(scores.z[group])])
    before = gradient[max(first - LEAD, 0) : first] if gradient is not None else np.empty(0)
    before = before[~np.isnan(before)]
    rose = before >= THRESHOLD
    here = float(gradient[peak]) if gradient is not None and not np.isnan(gradient[peak]) else None
    if not len(before):
        kind = SpikeKind.UNDETERMINED
    elif rose.sum() >= 2 or rose[-1]:
        kind = SpikeKind.INSTABILITY
    elif len(group) <= 2:
        kind = SpikeKind.BATCH_OUTLIER
    else:
        kind = SpikeKind.UNDETERMINED
    return Spike(
        first,
        peak,
        last,
        float(scores.z[peak]),
        float(values[peak] - scores.median[peak]),
        kind,
        float(before.max()) if len(before) else None,
        int(rose.sum()),
        here,
    )
