"""How much of the change between two token distributions is a changed mix of domains, and how much changed text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast
from corpus_audit.pipelines.statistics.drift.token_spread import count_spread
from corpus_audit.pipelines.statistics.intervals.clustered import Floats

_HALF_NORMAL = float(np.sqrt(2 / np.pi))
"""Mean of |Z| for a standard normal Z."""


@dataclass(frozen=True)
class Part:
    """What one part changes.

    Attributes:
        tvd: half the summed absolute change, a share.
        attribution: signed share of the total change that the part explains, sum_w part_w sign(total_w) / sum |total|;
            those of all parts add up to 1. NaN if nothing changed.
        null_mean: the ``tvd`` to expect when both sides are drawn from one source; NaN for the total.
        excess: ``tvd - null_mean``.
        top_tokens: int64, the tokens of largest absolute change, descending; those of none are left out.
        top_changes: float64, their changes.
    """

    tvd: float
    attribution: float
    null_mean: float
    excess: float
    top_tokens: npt.NDArray[np.int64]
    top_changes: Floats


@dataclass(frozen=True)
class Parts:
    """The total change and its two parts, of the corpus or of a domain's contribution."""

    total: Part
    mixture: Part
    content: Part


@dataclass(frozen=True)
class Decomposition:
    """The split of a change over a vocabulary of V tokens and G domains.

    Attributes:
        total, mixture, content: float64 [V], changes of token shares; mixture and content add up to the total.
        overall: the parts of the whole change.
        domains: each domain's contribution, G in the order given; contributions add up to the parts.
    """

    total: Floats
    mixture: Floats
    content: Floats
    overall: Parts
    domains: list[Parts]


