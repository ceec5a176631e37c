"""Score tests of whether tokens' shares differ between two snapshots that share documents: z, interval, log-odds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.drift.token_sample import EditedPairs, TokenContrast
from corpus_audit.pipelines.statistics.drift.token_spread import count_spread, on_both_sides, unshared_scatter
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL

FEWEST_DOCUMENTS = 20
"""Documents of the pool that must hold a token before it is tested."""

_STEPS = 40


@dataclass(frozen=True)
class TokenTests:
    """Results for K tokens, NaN for those that are not tested; fields as in `token_drift.TokenDrift`."""

    z: Floats
    p: Floats
    low: Floats
    high: Floats
    log_odds_z: Floats
    design_effect: Floats
    tested: int


def run_tests(
    contrast: TokenContrast, y1: Integers, y2: Integers, t1: int, t2: int, interval_null: float
) -> TokenTests:
    """Test every token that at least `FEWEST_DOCUMENTS` documents of the pool hold: z, p, interval and log-odds z.

    With p_i = Y_i / T_i, documents in both sides add the same residual to both, so the covariance they make is
    subtracted. Tests use the variance that holds when the hypothesis does, with the pool's clustered variance: for
    p_2 = r p_1, with p_1* = (Y_1 + Y_2) / (T_1 + r T_2), p_2* = r p_1* and
    spread = D / (D - 1) sum_d (y_d - p n_d)^2 / Y over all distinct documents d (Rao and Scott 1992, Biometrics 48),

        z_r = (p_2 - r p_1) / sqrt(spread (r^2 p_1* / T_1 + p_2* / T_2 - 2 r T_S min(p_1*, p_2*) / (T_1 T_2))),

    T_S the tokens of shared documents; spread is then taken times `token_spread.unshared_scatter`, as few unshared
    documents scatter more or less than the pool. ``z`` is z_1. Separate variances of the sides follow the same formula,
    but reject up to 13 % at a nominal 5 % when few documents are unshared: a side that lacks a token then seems
    certain.
    ``p`` tests at both ends of the interval null, delta bits wide each way, and adds up the tails (TREAT, McCarthy and
    Smyth 2009, Bioinformatics 25): P(Z > z_+) + P(Z > z_-) with r = 2^(+-delta). ``low`` and ``high`` are the ratios
    that z_r does not reject at 5 % (Koopman 1984, Biometrics 40).

    ``log_odds_z`` is Monroe, Colaresi and Quinn's (2008, Political Analysis 16) with the prior a_w = a_0 p_w, p the
    pool's shares and a_0 = K / 2: the weight of Jeffreys's prior, informative. Their variance
    1 / (y_1 + a) + 1 / (y_2 + a) is (U + 2 a) / ((y_1 + a)(y_2 + a)) with U the occurrences in all; shared documents
    cancel, so U becomes what the pool's share makes expected in the unshared ones, and of the prior counts the part
    1 - T_S / sqrt(T_1 T_2).

    Edited documents are pairs. What their versions have in common is shared text, and counts as such above: T_S holds
    the mean of their versions. What an edit changes is the other half of the variance, that of exchanging the versions
    of each pair (a paired z test), summed over pairs:

        (r / T_1 + 1 / T_2)^2 / 4 sum_pairs ((y_2 - y_1) - p* (n_2 - n_1))^2,   p* = (p_1* + p_2*) / 2.

    What an edit leaves as it was cancels, so that a small change of the same direction in many documents is seen, and
    |z| of a change in m pairs alone is at most about sqrt(m).

    Where documents come in clusters, the spread is `token_spread.count_spread`'s over hash groups.

    Args:
        contrast: the slice's documents in disjoint sets.
        y1, y2: int64 [K], occurrences on the two sides.
        t1, t2: tokens of the two sides.
        interval_null: delta, bits.
    """
    before, now, shared = contrast.only_baseline, contrast.only_current, on_both_sides(contrast)
    edited = contrast.edited
    # The pool: every distinct document once, whichever side it is on.
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = count_spread(contrast)
        pooled = (before.count + now.count + shared.count).astype(np.float64)
        pool_tokens = float(before.total_tokens + now.total_tokens + shared.total_tokens)
        design_effect = spread / (1 - pooled / pool_tokens)
        scatter = unshared_scatter(contrast)
    tested = np.flatnonzero(
        (before.documents + now.documents + shared.documents >= FEWEST_DOCUMENTS) & (spread > 0) & (t1 > 0) & (t2 > 0)
    )
    sides = _Sides(
        y1[tested].astype(np.float64),
        y2[tested].astype(np.float64),
        pooled[tested],
        float(t1),
        float(t2),
        float(shared.total_tokens),
        pool_tokens,
        (spread * scatter)[tested],
        None if edited is None else edited.take(tested),
    )

    def over_all_tokens(values: Floats) -> Floats:
        column = np.full(len(contrast.tokens), np.nan)
        column[tested] = values
        return column

    with np.errstate(divide="ignore", invalid="ignore"):
        z = sides.score(1.0)
        p = over_all_tokens(_interval_null_p(sides, z, interval_null))
        low, high = (over_all_tokens(bound) for bound in _bounds(sides))
        effect = (design_effect * scatter)[tested] if edited is None else sides.design_effect()
        log_odds_z = sides.log_odds(len(contrast.tokens) / 2) / np.sqrt(effect)
    return TokenTests(over_all_tokens(z), p, low, high, over_all_tokens(log_odds_z), design_effect, len(tested))


@dataclass(frozen=True)
class _Sides:
    """The tested tokens' counts, [tested] each, and the token totals that they are shares of.

    Attributes:
        y1, y2, pooled: occurrences on the two sides and in the pool of distinct documents.
        t1, t2, shared_tokens, pool_tokens: tokens of the sides, of the shared documents and of the pool.
        spread: sum_d (y_d - p n_d)^2 / Y over the pool's documents (or clusters): the variance of a count over the
            count. Independent tokens have 1 - p.
        edited: the edited documents' counters, over the tested tokens; None where there are none.
    """

    y1: Floats
    y2: Floats
    pooled: Floats
    t1: float
    t2: float
    shared_tokens: float
    pool_tokens: float
    spread: Floats
    edited: EditedPairs | None = None

    @property
    def overlap(self) -> float:
        """Correlation of the sides' totals that the shared documents make, T_S / sqrt(T_1 T_2)."""
        return float(self.shared_tokens / np.sqrt(self.t1 * self.t2))

    def score(self, ratio: npt.ArrayLike) -> Floats:
        """z of p_2 = ratio * p_1, [K]; see `run_tests`."""
        r = np.asarray(ratio, dtype=np.float64)
        variance = self.variance(r)
        difference = self.y2 / self.t2 - r * (self.y1 / self.t1)
        return np.where(variance > 0, difference / np.sqrt(variance), np.where(difference == 0, 0.0, np.nan))

    def variance(self, r: Floats) -> Floats:
        """Variance of p_2 - r p_1 if p_2 = r p_1, [K]; see `run_tests`."""
        p1 = (self.y1 + self.y2) / (self.t1 + r * self.t2)
        covariance = self.shared_tokens * np.minimum(r, 1.0) / (self.t1 * self.t2)
        variance = self.spread * p1 * (r**2 / self.t1 + r / self.t2 - 2 * r * covariance)
        if self.edited is None:
            return variance
        changes = self.edited.squared_changes(p1 * (1 + r) / 2)
        return np.maximum(variance, 0.0) + (r / self.t1 + 1 / self.t2) ** 2 / 4 * changes

    def design_effect(self) -> Floats:
        """Variance of the difference of shares over that of independent tokens, which shared documents cancel, [K]."""
        p = (self.y1 + self.y2) / (self.t1 + self.t2)
        independent = 1 / self.t1 + 1 / self.t2 - 2 * self.shared_tokens / (self.t1 * self.t2)
        return self.variance(np.ones(1)) / (p * (1 - p) * independent)

    def log_odds(self, prior: float) -> Floats:
        """Log-odds z with a prior of ``prior`` tokens, without the design effect, [K]; see `run_tests`."""
        share = self.pooled / self.pool_tokens
        a = prior * share
        odds1 = special.logit((self.y1 + a) / (self.t1 + prior))
        odds2 = special.logit((self.y2 + a) / (self.t2 + prior))
        unshared = (self.t1 + self.t2 - 2 * self.shared_tokens) * share + 2 * a * (1 - self.overlap)
        z = (odds2 - odds1) / np.sqrt(unshared / ((self.y1 + a) * (self.y2 + a)))
        return np.where(unshared > 0, z, np.where(odds1 == odds2, 0.0, np.nan))


