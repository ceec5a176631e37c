"""What drift adds to the variance of the excess divergence where documents were edited and others came or went.

The variance is L + Q as in `influence`, here by a delete-a-group jackknife of what the exchange moves. It has the mean
L + 2 Q (Efron and Stein 1981, Annals of Statistics 9: what depends on two groups at once is counted with each), and
what it says of pseudo-sides, which have no drift, is 2 Q and everything that makes it larger: groups of unequal size,
and rare tokens, of which D is no square. So L is estimated as

    max(0, jackknife of the snapshots - mean jackknife of some pseudo-sides).

The jackknife alone covers nearly always where nothing drifts: its standard error is 1.4 to 2 times too large there. It
is used as it is where only an upper bound can be given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.drift.leave_one_out import left_out_sums
from corpus_audit.pipelines.statistics.drift.divergence import LN2
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.scatter import paired_noise, scatter, token_weights
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, Floats, Integers, TokenContrast

PSEUDO_SIDES = 2
"""Pairs of pseudo-sides whose jackknives are averaged; each takes as long as 100 to 250 permutations."""

REACHED = 0.99
"""Quantile of the permutations up to which pseudo-sides are those whose divergence is nearest to the snapshots'."""


@dataclass(frozen=True)
class Arrangement:
    """Which hash groups are on which side: the snapshots as they are, or the pseudo-sides of a draw.

    Attributes:
        baseline, current: int64 [K], tokens of the two sides, everything included.
        sets: hash groups int64 [G, K] of the documents on the first side alone, on the second alone, and on both;
            None where they stay where they are.
        versions: hash groups int64 [GROUPS, K] of the edited documents, as on the first and as on the second side;
            None where there are none, or they stay.
    """

    baseline: Integers
    current: Integers
    sets: tuple[Integers, Integers, Integers] | None
    versions: tuple[Integers, Integers] | None

    @classmethod
    def of(cls, contrast: TokenContrast, exchange: Exchange) -> Arrangement:
        """The snapshots as they are; of what the exchange leaves where it is, no groups."""
        samples = contrast.only_baseline, contrast.only_current, contrast.shared
        sets = (samples[0].groups, samples[1].groups, samples[2].groups) if exchange.moves_documents else None
        pairs = exchange.pairs
        return cls(*contrast.counts, sets, None if pairs is None else (pairs.before.groups, pairs.current.groups))

    @classmethod
    def drawn(cls, contrast: TokenContrast, exchange: Exchange, draw: Floats) -> Arrangement:
        """The pseudo-sides of one draw [2 or 3 GROUPS] of the exchange."""
        baseline, current, sets, versions = exchange.fixed_first, exchange.fixed_second, None, None
        if exchange.moves_documents:
            pool = exchange.first.groups, exchange.second.groups
            drawn, occupied = (mask.reshape(2, GROUPS) for mask in (draw[: 2 * GROUPS] > 0, exchange.sizes > 0))
            first, second = (
                np.concatenate([groups[rows] for groups, rows in zip(pool, side, strict=True)])
                for side in (drawn & occupied, ~drawn & occupied)
            )
            moved = first.sum(axis=0)
            baseline = baseline + exchange.sign_first * moved
            current = current + exchange.sign_second * moved
            if exchange.sign_first and exchange.sign_second:
                sets = first, second, contrast.shared.groups
            else:  # the larger side is everything, and the other what was drawn or what was left of it
                sets = (first[:0], second, first) if exchange.sign_first else (first, first[:0], second)
        if exchange.pairs is not None:
            swapped = draw[2 * GROUPS :, None] > 0
            before, now = exchange.pairs.before.groups, exchange.pairs.current.groups
            versions = np.where(swapped, now, before), np.where(swapped, before, now)
            gained = (versions[0] - before).sum(axis=0)
            baseline, current = baseline + gained, current - gained
        return cls(baseline, current, sets, versions)


