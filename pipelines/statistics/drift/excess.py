"""The excess divergence, what chance alone makes of it, and its interval.

1. `Chance`: the distances of permutations, corrected for the scatter of the groups on their sides (`scatter`), and the
   excess of the snapshots' divergence over their mean.
2. `excess_bounds`: the values D of the true divergence at which the excess would not be surprising. At D its variance
   is Q + D L / excess: Q is what the permutations show, L what drift adds (`influence`), which goes with the square
   of the difference of the sides' shares, as D does. At 0 there is only chance, so that the interval is above 0
   exactly if the permutations' p is at most 2.5 %, and holds 0 in 95 % of nulls, whatever the distribution of the
   documents. Above 0 it is not symmetric: with the variance at the excess, rather than at the bound, it would be too
   short upwards where the excess is low by chance, and too long downwards where it is high (Wilson 1927, Journal of the
   American Statistical Association 22, on a binomial share). Not used where documents were edited and others came or
   went as well (`permutation._bounds_with_edits`).
3. `unseen_drift`: that tokens which are too rare for these documents have drifted shows less than it should, and yet
   less in halves of the documents. The permutations take away what is of first order in one over the number of
   documents. Of what is left, tokens in several documents have a part of second order, of which the difference between
   all and half has three times what is missing in all, and tokens that half of the documents may lack nearly a part of
   first order, of which it has as much. Half of the difference is added (Richardson 1911, Philosophical Transactions A
   210; Schucany, Gray and Owen 1971, Journal of the American Statistical Association 66).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.scatter import side_noise
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, Floats, TokenContrast, TokenSample

NORMAL_QUANTILE = 1.959963984540054

TAIL = 0.025
"""Error of the interval on either side."""

HALVINGS = 4
"""How often the documents are halved; both halves are compared."""

HALF_PERMUTATIONS = 40
"""Of each half."""

MISSING = 1 / 2
"""Of the difference between the excess of all documents and of half of them: between 1 / (2^2 - 1) and 1 / (2 - 1)."""

LIKE_DOCUMENTS = 4.0
"""How many times `Chance.of_documents` a drift is taken to add: a domain that grows has other words in what documents
differ by most, and not in rare tokens, which are much of the chance."""

DEGREES_OF_LIKE_DOCUMENTS = 16.0
"""Degrees of freedom that this counts for, beside those of the variance that the influences give."""

MOST_OF_CHANCE = 0.4
"""Of the standard deviation of chance, that this is at most: with few tokens chance has few directions, and all drift
would be like it. At an excess of 0 the interval is then a quarter longer than it is without."""

MOST_OF_SQUARE = 0.2
"""Of D^2 that L times 1.96^2 may grow to at the upper bound D: a relative standard error of 0.23."""

_TIE = 1e-9  # sums of the same terms in another order, or on another processor, are ties


@dataclass(frozen=True)
class Chance:
    """What permutations give, beside what was observed.

    Attributes:
        draws: the permutations, [2 or 3 GROUPS, P].
        null: the statistics of each, by name, [P].
        observed: those of the snapshots in the same arithmetic, [1].
        carried: what part of a drift the draws carry (`Exchange.carried`).
    """

    draws: Floats
    null: dict[str, Floats]
    observed: dict[str, Floats]
    carried: float

    @classmethod
    def of(cls, contrast: TokenContrast, exchange: Exchange, permutations: int, seed: int, workers: int = 1) -> Chance:
        """Draw permutations and compute their statistics.

        What was observed is computed once more in the kernel's arithmetic, so that a draw of the very same groups is a
        tie and counts against drift, whatever the last bits are.
        """
        draws = exchange.draws(permutations, seed)
        together = exchange.permuted(np.concatenate([draws, exchange.observed()], axis=1), workers)
        null, observed = ({name: part[which] for name, part in together.items()} for which in (np.s_[:-1], np.s_[-1:]))
        if exchange.moves_documents:
            _correct_for_scatter(null, contrast, exchange, draws)
        return cls(draws, null, observed, exchange.carried(draws))

    def reached(self, name: str) -> int:
        """Permutations in which a statistic is at least what was observed."""
        return int(np.count_nonzero(self.null[name] >= self.observed[name][0] * (1 - _TIE) - _TIE**2))

    @property
    def excess(self) -> float:
        """Jensen-Shannon divergence less what chance gives, in bits."""
        return float(self.observed["jsd"][0] - self.null["jsd"].mean()) / (1 - self.carried)

    @property
    def deviations(self) -> tuple[float, float]:
        """How far above and below the true divergence the excess is by chance alone, in bits, each in 2.5 %.

        From the order statistics of the permutations at (P + 1) times the probability, with which the test that they
        make has its level exactly.
        """
        null = self.null["jsd"]
        low, high = np.quantile(null, (TAIL, 1 - TAIL), method="weibull")
        mean, scale = null.mean(), 1 / (1 - self.carried)
        return float(high - mean) * scale, float(mean - low) * scale

    @property
    def of_documents(self) -> float:
        """What drift D adds to the variance of the excess, over D, if it is as the documents' own differences; in bits.

        With C the covariance of the difference of the sides' shares that chance makes, in the metric of `influence`,
        the draws have the mean tr C and the variance 2 tr C^2, and a drift mu adds 4 mu' C mu: on average over mu with
        the covariance C itself, and over mu' mu, that is 4 tr C^2 / tr C. 0 where chance changes nothing, as where all
        documents are made of one token.
        """
        null = self.null["jsd"]
        if not null.any():
            return 0.0
        return 2 * float(null.var()) / (float(null.mean()) * (1 - self.carried) ** 2)


def _correct_for_scatter(null: dict[str, Floats], contrast: TokenContrast, exchange: Exchange, draws: Floats) -> None:
    """Correct each draw's divergence [P] for groups on its sides that scatter more or less than the snapshots'.

    By how far the divergence goes with `scatter.side_noise` over the draws: in proportion at most, and less where rare
    tokens, whose divergence is bounded, make much of it.
    """
    noise = side_noise(contrast, exchange, np.concatenate([draws, exchange.observed()], axis=1))
    divergence, mean = null["jsd"], noise[:-1].mean()
    deviation = noise[:-1] - mean
    squares = float(deviation @ deviation)
    if squares <= 0:
        return
    slope = min(max(float(deviation @ divergence) / squares, 0.0), float(divergence.mean()) / mean)
    null["jsd"] = np.maximum(divergence + (noise[-1] - noise[:-1]) * slope, 0.0)
    null["jsd_root"] = np.sqrt(null["jsd"])


def excess_bounds(
    excess: float, above: float, below: float, drift: float, least: float = 0.0, new_documents: bool = True
) -> tuple[float, float]:
    """The 95 % interval of the divergence beyond chance, in bits; see the module's docstring.

    Solves (excess - D)^2 = q^2 + 1.96^2 L max(D, 0) / excess for D on either side of the excess, q what chance makes
    of it there. Where the excess is less than a standard error of chance, L is taken for that of a drift of this size.

    For the upper bound L / excess is at least ``least``: the influences say little where the excess is low by chance,
    or few documents make them. The upper bound is the larger of this and, where documents are new, of the same with L
    growing as D^2, which is what it does where tokens of added documents, and not their kind, are what varies; up to
    `MOST_OF_SQUARE` of D^2.

    Args:
        excess: divergence less what chance gives; may be negative.
        above, below: `Chance.deviations`.
        drift: L, the variance that drift adds, in squared bits, at the excess; not used if that is below 0.
        least: of L / excess above the excess, in bits; see `least_ratio`.
        new_documents: whether documents came or went; else all that changed are edits.
    """
    ratio = drift / max(excess, above / NORMAL_QUANTILE) if drift and excess > 0 else 0.0
    low, high = excess - above, excess + below
    if low > 0:
        half = NORMAL_QUANTILE**2 * ratio / 2
        low = excess + half - np.sqrt(half**2 + 2 * half * excess + above**2)
    if high > 0:
        half = NORMAL_QUANTILE**2 * max(ratio, least) / 2
        high = excess + half + np.sqrt(max(half**2 + 2 * half * excess + below**2, 0.0))
        if ratio and new_documents:
            part = min(NORMAL_QUANTILE**2 * drift / max(excess, above) ** 2, MOST_OF_SQUARE)
            inside = excess**2 - (1 - part) * (excess**2 - below**2)
            high = max(high, (excess + np.sqrt(inside)) / (1 - part))
    return float(low), float(high)


def least_ratio(chance: Chance, freedom: float) -> float:
    """What is taken for L / excess at least, above the excess, where L has some degrees of freedom; in bits."""
    weight = DEGREES_OF_LIKE_DOCUMENTS / (DEGREES_OF_LIKE_DOCUMENTS + freedom)
    deviation = float(chance.null["jsd"].std()) / (1 - chance.carried)
    return min(weight * LIKE_DOCUMENTS * chance.of_documents, MOST_OF_CHANCE * deviation)


def unseen_drift(contrast: TokenContrast, exchange: Exchange, excess: float, seed: int, workers: int = 1) -> float:
    """What the excess lacks of the divergence, in bits, from halves of the hash groups; 0 where none can be compared.

    Args:
        contrast: the slice's documents.
        exchange: what the permutations exchange.
        excess: of all documents.
        seed: of the halves, and of their permutations.
        workers: threads.
    """
    rng = np.random.default_rng([seed, 2])
    excesses = []
    for number in range(HALVINGS):
        inside = np.stack([rng.permutation(GROUPS) < GROUPS // 2 for _ in range(4)])
        for which, masks in enumerate((inside, ~inside)):
            half = _part(contrast, masks)
            if not all(count.any() for count in half.counts):
                continue
            alike = Exchange.of(half)
            if exchange.pairs is None:
                alike = alike.without_versions()
            if not exchange.moves_documents:
                alike = alike.with_versions_alone(half)
            if (alike.sign_first, alike.sign_second) == (exchange.sign_first, exchange.sign_second):
                excesses.append(Chance.of(half, alike, HALF_PERMUTATIONS, seed + 2 * number + which, workers).excess)
    return MISSING * (excess - float(np.mean(excesses))) if excesses else 0.0


def _part(contrast: TokenContrast, masks: np.ndarray) -> TokenContrast:
    """The documents of some hash groups, bool [4, GROUPS]: of those removed, added, shared and edited."""
    edited = contrast.edited
    if edited is not None:
        before, current = _groups(edited.before, masks[3]), _groups(edited.current, masks[3])
        edited = replace(edited, before=before, current=current)
    return replace(
        contrast,
        only_baseline=_groups(contrast.only_baseline, masks[0]),
        only_current=_groups(contrast.only_current, masks[1]),
        shared=_groups(contrast.shared, masks[2]),
        edited=edited,
    )


def _groups(sample: TokenSample, mask: np.ndarray) -> TokenSample:
    """Tokens and hash groups of some groups; what else is in a sample is as it was."""
    groups = np.where(mask[:, None], sample.groups, 0)
    count = groups.sum(axis=0)
    return replace(sample, groups=groups, count=count, total_tokens=int(count.sum()))