def _interval_null_p(sides: _Sides, z: Floats, interval_null: float) -> Floats:
    """P(Z > z_+) + P(Z > z_-), the signs turned so that the observed change counts as a rise; [K]."""
    up, down = sides.score(2.0**interval_null), sides.score(2.0**-interval_null)
    sign = np.where(z < 0, 1.0, -1.0)
    return np.asarray(np.minimum(special.ndtr(sign * up) + special.ndtr(sign * down), 1.0))


def _bounds(sides: _Sides) -> tuple[Floats, Floats]:
    """log2 of the smallest and the largest ratio that `_Sides.score` does not reject at 5 %, [K] each."""
    if sides.shared_tokens >= sides.pool_tokens and sides.edited is None:
        return np.zeros(len(sides.y1)), np.zeros(len(sides.y1))
    reach = float(special.ndtri(0.5 + LEVEL / 2))
    centre = np.log2(sides.y2 / sides.t2) - np.log2(sides.y1 / sides.t1)
    limit = 2 * np.log2(sides.pool_tokens + 2) + 10
    centre = np.clip(centre, -limit, limit)
    # Twice as far as the usual interval of a log ratio: mostly beyond the bound, and near it.
    far = 2 * reach / np.log(2) * np.sqrt(sides.spread * (1 / (sides.y1 + 0.5) + 1 / (sides.y2 + 0.5)))

    def below(x: Floats) -> Floats:
        return sides.score(np.exp2(x)) - reach

    def above(x: Floats) -> Floats:
        return sides.score(np.exp2(x)) + reach

    low = _root(below, np.where(below(centre - far) > 0, centre - far, -limit), centre)
    high = _root(above, centre, np.where(above(centre + far) < 0, centre + far, limit))
    return np.where(sides.y2 > 0, low, np.nan), np.where(sides.y1 > 0, high, np.nan)