def drift_variance(
    contrast: TokenContrast,
    exchange: Exchange,
    draws: Floats,
    null: Floats,
    observed: float,
    noise: float,
    carried: float,
) -> tuple[float, float]:
    """L in squared bits, at least 0, see the module's docstring; and the variance of the jackknife alone.

    Args:
        contrast: the slice's documents.
        exchange: what its permutations exchange.
        draws: permutations [2 or 3 GROUPS, P] of it.
        null: divergence of each of them, bits [P].
        observed: divergence of the snapshots, bits, on which depends which draws are pseudo-sides.
        noise: the divergence that chance gives, bits.
        carried: what part of a drift the draws carry (`Exchange.carried`), by which the excess is scaled.
    """
    own, cross = _jackknife(contrast, exchange, noise, None)
    alike = np.arange(len(null))  # of a drift that chance does not reach, any draws: the most extreme carry some of it
    if observed <= np.quantile(null, REACHED):
        alike = np.argsort(np.abs(null - observed), kind="stable")
    compared = [_jackknife(contrast, exchange, noise, draws[:, n]) for n in alike[:PSEUDO_SIDES]]
    pseudo = np.mean(compared, axis=0)
    scale = (1 - carried) ** -2
    return max(own - float(pseudo[0]), 0.0) + scale * max(cross - float(pseudo[1]), 0.0), own + scale * cross


def jackknife_variance(contrast: TokenContrast, exchange: Exchange, noise: float, draw: Floats | None = None) -> float:
    """Variance of the Jensen-Shannon divergence less its ``noise``, in squared bits, without a hash group at a time.

    The removed, the added and the shared documents are independent samples, so each has its own delete-a-group
    jackknife (Wolter 2007, chapter 4) and the variances add up; a shared group leaves both sides at once. Empty groups
    take part: that a group is empty is chance as well. Of edited documents, what a group's edits changed is left out:
    both sides get the mean of its versions, so that what the versions have in common stays. Documents that the exchange
    leaves where they are have a part only in what they and the edits make together (`_cross_variance`): the excess is
    what is beyond them.

    What chance gives depends on the documents, too: a long or repetitive one raises the divergence and the null mean
    alike, which is no error of their difference. So the noise without a group is ``noise`` times the ratio of
    `Exchange.first_order_noise` without and with it, to which the square of what stays is added.

    Args:
        contrast, exchange, noise: as for `drift_variance`.
        draw: the pseudo-sides [2 or 3 GROUPS] of which the jackknife is wanted; None for the snapshots as they are.
    """
    return sum(_jackknife(contrast, exchange, noise, draw))


def _jackknife(contrast: TokenContrast, exchange: Exchange, noise: float, draw: Floats | None) -> tuple[float, float]:
    """The two terms of `jackknife_variance`: what each set of documents has, and `_cross_variance`."""
    sides = Arrangement.of(contrast, exchange) if draw is None else Arrangement.drawn(contrast, exchange, draw)
    t1, t2 = float(sides.baseline.sum()), float(sides.current.sum())
    weights = token_weights(sides.baseline / t1 + sides.current / t2)
    middle = (sides.baseline / t1 + sides.current / t2) / 2
    sets = sides.sets or (np.zeros((0, len(middle)), np.int64),) * 3
    scatters = [scatter(groups, weights) for groups in sets]
    sizes = [groups.sum(axis=1).astype(np.float64) for groups in sets]
    totals = [size.sum() for size in sizes]
    paired = np.zeros(GROUPS) if sides.versions is None else paired_noise(*sides.versions, middle, weights, t1, t2)
    stays = _difference_that_stays(contrast, exchange, sides, middle) ** 2 @ weights
    whole = exchange.first_order_noise([of_set.sum() for of_set in scatters], totals, paired.sum() + stays)

    def variance_without(
        groups: Floats | Integers, signs: tuple[int, int], left: tuple[Floats, Floats], noises: Floats
    ) -> float:
        """The jackknife's variance where groups leave; the tokens of the sides and the noise without each [G]."""
        values = _without_each(groups, (sides.baseline, sides.current), signs, left) - noise * noises / whole
        return (len(groups) - 1) / len(groups) * float(((values - values.mean()) ** 2).sum())

    variance = 0.0
    for which, (in_first, in_second) in enumerate(((1, 0), (0, 1), (1, 1))):
        groups, size = sets[which], sizes[which]
        if not size.any():
            continue
        left = t1 - in_first * size, t2 - in_second * size
        smaller = ((1 / left[0] + 1 / left[1]) / (1 / t1 + 1 / t2)) ** 2
        noises = exchange.first_order_noise(
            [of_set.sum() - of_set if i == which else of_set.sum() for i, of_set in enumerate(scatters)],
            [total - size if i == which else total for i, total in enumerate(totals)],
            (paired.sum() + stays) * smaller,
        )
        variance += variance_without(groups, (-in_first, -in_second), left, noises)
    if sides.versions is not None:
        halves = (sides.versions[1] - sides.versions[0]) / 2
        gained = halves.sum(axis=1)
        noises = exchange.first_order_noise(
            [of_set.sum() for of_set in scatters], totals, paired.sum() - paired + stays
        )
        variance += variance_without(halves, (1, -1), (t1 + gained, t2 - gained), noises)
        if sides.sets is None:
            return variance, _cross_variance(contrast, sides)
    return variance, 0.0


