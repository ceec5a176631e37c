"""How far the tokens of hash groups scatter, and what chance therefore gives to two sides that hold just these groups.

A long or repetitive document scatters more than others, and raises the divergence of whichever side it is on. Where an
append-only corpus is compared, the sides are the documents that stayed and those with the added ones, and chance gives
more if the long documents are among the added, which count for little on their side, than if they stayed. The mean over
permutations knows nothing of which of them is so: to scale it by the scatter of the groups as they are takes this
out of the excess, of the interval and of p (a control variate: `side_noise` depends on the groups of a draw alone, so
that a permutation test of the difference is as exact as that of the divergence).
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.drift.group_rows import weighted_moments
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, Floats, Integers, TokenContrast


def side_noise(contrast: TokenContrast, exchange: Exchange, selection: Floats) -> Floats:
    """What chance gives to the sides that P selections [2 or 3 GROUPS, P] make, [P], to second order, in any unit.

    For exchanges where one side holds everything (`Exchange.nested`). With s_g the scatter of group g about the shares
    of all, a group on both sides adds s_g (1 / T_1 - 1 / T_2)^2, and one on the larger side alone s_g / T_2^2. Edited
    documents add the same to every selection.
    """
    pool = exchange.first.groups, exchange.second.groups
    count = sum(groups.sum(axis=0) for groups in pool).astype(np.float64)
    share = count / max(count.sum(), 1.0)
    # Every document counts once, on whichever sides it is: by the sides' own shares, rare tokens of documents on one
    # side alone would weigh twice as much as those of documents on both, and a draw is not to know which those were.
    texts = count
    if contrast.edited is not None:
        texts = count + (contrast.edited.before.count + contrast.edited.current.count) / 2
    middle = texts / texts.sum()
    weights = token_weights(2 * middle)
    # A group is part of the shares it is compared with, and a large one, as those of documents that stayed, more so.
    apart = 1 - exchange.sizes / exchange.sizes.sum()
    scatters = np.concatenate([scatter(groups, weights, share) for groups in pool]) / apart
    first, second = exchange.side_totals(selection)
    whole = second if exchange.sign_first else first
    drawn = scatters @ (selection[: 2 * GROUPS] if exchange.sign_first else 1 - selection[: 2 * GROUPS])
    noise = drawn * (1 / first - 1 / second) ** 2 + (scatters.sum() - drawn) / whole**2
    if contrast.edited is not None:
        before, now = contrast.edited.before.groups, contrast.edited.current.groups
        t1, t2 = (float(count.sum()) for count in contrast.counts)
        if exchange.pairs is None:  # they stay, and so does what their edits make
            before, now = before.sum(axis=0, keepdims=True), now.sum(axis=0, keepdims=True)
        noise = noise + paired_noise(before, now, middle, weights, t1, t2).sum()
    return np.asarray(noise)


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
