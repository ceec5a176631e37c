"""Loss of drawn documents beyond what their domain and step let expect, and at which offset of steps a log fits a run.

Expected is the level of a document's step plus that of its domain, both medians, found by median polish (Tukey 1977).
The level of the step is that of its own documents: if the model as a whole is worse at a step, all of its documents
are, and none is in excess. So a spike of the loss does not by itself make its documents look bad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.telemetry.spikes import LEAST_POINTS, local_scores

LEAST_STEPS = 50
"""Steps in common without which an offset is not tested."""

LEAST_CORRELATION = 0.3
"""Correlation at the best offset without which the log is not taken to hold the losses of the run."""

_ROUNDS = 2
_CLIP = 4.0  # robust standard deviations, so that a spike does not decide the offset alone
_QUANTILE = 1.959964


def grouped_medians(values: Floats, groups: Integers, number: int) -> Floats:
    """Median of the values of every group, [number]; NaN for groups without values.

    Args:
        values: finite, [N].
        groups: of every value, from 0, [N].
        number: of groups.
    """
    ordered = values[np.lexsort((values, groups))]
    counts = np.bincount(groups, minlength=number)
    starts = np.cumsum(counts) - counts
    medians = np.full(number, np.nan)
    some = counts > 0
    low, high = starts[some] + (counts[some] - 1) // 2, starts[some] + counts[some] // 2
    medians[some] = (ordered[low] + ordered[high]) / 2
    return medians


def excess_losses(step: Integers, domain: Integers, loss: Floats) -> Floats:
    """Loss of every draw minus that expected by its domain and step, [N]; NaN where there is no loss.

    Args:
        step: of every draw, [N].
        domain: of every draw, from 0, [N].
        loss: of every draw, nats per token, [N].
    """
    excess = np.full(len(loss), np.nan)
    rows = np.flatnonzero(np.isfinite(loss))
    if not len(rows):
        return excess
    _, steps = np.unique(step[rows], return_inverse=True)
    domains, value = domain[rows], loss[rows].astype(np.float64)
    of_domain = np.zeros(int(domains.max()) + 1)
    for _ in range(_ROUNDS):
        of_step = grouped_medians(value - of_domain[domains], steps, int(steps.max()) + 1)
        of_domain = np.nan_to_num(grouped_medians(value - of_step[steps], domains, len(of_domain)))
    of_step = grouped_medians(value - of_domain[domains], steps, int(steps.max()) + 1)
    excess[rows] = value - of_domain[domains] - of_step[steps]
    return excess


@dataclass(frozen=True, slots=True)
class OffsetTest:
    """At which offset the mean losses of a log move with those of a run.

    Attributes:
        offsets: step of the run minus step of the log, [K].
        correlations: of the deviations from the local medians, [K]; NaN where too few steps are in common.
        steps: in common, [K].
        stated: the offset that the spec states, one of ``offsets``.
    """

    offsets: Integers
    correlations: Floats
    steps: Integers
    stated: int

    @property
    def best(self) -> int | None:
        """The offset with the highest correlation; None if none is high enough to tell."""
        if not (np.nan_to_num(self.correlations) >= LEAST_CORRELATION).any():
            return None
        return int(self.offsets[np.nanargmax(self.correlations)])

    def correlation(self, offset: int) -> float:
        """That at an offset."""
        return float(self.correlations[self.offsets == offset][0])

    @property
    def differs(self) -> bool:
        """Whether another offset fits better than the stated one: their 95 % intervals do not meet (Fisher's z)."""
        best = self.best
        if best is None or best == self.stated:
            return False
        stated = self.correlation(self.stated)
        error = _QUANTILE / np.sqrt(max(int(self.steps[self.offsets == best][0]) - 3, 1))
        far = np.arctanh(min(self.correlation(best), 1 - 1e-12)) - np.arctanh(np.clip(stated, -1 + 1e-12, 1 - 1e-12))
        return bool(not np.isfinite(stated) or far > 2 * error)


def offset_test(
    log_step: Integers, log_loss: Floats, run_step: Integers, run_loss: Floats, offsets: Integers, stated: int
) -> OffsetTest:
    """Correlate the mean losses of a log's steps with the loss of a run, at several offsets.

    Args:
        log_step: ascending and distinct, [N].
        log_loss: mean loss of the draws of each, [N].
        run_step: ascending and distinct, [M].
        run_loss: [M].
        offsets: to try: step of the run minus step of the log, [K].
        stated: one of them.
    """
    log, run = _deviations(log_loss), _deviations(run_loss)
    correlations, steps = np.full(len(offsets), np.nan), np.zeros(len(offsets), np.int64)
    for number, offset in enumerate(offsets.tolist()):
        _, left, right = np.intersect1d(log_step + offset, run_step, assume_unique=True, return_indices=True)
        x, y = log[left], run[right]
        usable = np.isfinite(x) & np.isfinite(y)
        steps[number] = usable.sum()
        if steps[number] >= LEAST_STEPS and x[usable].std() > 0 and y[usable].std() > 0:
            correlations[number] = np.corrcoef(x[usable], y[usable])[0, 1]
    return OffsetTest(offsets, correlations, steps, stated)


def _deviations(loss: Floats) -> Floats:
    """Robust scores against the local median, clipped; NaN for series that are too short."""
    return np.clip(local_scores(loss).z, -_CLIP, _CLIP) if len(loss) >= LEAST_POINTS else np.full(len(loss), np.nan)
