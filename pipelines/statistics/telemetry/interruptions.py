"""Where a series stops being usable: values that are not finite, gaps in its steps, and a loss that rises for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_POINTS = 200
"""Points below which divergence is not looked for."""

BLOCK = 25
"""Points whose median is one point of the smoothed loss."""

_DEVIATIONS = 6.0
_LEAST_RISE = 0.02
"""Share of the lowest level that a rise must reach besides."""

_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive points, ``first`` and ``last`` included; ``steps`` is how many steps it spans."""

    first: int
    last: int
    steps: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """A rise of the smoothed loss above its lowest level, from which it has not returned by the end.

    Attributes:
        first: position from which the smoothed loss stays above half of the rise.
        lowest, level: smoothed loss at its lowest before, and in the median since.
        rise: their difference.
        noise: standard deviation of the smoothed loss around its neighbours.
    """

    first: int
    lowest: float
    level: float
    rise: float
    noise: float


def not_finite(values: np.ndarray, step: np.ndarray) -> list[Stretch]:
    """Stretches of NaN and infinities."""
    return _stretches(~np.isfinite(values), step)


def _stretches(marked: np.ndarray, step: np.ndarray) -> list[Stretch]:
    rows = np.flatnonzero(marked)
    groups = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    return [Stretch(int(g[0]), int(g[-1]), int(step[g[-1]] - step[g[0]]) + 1) for g in groups]


def gaps(step: np.ndarray) -> tuple[int, list[Stretch]]:
    """(usual distance of steps, where it is more than twice that).

    A stretch goes from the point before a gap to the point after it; ``steps`` are those missing between.
    """
    if len(step) < 3:
        return 0, []
    distance = np.diff(step)
    usual = max(int(np.median(distance)), 1)
    wide = np.flatnonzero(distance > 2 * usual)
    return usual, [Stretch(int(i), int(i) + 1, int(distance[i]) - usual) for i in wide]


def divergence(values: np.ndarray) -> Divergence | None:
    """A loss that rose and stayed up to the end; None if it did not, or there are fewer than `LEAST_POINTS`.

    The loss is smoothed by medians of `BLOCK` points. It diverges if the last quarter of the blocks after its lowest,
    and at least three, all are above it by six standard deviations of the smoothed noise and by 2 % of its level.
    """
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) < LEAST_POINTS:
        return None
    blocks = len(finite) // BLOCK
    smooth = np.median(values[finite][: blocks * BLOCK].reshape(blocks, BLOCK), axis=1)
    noise = 1.4826 * float(np.median(np.abs(np.diff(smooth) - np.median(np.diff(smooth))))) / np.sqrt(2)
    at = int(np.argmin(smooth))
    after = smooth[at + 1 :]
    last = after[-max(len(after) // 4, 3) :]
    least = max(_DEVIATIONS * noise, _LEAST_RISE * abs(float(smooth[at])))
    if len(after) < 3 or float(last.min()) - float(smooth[at]) < least:
        return None
    rise = float(np.median(last)) - float(smooth[at])
    below = np.flatnonzero(smooth < smooth[at] + _HALF * rise)
    first = int(below[-1]) + 1
    return Divergence(int(finite[first * BLOCK]), float(smooth[at]), float(np.median(last)), rise, noise)
