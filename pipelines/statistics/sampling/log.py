"""Tests a sampler's draws against the intended mixture, with documents, not tokens, as independent units.

A log's draws fall on W windows of steps and G domains. The unit of variance is the drawn document (a row of the log): a
window of 1,000 documents is no sample of a million tokens. Within a domain, lengths are taken to have the same first
and second moment in every window, pooled over the log, so that variances are not those of the few documents at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

EXPECTED = 10.0
"""Documents that a domain must be expected to give a window before its share is tested by itself."""

JUMP = 3.0
"""Standard deviations from which a change of the loss counts as a jump."""

ALPHA = 0.05
"""False discovery rate at which a change of the mixture counts as a jump."""

_NEIGHBOURS = 2
_LEAST_WINDOWS = 5
_MAD = 1.4826  # makes the median absolute deviation estimate a normal standard deviation


@dataclass(frozen=True, slots=True)
class Draws:
    """Totals by window and domain, in the unit in which the mixture was intended.

    Attributes:
        count: tokens (or documents) drawn, int64 [W, G].
        squares: sum over drawn documents of their squared tokens (or the documents), float64 [W, G].
        documents: documents drawn, int64 [W, G].
    """

    count: Integers
    squares: Floats
    documents: Integers

    def pooled(self) -> Draws:
        """The whole log as one window."""
        return Draws(*(part.sum(axis=0, keepdims=True) for part in (self.count, self.squares, self.documents)))

    def moments(self) -> tuple[Floats, Floats]:
        """Mean and mean square of a drawn document's size, [G]; those of all documents where a domain has none."""
        log = self.pooled()
        documents = np.maximum(log.documents[0], 1)
        drawn = log.documents[0] > 0
        total = max(int(log.documents.sum()), 1)
        mean = np.where(drawn, log.count[0] / documents, log.count.sum() / total)
        square = np.where(drawn, log.squares[0] / documents, log.squares.sum() / total)
        return np.maximum(mean, np.finfo(np.float64).tiny), square


@dataclass(frozen=True, slots=True)
class MixtureTest:
    """Windows compared with the intended mixture; NaN where there is no test.

    Attributes:
        z: (share - intended) over its standard error under the intended mixture, [W, G].
        p: its two-sided p, [W, G].
        statistic: chi-squared of all domains jointly, rare ones pooled, [W].
        freedom: its degrees of freedom, int64 [W].
        p_joint: its p, [W].
        distance: total variation from the intended mixture, [W].
        rare: domains too rare in a window to be tested alone, bool [W, G].
    """

    z: Floats
    p: Floats
    statistic: Floats
    freedom: Integers
    p_joint: Floats
    distance: Floats
    rare: npt.NDArray[np.bool_]


