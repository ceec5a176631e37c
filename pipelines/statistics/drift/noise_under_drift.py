"""How much more or less chance gives between two sides that differ than the permutations say, who mix the two.

The mean divergence of the permutations is what chance gives if both sides are drawn from the pool. Under drift chance
gives something else. A token of which there are n independent occurrences, each on the first side with probability pi,
has the divergence phi(pi) and the expected divergence

    B_n(pi) = sum_k Binomial(k; n, pi) phi(k / n),

the Bernstein polynomial of phi. Its noise nu_n(pi) = B_n(pi) - phi(pi) is known without an expansion:

* *Rare tokens show less of a drift than they have.* B_1(pi) = phi(0) + pi (phi(1) - phi(0)): between equal sides, a
  token that occurs once shows nothing of a drift, whatever its pi. One that occurs twice shows ln 2 = 69 % of a small
  drift, one that occurs three times 95 %, and from 4 occurrences on it is 100 to 106 %.
* *Between sides of unlike size* the noise of frequent tokens depends on pi as well: a token that the larger side has
  more of is noisier than its share of the pool says, as the smaller side has fewer of it.

The correction is the sum over tokens of nu_n(pi) - nu_n(f), f the first side's part of all tokens that are exchanged.
The pi are what was observed, shrunk until they spread as much as the drift that was measured and no more ("constrained
empirical Bayes": Louis 1984, JASA 79; Ghosh 1992, JASA 87). Without drift they are all f, and the correction is 0.
That documents of one side scatter more than those of the other is no part of it: occurrences are exchangeable here.

Simulated excess of the truth (`tests/benchmarks/calibration`, and the tests of this module): bursty documents, strong
drift, without and with the correction 97 and 99 % at 1:1, 98 and 98 % at 1:3, 94 and 100 % at 3:1; documents of
independent, mostly rare tokens, a baseline of 150 with 150 appended, 91 and 105 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.drift.divergence import LN2
from corpus_audit.pipelines.statistics.drift.exchange import Exchange
from corpus_audit.pipelines.statistics.drift.token_sample import Floats, Integers

MOST_OCCURRENCES = 64
"""Independent occurrences of a token up to which its noise is summed exactly; beyond, by the second derivative."""

_LOG_VARIANCES = (-32.0, 4.0)
"""Natural logarithms of the variance of pi between which it is sought; at the upper end nothing is shrunk."""

_BISECTIONS = 12  # the variance to 1 %

MOST_BY_EXCESS = 0.5
"""Of the excess, the most that the correction takes away or adds before it is made consistent with its result."""


def noise_under_drift(exchange: Exchange, excess: float, clustered: bool) -> float:
    """How much more chance gives at a drift of ``excess`` bits than the permutations' mean, in bits; below 0 if less.

    0 where only versions of edited documents are exchanged: their pairs have most of a token on both sides.

    Args:
        exchange: the documents that a permutation exchanges.
        excess: divergence beyond the permutations' mean, bits.
        clustered: whether the hash groups are made of clusters of documents (`TokenContrast.clustered`).
    """
    if not exchange.moves_documents or excess <= 0:
        return 0.0
    tokens = ExchangedTokens.of(exchange, clustered)
    even = np.full(len(tokens.count), tokens.even)
    without = tokens.noise(even)
    most = float(tokens.divergence(tokens.count * tokens.observed).sum())
    low, high = _LOG_VARIANCES
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        drift = float(tokens.divergence(tokens.count * tokens.shrunk(float(np.exp(middle)))).sum())
        low, high = (middle, high) if drift < min(excess, most) else (low, middle)
    pi = tokens.shrunk(float(np.exp((low + high) / 2)))
    change = float((tokens.noise(pi) - without).sum()) / excess
    change = min(max(change, -MOST_BY_EXCESS), MOST_BY_EXCESS)
    # It is of a drift of ``excess``, and that of the corrected one is wanted, to which it is in proportion.
    return excess * change / (1 + change)


@dataclass(frozen=True)
class ExchangedTokens:
    """The N tokens of the documents that are exchanged, and the divergence by how many the pseudo-baseline draws.

    Attributes:
        count: float64 [N], occurrences in all exchanged documents.
        occurrences: int64 [N], independent ones: the squared count over its scatter between documents, at least 1.
        observed: float64 [N], share of the count that is the first side's.
        even: share of the first side in all exchanged tokens.
        fixed: float64 [2, N], shares on the two sides if nothing is drawn.
        steps: what a token that is drawn adds to the share on each side.
    """

    count: Floats
    occurrences: Integers
    observed: Floats
    even: float
    fixed: Floats
    steps: tuple[float, float]

    @classmethod
    def of(cls, exchange: Exchange, clustered: bool) -> ExchangedTokens:
        """Tokens of both sides' exchangeable documents; of clusters, independent occurrences are counted in groups."""
        first, second = exchange.first, exchange.second
        count = (first.count + second.count).astype(np.float64)
        occurs = count > 0
        tokens = float(first.total_tokens + second.total_tokens)
        share = count / tokens
        squared, product = first.squared + second.squared, first.product + second.product
        scatter = squared - 2 * share * product + share**2 * (first.total_squared + second.total_squared)
        with np.errstate(divide="ignore", invalid="ignore"):
            rarity = np.maximum(scatter, count) / count**2  # 1 / occurrences
            if clustered:
                groups = [sample.groups.astype(np.float64) for sample in (first, second)]
                occupied = sum(int(np.count_nonzero(each.any(axis=1))) for each in groups)
                by_group = (np.square(groups[0]).sum(axis=0) + np.square(groups[1]).sum(axis=0)) / count**2
                rarity = np.maximum(rarity, by_group - 1 / max(occupied, 1))
        t1, t2 = exchange.token_totals
        return cls(
            count[occurs],
            np.maximum(np.rint(1 / rarity[occurs]), 1).astype(np.int64),
            first.count[occurs] / count[occurs],
            first.total_tokens / tokens,
            np.stack([exchange.fixed_first[occurs] / t1, exchange.fixed_second[occurs] / t2]),
            (exchange.sign_first / t1, exchange.sign_second / t2),
        )

    def shrunk(self, variance: float) -> Floats:
        """Shares on the first side that have a spread of ``variance`` about ``even``, [N].

        What is observed of n occurrences varies by even (1 - even) / n more, and is drawn to its mean by the root of
        the ratio of variances. The mean is that of tokens about as rare (1, 2 to 3, 4 to 7, ... occurrences): it need
        not be ``even``, as a token has more occurrences if the larger side has more of it. It is off by
        ``variance`` / 2 over even (1 - even) where logarithms of the ratio of the two shares are normal, so that twice
        as much is the most that it is taken for: chance moves it, too.
        """
        band = np.frexp(self.occurrences)[1]
        sizes = np.bincount(band, self.occurrences)
        means = np.bincount(band, self.occurrences * self.observed) / np.maximum(sizes, 1)
        chance = self.even * (1 - self.even)
        own = np.sqrt(variance / (variance + chance / self.occurrences))
        most = variance / chance
        centre = self.even + np.clip(means - self.even, -most, most)
        return np.asarray(np.clip(centre[band] + own * (self.observed - means[band]), 0.0, 1.0))

    def divergence(self, drawn: Floats, which: npt.NDArray[np.int64] | slice = slice(None)) -> Floats:
        """What tokens add to the Jensen-Shannon divergence, in bits, if ``drawn`` [M] or [M, Z] of each are drawn."""
        fixed = self.fixed[:, which] if drawn.ndim == 1 else self.fixed[:, which, None]
        p = np.maximum(fixed[0] + self.steps[0] * drawn, 0.0)
        q = np.maximum(fixed[1] + self.steps[1] * drawn, 0.0)
        middle = (p + q) / 2
        return np.asarray((special.rel_entr(p, middle) + special.rel_entr(q, middle)) / (2 * LN2))

    def noise(self, pi: Floats) -> Floats:
        """nu_n(pi) of each token in bits, [N]."""
        noise = np.zeros(len(pi))
        for n in range(1, MOST_OCCURRENCES + 1):
            which = np.flatnonzero(self.occurrences == n)
            if len(which):
                drawn = self.count[which, None] * (np.arange(n + 1) / n)
                expected = (_binomial(n, pi[which]) * self.divergence(drawn, which)).sum(axis=1)
                noise[which] = expected - self.divergence(self.count[which] * pi[which], which)
        which = np.flatnonzero(self.occurrences > MOST_OCCURRENCES)
        variance = self.count[which] ** 2 * pi[which] * (1 - pi[which]) / self.occurrences[which]
        noise[which] = variance / 2 * self._curvature(self.count[which] * pi[which], which)
        return noise

    def _curvature(self, drawn: Floats, which: npt.NDArray[np.int64]) -> Floats:
        """Second derivative of `divergence` by what is drawn, [M]."""
        p, q = (self.fixed[side, which] + self.steps[side] * drawn for side in (0, 1))
        least = 1e-9 * (p + q)
        p, q = np.maximum(p, least), np.maximum(q, least)
        first, second = self.steps
        return np.asarray((q / p * first**2 + p / q * second**2 - 2 * first * second) / (2 * LN2 * (p + q)))


def _binomial(n: int, probability: Floats) -> Floats:
    """Binomial probabilities of 0 to n [M, n + 1] for probabilities [M]."""
    k = np.arange(n + 1)
    coefficients = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    chance = probability[:, None]
    return np.asarray(np.exp(coefficients + special.xlogy(k, chance) + special.xlogy(n - k, 1 - chance)))
