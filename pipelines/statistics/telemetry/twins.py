"""Two runs that should have seen the same batches: does the loss of one move with that of the other, step by step?

The batch of a step makes its loss higher or lower than its neighbours' for every run that draws it. So two runs with
the same order of the data agree in their deviations from the local median; where one has a spike and the other has
none, the batch alone did not cause it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import atanh, sqrt, tanh

import numpy as np

from corpus_audit.pipelines.statistics.telemetry.spikes import HALF_WINDOW, LocalScores

LEAST_STEPS = 100
"""Common steps below which nothing is said."""

SAME_ORDER = 0.3
"""Lower bound of the correlation from which the order is taken to be the same: that of unrelated runs is about 0."""

LEFT_OUT = 0.1
"""Share of a run, from its start, that is left out."""

_BEYOND = 6.0
"""Scores of steps that are left out of the correlation: a spike of one run would decide it."""

_QUANTILE = 1.959964


class InTwin(StrEnum):
    """Whether a spike is in the twin."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCLEAR = "unclear"
    NOT_LOGGED = "not logged"


@dataclass(frozen=True, slots=True)
class TwinComparison:
    """How two losses move together.

    Attributes:
        steps: common steps that were used.
        left_out: common steps that were not: a spike in one of them, or not finite.
        correlation: Pearson's, of the deviations from the local medians.
        slope: of the twin's deviations on the run's: a batch that raises the run's loss by x raises the twin's by about
        slope times x.
    low, high: its 95 % interval (Fisher 1921), the number of steps reduced for autocorrelation (Bartlett 1935).
    """

    steps: int
    left_out: int
    correlation: float
    slope: float
    low: float
    high: float


def compare_twins(
    step: np.ndarray, loss: np.ndarray, scores: LocalScores, other_step: np.ndarray, other_loss: np.ndarray,
    other_scores: LocalScores,
) -> TwinComparison | None:  # fmt: skip
    """Compare two series by step; None with fewer than `LEAST_STEPS` steps in common, or without any variation."""
    _, here, there = np.intersect1d(step, other_step, return_indices=True)
    inner = _inner(len(step))[here] & _inner(len(other_step))[there]
    here, there = here[inner], there[inner]
    ours, theirs = loss[here] - scores.median[here], other_loss[there] - other_scores.median[there]
    with np.errstate(invalid="ignore"):
        usable = (np.abs(scores.z[here]) < _BEYOND) & (np.abs(other_scores.z[there]) < _BEYOND)
    ours, theirs = ours[usable], theirs[usable]
    n = len(ours)
    if n < LEAST_STEPS or ours.std() == 0 or theirs.std() == 0:
        return None
    correlation = float(np.corrcoef(ours, theirs)[0, 1])
    dependence = _lagged(ours) * _lagged(theirs)
    effective = max(n * (1 - dependence) / (1 + dependence), 4.0)
    centre, width = atanh(max(min(correlation, 1 - 1e-12), -1 + 1e-12)), _QUANTILE / sqrt(effective - 3)
    slope = correlation * float(theirs.std() / ours.std())
    return TwinComparison(n, len(here) - n, correlation, slope, tanh(centre - width), tanh(centre + width))


def _inner(n: int) -> np.ndarray:
    """Points whose local median is not biased by the trend: it is where a loss falls fast, and at the ends.

    Two unrelated runs agree there, because both fall.
    """
    positions = np.arange(n)
    inner: np.ndarray = (positions >= max(LEFT_OUT * n, HALF_WINDOW)) & (positions < n - HALF_WINDOW)
    return inner


def _lagged(values: np.ndarray) -> float:
    """Correlation of neighbours, kept within (-0.99, 0.99)."""
    return float(np.clip(np.corrcoef(values[:-1], values[1:])[0, 1], -0.99, 0.99))


def in_twin(
    spike_step: int, threshold: float, other_step: np.ndarray, other_scores: LocalScores
) -> tuple[InTwin, float]:
    """(whether the twin has a spike at a step too, its score there).

    Present from two thirds of the threshold on, absent below half of it.
    """
    position = int(np.searchsorted(other_step, spike_step))
    if position >= len(other_step) or other_step[position] != spike_step or np.isnan(other_scores.z[position]):
        return InTwin.NOT_LOGGED, float("nan")
    z = float(other_scores.z[position])
    if z >= threshold * 2 / 3:
        return InTwin.PRESENT, z
    return (InTwin.ABSENT if z < threshold / 2 else InTwin.UNCLEAR), z