def mixture_test(draws: Draws, intended: Floats) -> MixtureTest:
    """Test each window's mixture against the intended shares, a score test: variances are those if it were true.

    If it is, a drawn document is of domain g with probability v_g proportional to q_g / m_g (m_g the mean size), and
    N_g - q_g N has variance D (v_g s_g (1 - q_g)^2 + q_g^2 sum_{h != g} v_h s_h), s_g the mean squared size. Jointly,
    with V_g = D v_g s_g and the best mu, sum_g (N_g - mu q_g)^2 / V_g is chi-squared with one degree of freedom less
    than there are cells. Domains that are expected to give a window fewer than `EXPECTED` documents share a cell.

    Args:
        draws: what was drawn.
        intended: shares q, [G], that add up to 1; domains with share 0 are in no test.
    """
    mean, square = draws.moments()
    is_intended = intended > 0
    count = np.where(is_intended, draws.count, 0).astype(np.float64)
    total = count.sum(axis=1, keepdims=True)
    documents = np.where(is_intended, draws.documents, 0).sum(axis=1, keepdims=True).astype(np.float64)
    chance = np.where(is_intended, intended / mean, 0.0)
    chance = chance / max(chance.sum(), np.finfo(np.float64).tiny)
    spread = documents * chance * square  # V, [W, G]
    rest = spread.sum(axis=1, keepdims=True) - spread
    variance = spread * (1 - intended) ** 2 + rest * intended**2
    rare = is_intended & (documents * chance < EXPECTED)
    alone = is_intended & ~rare & (variance > 0) & (intended < 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(alone, (count - intended * total) / np.sqrt(variance), np.nan)
        everything = draws.count.sum(axis=1, keepdims=True)
        share = np.where(everything > 0, draws.count / everything, np.nan)
    has_cell = is_intended & ~rare
    pooled = [(part * rare).sum(axis=1) for part in (count, spread, np.broadcast_to(intended, rare.shape))]
    # The pool is a cell of its own once it is expected to give enough documents; else it is in no test.
    enough = (documents * chance * rare).sum(axis=1) >= EXPECTED
    columns = [
        np.concatenate([part * has_cell, (extra * enough)[:, None]], axis=1)
        for part, extra in zip((count, spread, np.broadcast_to(intended, has_cell.shape)), pooled, strict=True)
    ]
    statistic, freedom = _joint(columns[0], columns[2], columns[1])
    return MixtureTest(
        z=z,
        p=two_sided(z),
        statistic=statistic,
        freedom=freedom,
        p_joint=np.where(freedom > 0, special.chdtrc(np.maximum(freedom, 1), statistic), np.nan),
        distance=np.abs(share - intended).sum(axis=1) / 2,
        rare=rare,
    )


def _joint(values: Floats, direction: Floats, variance: Floats) -> tuple[Floats, Integers]:
    """min over mu of sum (x - mu a)^2 / V by row over cells with V > 0, and cells - 1; NaN and 0 for fewer than two."""
    used = variance > 0
    safe = np.where(used, variance, 1.0)
    inverse = used / safe
    with np.errstate(divide="ignore", invalid="ignore"):
        level = (values * direction * inverse).sum(axis=1) / (direction**2 * inverse).sum(axis=1)
    statistic = ((values - np.nan_to_num(level)[:, None] * direction) ** 2 * inverse).sum(axis=1)
    freedom = np.maximum(used.sum(axis=1) - 1, 0)
    return np.where(freedom > 0, statistic, np.nan), freedom


def mixture_changes(draws: Draws) -> Floats:
    """p that a window has the mixture of the one before, [W]; NaN for the first and where too little was drawn.

    The joint test of `mixture_test` on the difference of the two windows' shares, with their pooled mixture.
    """
    _, square = draws.moments()
    p = np.full(len(draws.count), np.nan)
    for w in range(1, len(p)):
        pair = slice(w - 1, w + 1)
        count, documents = draws.count[pair].astype(np.float64), draws.documents[pair].astype(np.float64)
        totals = count.sum(axis=1, keepdims=True)
        if not totals.all():
            continue
        pooled = count.sum(axis=0) / count.sum()
        chance = documents.sum(axis=0) / documents.sum()
        expected = chance * documents.sum(axis=1).min()
        variance = (documents.sum(axis=1, keepdims=True) / totals**2).sum(axis=0) * chance * square
        cells = [(count / totals)[1] - (count / totals)[0], pooled, variance]
        rare = expected < EXPECTED
        folded = float((expected * rare).sum()) >= EXPECTED
        rows = [np.append(part * ~rare, (part * rare).sum() * folded)[None, :] for part in cells]
        statistic, freedom = _joint(rows[0], rows[1], rows[2])
        if freedom[0] > 0:
            p[w] = special.chdtrc(freedom[0], statistic[0])
    return p


def trend(draws: Draws) -> Floats:
    """z of a linear trend of each domain's share over the windows, [G]; NaN where too little was drawn.

    sum_w c_w N_gw with c the window number, centred so that sum_w c_w N_w = 0: then a constant share gives 0.
    """
    _, square = draws.moments()
    count = draws.count.astype(np.float64)
    total = count.sum(axis=1)
    if len(total) < 2 or not total.sum():
        return np.full(count.shape[1], np.nan)
    number = np.arange(len(total), dtype=np.float64)
    centred = number - (number * total).sum() / total.sum()
    share = count.sum(axis=0) / total.sum()
    documents = draws.documents.sum(axis=0).astype(np.float64)
    spread = documents / documents.sum() * square
    each = spread * (1 - share) ** 2 + (spread.sum() - spread) * share**2
    variance = (centred**2 * draws.documents.sum(axis=1)).sum() * each
    usable = (documents >= EXPECTED) & (variance > 0) & (share < 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(usable, (centred @ count) / np.sqrt(variance), np.nan)


def loss_jumps(loss: Floats, error: Floats) -> Floats:
    """How far each window's change of loss is from its neighbours' changes, in standard deviations, [W].

    A loss falls as training goes on, fast at first. So the change from the window before is compared with the median of
    the changes around it (two on either side), over a scale of the robust deviation of all such differences and the
    sampling error of the two windows. NaN for the first window, near windows without a loss, and if there are fewer
    than five changes.

    Args:
        loss: mean loss by window, [W], NaN where there is none.
        error: its standard error, [W].
    """
    change = np.diff(loss)
    jumps = np.full(len(loss), np.nan)
    if np.isfinite(change).sum() < _LEAST_WINDOWS:
        return jumps
    beyond = np.full(len(change), np.nan)
    for w in range(len(change)):
        near = [v for v in range(w - _NEIGHBOURS, w + _NEIGHBOURS + 1) if v != w and 0 <= v < len(change)]
        around = change[near][np.isfinite(change[near])]
        if len(around) and np.isfinite(change[w]):
            beyond[w] = change[w] - np.median(around)
    robust = _MAD * np.nanmedian(np.abs(beyond))
    scale = np.sqrt(robust**2 + np.nan_to_num(error[1:]) ** 2 + np.nan_to_num(error[:-1]) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        jumps[1:] = np.where(scale > 0, beyond / scale, np.nan)
    return jumps


def two_sided(z: npt.ArrayLike) -> Floats:
    """Two-sided normal p of z; NaN stays NaN."""
    return np.asarray(2 * special.ndtr(-np.abs(np.asarray(z, dtype=np.float64))))