def decompose(
    baseline: npt.ArrayLike, current: npt.ArrayLike, domains: Iterable[TokenContrast], top: int = 10
) -> Decomposition:
    """Split P_2 - P_1, the change of the corpus's token distribution, into mixture and content.

    Kitagawa (1955, JASA 50), Oaxaca and Blinder (1973), in the symmetric form, which is exact. With pi_sg the share of
    domain g in the tokens of side s, P_sg its token distribution and bars averages of the two sides,

        P_2 - P_1 = sum_g (pi_2g - pi_1g) (Pbar_g - Pbar)  +  sum_g pibar_g (P_2g - P_1g).

    Pbar, the average of the two corpora, takes nothing from the sum, as the changes of the shares add up to 0; it makes
    a domain's contribution to the mixture 0 when its text is like the corpus's. A domain that one side lacks has the
    other side's distribution on both: its coming or going is mixture.

    Sampling alone gives each part some absolute change. Its mean is estimated token by token from clustered variances,
    with the shared documents' covariance subtracted (they cause no noise). For the content of a domain the variance is
    spread p (1 / T_1 + 1 / T_2 - 2 T_S / (T_1 T_2)), see `token_spread.count_spread`, and the mean that of a half
    normal, sqrt(2 / pi) of the deviation. A token with few independent occurrences (Y / spread of them) is not normal:
    its mean is at most that many times the mean of a single one, and exactly that for a single one. For the mixture the
    variance follows from the sums n^2 of the domains (`clustered.DocumentClusters`). The null means, like the parts,
    hold for what is unexplained by chance on average; a real change adds to them in quadrature rather than linearly, so
    ``excess`` is then a lower estimate of it.

    Args:
        baseline: int [V], the baseline's token counts.
        current: int [V], the current snapshot's.
        domains: the domains' contrasts, over token ids below V; read once. They add up to the two sides.
        top: tokens listed by part; tests vary it.

    Raises:
        ValueError: if a side holds no tokens, or if the domains do not add up to the sides.
    """
    sides = np.asarray(baseline, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if min(side.sum() for side in sides) <= 0:
        raise ValueError("a side without tokens has no distribution to compare")
    split = _Split(*sides, top)
    for contrast in domains:
        split.add(contrast)
    return split.result()


@dataclass(frozen=True)
class _Change:
    """A vector's summary before its null is known: Part's fields but the null."""

    tvd: float
    attribution: float
    top_tokens: npt.NDArray[np.int64]
    top_changes: Floats

    def part(self, null_mean: float = float("nan")) -> Part:
        return Part(self.tvd, self.attribution, null_mean, self.tvd - null_mean, self.top_tokens, self.top_changes)


@dataclass(frozen=True)
class _Domain:
    """A domain's contribution before the corpus's sums are known."""

    total: _Change
    mixture: _Change
    content: _Change
    content_null: float
    distance: float
    tokens: float
    squared: float


class _Split:
    """Adds up the domains' contributions and their variances, [V] each."""

    def __init__(self, before: Floats, now: Floats, top: int) -> None:
        self.sizes = float(before.sum()), float(now.sum())
        shares = before / self.sizes[0], now / self.sizes[1]
        self.total = shares[1] - shares[0]
        self.average = (shares[0] + shares[1]) / 2
        self.direction = np.sign(self.total)
        self.magnitude = float(np.abs(self.total).sum())
        self.top = top
        self.mixture = np.zeros(len(before))
        self.content = np.zeros(len(before))
        self.mixture_variance = np.zeros(len(before))
        self.noise = np.zeros((3, len(before)))
        self.shared = 0
        self.seen = np.zeros(2)
        self.domains: list[_Domain] = []

    def add(self, contrast: TokenContrast) -> None:
        """Add one domain."""
        tokens = contrast.tokens
        parts = contrast.only_baseline, contrast.only_current, contrast.shared
        t1, t2 = (float(part.total_tokens + contrast.shared.total_tokens) for part in parts[:2])
        if t1 + t2 == 0:
            nothing = self._change(np.zeros(len(self.total)))
            self.domains.append(_Domain(nothing, nothing, nothing, 0.0, 0.0, 0.0, 0.0))
            return
        own1 = (contrast.only_baseline.count + contrast.shared.count) / (t1 if t1 else np.nan)
        own2 = (contrast.only_current.count + contrast.shared.count) / (t2 if t2 else np.nan)
        own1, own2 = (own1 if t1 else own2), (own2 if t2 else own1)
        part1, part2 = t1 / self.sizes[0], t2 / self.sizes[1]
        unlike = -self.average
        unlike[tokens] += (own1 + own2) / 2
        mixture = unlike * (part2 - part1)
        weight = (part1 + part2) / 2
        content = np.zeros(len(self.total))
        content[tokens] = weight * (own2 - own1)
        self.mixture += mixture
        self.content += content
        self.shared += contrast.shared.total_tokens
        self.seen += t1, t2
        squared = _squared_lengths(contrast)
        self.mixture_variance += squared * unlike**2
        content_null = self._content_noise(contrast, weight, t1, t2) if t1 and t2 else 0.0
        self.domains.append(
            _Domain(
                total=self._change(mixture + content),
                mixture=self._change(mixture),
                content=self._change(content),
                content_null=content_null,
                distance=float(np.abs(unlike).sum()) / 2,
                tokens=float(sum(part.total_tokens for part in parts)),
                squared=squared,
            )
        )

    def _content_noise(self, contrast: TokenContrast, weight: float, t1: float, t2: float) -> float:
        """Mean TVD of a domain's content part by chance; its tokens' variances are added up."""
        shared = float(contrast.shared.total_tokens)
        alone = t1 - shared, t2 - shared
        pool = alone[0] + alone[1] + shared
        # One occurrence falls into a side's own documents or into both, in proportion to their tokens.
        steps = np.array([1 / t1, 1 / t2, abs(1 / t2 - 1 / t1)]) * weight
        odds = np.array([*alone, shared]) / pool
        mean, square = float((odds * steps).sum()), float((odds * steps**2).sum())
        count = (contrast.only_baseline.count + contrast.only_current.count + contrast.shared.count).astype(np.float64)
        spread = count_spread(contrast)
        spread = np.where(np.isnan(spread), count, spread)
        with np.errstate(divide="ignore", invalid="ignore"):
            bursts = np.where(spread > 0, np.maximum(count / spread, 1.0), np.inf)
        variance = spread * count * square
        means = _absolute_mean(variance, bursts, count * mean)
        tokens = contrast.tokens
        self.noise[0, tokens] += variance
        self.noise[1, tokens] += means
        self.noise[2, tokens] += variance**2 / bursts
        return float(means.sum()) / 2

    def result(self) -> Decomposition:
        """The split.

        Raises:
            ValueError: if the domains do not add up to the sides.
        """
        if not np.allclose(self.seen, self.sizes, rtol=1e-12, atol=0):
            raise ValueError(f"the domains hold {self.seen} tokens, the two sides {self.sizes}")
        pool = sum(self.sizes) - self.shared
        unshared = 1 / self.sizes[0] + 1 / self.sizes[1] - 2 * self.shared / (self.sizes[0] * self.sizes[1])
        scale = max(unshared, 0.0) / pool
        squared = sum(domain.squared for domain in self.domains)
        mixture_null = _HALF_NORMAL * float(np.sqrt(self.mixture_variance * scale).sum()) / 2
        variance, means, fourth = self.noise
        with np.errstate(divide="ignore", invalid="ignore"):
            bursts = np.where(fourth > 0, variance**2 / fourth, np.inf)
        content_null = float(_absolute_mean(variance, bursts, means).sum()) / 2
        domains = []
        for domain in self.domains:
            share = domain.tokens / pool
            deviation = np.sqrt((domain.squared * (1 - 2 * share) + share**2 * squared) * scale)
            null = _HALF_NORMAL * float(deviation) * domain.distance
            domains.append(
                Parts(domain.total.part(), domain.mixture.part(null), domain.content.part(domain.content_null))
            )
        return Decomposition(
            total=self.total,
            mixture=self.mixture,
            content=self.content,
            overall=Parts(
                self._change(self.total).part(),
                self._change(self.mixture).part(mixture_null),
                self._change(self.content).part(content_null),
            ),
            domains=domains,
        )

    def _change(self, vector: Floats) -> _Change:
        size = np.abs(vector)
        kept = min(self.top, len(vector))
        first = np.argpartition(-size, kept - 1)[:kept] if kept else np.zeros(0, dtype=np.int64)
        first = first[np.lexsort((first, -size[first]))]
        first = first[size[first] > 0]
        explained = float((vector * self.direction).sum()) / self.magnitude if self.magnitude else float("nan")
        return _Change(float(size.sum()) / 2, explained, first, vector[first])


def _squared_lengths(contrast: TokenContrast) -> float:
    """Sum of n^2 over documents, or over clusters (as `grouped.RandomGroups` estimates it) where that is larger."""
    sets = contrast.only_baseline, contrast.only_current, contrast.shared
    squared = float(sum(part.total_squared for part in sets))
    if contrast.clustered:
        sizes = np.sum([part.groups.sum(axis=1) for part in sets], axis=0).astype(np.float64)
        squared = max(squared, float(((sizes - sizes.mean()) ** 2).sum()) * GROUPS / (GROUPS - 1))
    return squared


def _absolute_mean(variance: Floats, bursts: Floats, most: Floats) -> Floats:
    """Mean of |X| for X the sum of ``bursts`` independent terms whose absolute means add up to ``most``, [N]."""
    usual = np.minimum(most, _HALF_NORMAL * np.sqrt(variance))
    single = np.clip(2 - bursts, 0, 1)
    return np.asarray(single * most + (1 - single) * usual)