def _root(function: Callable[[Floats], Floats], left: Floats, right: Floats) -> Floats:
    """Where a decreasing function is 0 between ``left`` and ``right``, [K]; the near end where it has one sign.

    Regula falsi with the Illinois step (Dowell and Jarratt 1971, BIT 11): superlinear, and never outside the bracket.
    """
    at_left, at_right = function(left), function(right)
    middle = np.where(at_left <= 0, left, right)
    inside = (at_left > 0) & (at_right < 0)
    side = np.zeros(len(left), np.int8)
    for _ in range(_STEPS):
        if not inside.any():
            break
        guess = (left * at_right - right * at_left) / (at_right - at_left)
        middle = np.where(inside, np.clip(guess, left, right), middle)
        at_middle = function(middle)
        above = at_middle > 0
        left, at_left_new = np.where(inside & above, middle, left), np.where(above, at_middle, at_left)
        right, at_right_new = np.where(inside & ~above, middle, right), np.where(above, at_right, at_middle)
        at_right = np.where(above & (side == 1), at_right_new / 2, at_right_new)
        at_left = np.where(~above & (side == -1), at_left_new / 2, at_left_new)
        side = np.where(above, 1, -1).astype(np.int8)
        inside &= (np.abs(at_middle) > 1e-8) & (right - left > 1e-12)
    return middle
