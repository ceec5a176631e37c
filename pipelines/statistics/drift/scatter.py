"""How far the tokens of hash groups scatter, and what chance therefore gives to two sides that hold just these groups.

A long or repetitive document scatters more than others, and raises the divergence of whichever side it is on: by the
square of its share of that side's tokens, so that it does most on the smaller side. Where an append-only corpus is
compared, the sides are the documents that stayed and those with the added ones, and chance gives more if the long
documents are among the added, which count for little on their side, than if they stayed. The mean over permutations
knows nothing of which of them is so: to scale it by the scatter of the groups as they are takes this out of the excess,
of the interval and of p (a control variate: `side_noise` depends on the groups of a draw alone, so that a permutation
test of the difference is as exact as that of the divergence). Between sides of 1 to 3 nothing else varies as much: the
standard deviation of the excess is a third of what it would be without. Between sides of one size it changes nothing.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.drift.group_rows import weighted_moments
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, Floats, Integers, TokenContrast


def side_noise(contrast: TokenContrast, exchange: Exchange, selection: Floats) -> Floats:
    """What chance gives to the sides that P selections [2 or 3 GROUPS, P] make, [P], to second order.

    In any unit, and without what is the same for every selection, as what edits add. For exchanges that move documents.
    With s_g the scatter of group g about the shares of all that may be exchanged, a group on the first side alone adds
    s_g / T_1^2, one on the second alone s_g / T_2^2, and one on both, as one side may hold everything
    (`Exchange.nested`), s_g (1 / T_1 - 1 / T_2)^2.

    Scatter is in terms of what independent tokens would have, which is u_g, the sum of their weights: where tokens that
    are rare among all are more frequent on one side, that is drift, and no greater scatter.
    """
    pool = exchange.first.groups, exchange.second.groups
    count = sum(groups.sum(axis=0) for groups in pool).astype(np.float64)
    share = count / max(count.sum(), 1.0)
    # Every document counts once, on whichever sides it is: by the sides' own shares, rare tokens of documents on one
    # side alone would weigh twice as much as those of documents on both, and a draw is not to know which those were.
    texts = count if exchange.nested else count + 2.0 * contrast.shared.count  # which are on both sides of any draw
    if contrast.edited is not None:
        texts = texts + (contrast.edited.before.count + contrast.edited.current.count) / 2
    middle = texts / texts.sum()
    weights = token_weights(2 * middle)
    # A group is part of the shares it is compared with, and a large one, as those of documents that stayed, more so.
    apart = 1 - exchange.sizes / exchange.sizes.sum()
    scatters = np.concatenate([scatter(groups, weights, share) for groups in pool]) / apart
    expected = np.concatenate([groups @ weights for groups in pool])
    per_token = expected.sum() / exchange.sizes.sum()

    def spread(inside: Floats) -> Floats:
        """Scatter of some groups, [2 GROUPS, P], as if their tokens were as rare as those of all, [P]."""
        return np.asarray((scatters @ inside) / (expected @ inside) * per_token * (exchange.sizes @ inside))

    first, second = exchange.side_totals(selection)
    on_first, on_second = spread(selection[: 2 * GROUPS]), spread(1 - selection[: 2 * GROUPS])
    if not exchange.nested:
        return np.asarray(on_first / first**2 + on_second / second**2)
    both, alone, whole = (on_first, on_second, second) if exchange.sign_first else (on_second, on_first, first)
    return np.asarray(both * (1 / first - 1 / second) ** 2 + alone / whole**2)


def token_weights(both: Floats) -> Floats:
    """1 over the sides' summed shares, [K]; 0 for tokens that no side holds."""
    return np.divide(1.0, both, out=np.zeros(len(both)), where=both > 0)


def scatter(groups: Integers, weights: Floats, share: Floats | None = None) -> Floats:
    """How far each group's tokens are from shares [K], those of the set by default, [G].

    It is sum_w (x_gw - share_w n_g)^2 weight_w, for a group of n_g tokens.
    """
    if share is None:
        count = groups.sum(axis=0).astype(np.float64)
        share = count / max(count.sum(), 1.0)
    sizes = groups.sum(axis=1).astype(np.float64)
    products, squares = weighted_moments(groups, share * weights, weights)
    return np.asarray(np.maximum(squares - 2 * sizes * products + sizes**2 * (share**2 * weights).sum(), 0.0))


def paired_noise(before: Integers, now: Integers, middle: Floats, weights: Floats, t1: float, t2: float) -> Floats:
    """What each group of edited documents adds to `Exchange.first_order_noise`, [GROUPS].

    sum_w v_gw^2 weight_w with v_g = (c_g - p m_g) / t2 - (b_g - p n_g) / t1, the group's change of the difference of
    shares: b and c its tokens before and now, n and m their sums, p the mean share of the sides.
    """
    noise = np.zeros(len(before))
    for g, (old, new) in enumerate(zip(before, now, strict=True)):
        change = (new - middle * new.sum()) / t2 - (old - middle * old.sum()) / t1
        noise[g] = change**2 @ weights
    return noise
