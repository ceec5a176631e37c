"""How evenly the experts of a layer are used, step by step, and how much of it goes with what was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, Estimate, student_quantile
from corpus_audit.pipelines.statistics.telemetry.spikes import local_scores

LEAST_STEPS = 300
"""Steps with a mixture below which nothing is said of it."""

_NEAREST = 50
"""Steps by which one series is moved against the other at least, so that neighbours that are alike do not count."""

_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class ExpertBalance:
    """Measures of loads by step, float64 [S]; NaN where there is no load.

    Attributes:
        violation: largest load over the mean one, less 1 (MaxVio; Wang et al. 2024, arXiv 2408.15664): 0 is balance.
        variation: coefficient of variation of the loads.
        entropy: of the loads over that of equal ones: 1 is balance.
    """

    violation: Floats
    variation: Floats
    entropy: Floats


def expert_balance(loads: Floats) -> ExpertBalance:
    """Measures of loads in any unit, counts or shares.

    Args:
        loads: float64 [S, E], not negative, two experts or more.
    """
    total = loads.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, loads / total, np.nan)
        terms = np.where(share > 0, share * np.log(share), 0.0)
    experts = loads.shape[1]
    empty = ~(total[:, 0] > 0)
    entropy = -terms.sum(axis=1) / np.log(experts)
    return ExpertBalance(
        violation=share.max(axis=1) * experts - 1,
        variation=share.std(axis=1) * experts,
        entropy=np.where(empty, np.nan, entropy),
    )


@dataclass(frozen=True, slots=True)
class MixtureEffect:
    """How a series moves with the mixture that was drawn, from step to step.

    Attributes:
        slopes: change of the series for a share of 1 of a domain, [G]; only differences between domains are determined.
        explained: share of the variance of its deviations from local medians.
        p: of the explained share, among those of the same series moved against each other by 50 steps or more.
        steps: that were used.
        block_slopes: without each block of steps, [blocks, G].
    """

    slopes: Floats
    explained: float
    p: float
    steps: int
    block_slopes: Floats

    def change(self, before: Floats, after: Floats) -> Estimate:
        """What a change of the mixture changes in the series, with a delete-a-block jackknife interval at `LEVEL`.

        Args:
            before, after: shares of the domains, [G].
        """
        value = float((after - before) @ self.slopes)
        each = self.block_slopes @ (after - before)
        blocks = len(each)
        error = float(np.sqrt((blocks - 1) / blocks * ((each - each.mean()) ** 2).sum()))
        reach = float(student_quantile(0.5 + LEVEL / 2, blocks - 1)) * error
        return Estimate(value, value - reach, value + reach)


def mixture_effect(values: Floats, shares: Floats) -> MixtureEffect | None:
    """Regress the deviations of a series from its local medians on those of the shares of domains.

    Slow changes of either are in the local medians, so that two trends are no effect. The p is by circular shifts of
    one against the other, which keep the dependence of neighbours (Lancaster et al. 2018, Physics Reports 748).

    Args:
        values: float64 [S], a value a step, in order.
        shares: float64 [S, G], of what was drawn in these steps.

    Returns:
        None with fewer than `LEAST_STEPS` usable steps, or where one of the two does not vary.
    """
    y = values - local_scores(values).median
    x = np.stack([column - local_scores(column).median for column in shares.T], axis=1)
    usable = np.isfinite(y) & np.isfinite(x).all(axis=1)
    y, x = y[usable], x[usable]
    steps = len(y)
    if steps < LEAST_STEPS or y.std() <= 0:
        return None
    y, x = y - y.mean(), x - x.mean(axis=0)
    u, singular, _ = np.linalg.svd(x, full_matrices=False)
    basis = u[:, singular > 1e-9 * max(float(singular[0]), 1e-300)]
    if not basis.shape[1] or singular[0] <= 0:
        return None
    spectrum = np.conj(np.fft.rfft(y))[:, None] * np.fft.rfft(basis, axis=0)
    moved = np.square(np.fft.irfft(spectrum, n=steps, axis=0)).sum(axis=1) / float(y @ y)
    others = moved[_NEAREST : steps - _NEAREST + 1]
    block = np.arange(steps) * _BLOCKS // steps
    parts = [np.linalg.lstsq(x[block != b], y[block != b], rcond=1e-9)[0] for b in range(_BLOCKS)]
    return MixtureEffect(
        slopes=np.linalg.lstsq(x, y, rcond=1e-9)[0],
        explained=float(moved[0]),
        p=(1 + int((others >= moved[0]).sum())) / (1 + len(others)),
        steps=steps,
        block_slopes=np.stack(parts),
    )