def _cross_variance(contrast: TokenContrast, sides: Arrangement) -> float:
    """The jackknife's variance of what edits and the documents that stay make together.

    With F the difference of shares that the documents which stay make by chance, and v that of the edits, D holds
    2 F v, which no exchange of versions takes away. It is half of D less D with all versions exchanged. Where the sides
    are of unlike size, text that an edit leaves as it is has another share on each, so it stays as well: what the two
    versions of a group have in common.
    """
    assert sides.versions is not None
    change = (sides.versions[1] - sides.versions[0]).sum(axis=0)
    arranged = (sides.baseline, sides.current), (sides.baseline + change, sides.current - change)
    variance = 0.0
    stay = (
        contrast.only_baseline.groups,
        contrast.only_current.groups,
        contrast.shared.groups,
        np.minimum(*sides.versions),
    )
    for groups, in_first, in_second in zip(stay, (1, 0, 1, 1), (0, 1, 1, 1), strict=True):
        size = groups.sum(axis=1).astype(np.float64)
        if not size.any():
            continue
        cross = np.zeros(len(size))
        for fixed, sign in zip(arranged, (0.5, -0.5), strict=True):
            first, second = (
                float(side.sum()) - part * size for side, part in zip(fixed, (in_first, in_second), strict=True)
            )
            cross += sign * _without_each(groups, fixed, (-in_first, -in_second), (first, second))
        variance += (len(size) - 1) / len(size) * float(((cross - cross.mean()) ** 2).sum())
    return variance


def _without_each(
    groups: Floats | Integers, fixed: tuple[Integers, Integers], signs: tuple[int, int], left: tuple[Floats, Floats]
) -> Floats:
    """The divergence without each group, bits [G]; ``left``: tokens of the two sides without it, [G] each."""
    sums = left_out_sums(groups, fixed, signs, np.stack([1 / left[0], 1 / left[1]]))
    return np.maximum(sums, 0.0) / (2 * LN2)


def _difference_that_stays(contrast: TokenContrast, exchange: Exchange, sides: Arrangement, middle: Floats) -> Floats:
    """Difference of the sides' shares, [K], that documents make which the exchange leaves where they are."""
    t1, t2 = float(sides.baseline.sum()), float(sides.current.sum())
    if sides.sets is None and sides.versions is not None:
        half = (sides.versions[1] - sides.versions[0]).sum(axis=0) / 2
        first, second = sides.baseline + half, sides.current - half
        return np.asarray(second / second.sum() - first / first.sum())
    if contrast.edited is not None and exchange.pairs is None:
        before, now = contrast.edited.before, contrast.edited.current
        change = (now.count - middle * now.total_tokens) / t2 - (before.count - middle * before.total_tokens) / t1
        return np.asarray(change)
    return np.zeros(len(middle))
