"""How much of the change between two token distributions is a changed mix of domains, and how much changed text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from corpus_audit.pipelines.statistics.drift.token_spread import count_spread, on_both_sides
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
    """The total change and its parts, of the corpus or of a domain's contribution.

    Mixture and content add up to the total; edits, added and removed add up to content.

    Attributes:
        edits, added, removed: what documents that were edited, came and went make of the content; no null mean.
    """

    total: Part
    mixture: Part
    content: Part
    edits: Part
    added: Part
    removed: Part


@dataclass(frozen=True)
class Decomposition:
    """The split of a change over a vocabulary of V tokens and G domains.

    Attributes:
        total, mixture, content: float64 [V], changes of token shares; mixture and content add up to the total.
        edits, added, removed: float64 [V], the parts of the content.
        overall: the parts of the whole change.
        domains: each domain's contribution, G in the order given; contributions add up to the parts.
    """

    total: Floats
    mixture: Floats
    content: Floats
    edits: Floats
    added: Floats
    removed: Floats
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

    The content of a domain is what its documents did. With t_s its tokens, b, c, a, r and k the token counts [V] of the
    edited documents before and now and of the added, the removed and the kept ones, |x| the sum of x, and
    q = Pbar_g, each document counts by how it differs from the domain's average, x' = x - q |x|, which takes nothing
    from the sum as both distributions add up to 1:

        P_2g - P_1g = (c' / t_2 - b' / t_1)  +  a' / t_2  -  r' / t_1  +  k' (1 / t_2 - 1 / t_1).

    The last term is no document's doing: kept text weighs less where others came. As t_1 - t_2 = |b| - |c| - |a| + |r|,
    it is divided among them in proportion, which makes edits, added and removed documents an exact sum.

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
    edits: _Change
    added: _Change
    removed: _Change
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
        self.causes = np.zeros((3, len(before)))
        self.mixture_variance = np.zeros(len(before))
        self.noise = np.zeros((3, len(before)))
        self.shared = 0
        self.seen = np.zeros(2)
        self.domains: list[_Domain] = []

    def add(self, contrast: TokenContrast) -> None:
        """Add one domain."""
        tokens = contrast.tokens
        t1, t2 = map(float, contrast.token_totals)
        if t1 + t2 == 0:
            nothing = self._change(np.zeros(len(self.total)))
            changes = nothing, nothing, nothing, nothing, nothing, nothing
            self.domains.append(_Domain(*changes, content_null=0.0, distance=0.0, tokens=0.0, squared=0.0))
            return
        count1, count2 = contrast.counts
        own1 = count1 / (t1 if t1 else np.nan)
        own2 = count2 / (t2 if t2 else np.nan)
        own1, own2 = (own1 if t1 else own2), (own2 if t2 else own1)
        part1, part2 = t1 / self.sizes[0], t2 / self.sizes[1]
        unlike = -self.average
        unlike[tokens] += (own1 + own2) / 2
        mixture = unlike * (part2 - part1)
        weight = (part1 + part2) / 2
        content = np.zeros(len(self.total))
        content[tokens] = weight * (own2 - own1)
        causes = np.zeros((3, len(self.total)))
        if t1 and t2:
            causes[:, tokens] = weight * _causes(contrast, t1, t2, (own1 + own2) / 2)
        self.mixture += mixture
        self.content += content
        self.causes += causes
        self.shared += on_both_sides(contrast).total_tokens
        self.seen += t1, t2
        squared = _squared_lengths(contrast)
        self.mixture_variance += squared * unlike**2
        content_null = self._content_noise(contrast, weight, t1, t2) if t1 and t2 else 0.0
        self.domains.append(
            _Domain(
                total=self._change(mixture + content),
                mixture=self._change(mixture),
                content=self._change(content),
                edits=self._change(causes[0]),
                added=self._change(causes[1]),
                removed=self._change(causes[2]),
                content_null=content_null,
                distance=float(np.abs(unlike).sum()) / 2,
                tokens=t1 + t2 - on_both_sides(contrast).total_tokens,
                squared=squared,
            )
        )

    def _content_noise(self, contrast: TokenContrast, weight: float, t1: float, t2: float) -> float:
        """Mean TVD of a domain's content part by chance; its tokens' variances are added up."""
        both = on_both_sides(contrast)
        shared = float(both.total_tokens)
        alone = float(contrast.only_baseline.total_tokens), float(contrast.only_current.total_tokens)
        pool = max(alone[0] + alone[1] + shared, 1.0)
        # One occurrence falls into a side's own documents or into both, in proportion to their tokens.
        steps = np.array([1 / t1, 1 / t2, abs(1 / t2 - 1 / t1)]) * weight
        odds = np.array([*alone, shared]) / pool
        mean, square = float((odds * steps).sum()), float((odds * steps**2).sum())
        count = (contrast.only_baseline.count + contrast.only_current.count + both.count).astype(np.float64)
        spread = count_spread(contrast)
        spread = np.where(np.isfinite(spread), spread, count)
        with np.errstate(divide="ignore", invalid="ignore"):
            bursts = np.where(spread > 0, np.maximum(count / spread, 1.0), np.inf)
        variance = spread * count * square
        most = count * mean
        if contrast.edited is not None:
            # The two versions of each pair fall to the sides at random: see `score_tests.run_tests`.
            count1, count2 = contrast.counts
            changes = contrast.edited.squared_changes((count1 + count2) / (t1 + t2))
            exchanged = changes * ((1 / t1 + 1 / t2) / 2 * weight) ** 2
            variance = variance + exchanged
            most = most + np.sqrt(exchanged * contrast.edited.documents)  # by Cauchy and Schwarz
        means = _absolute_mean(variance, bursts, most)
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
                Parts(
                    domain.total.part(),
                    domain.mixture.part(null),
                    domain.content.part(domain.content_null),
                    domain.edits.part(),
                    domain.added.part(),
                    domain.removed.part(),
                )
            )
        return Decomposition(
            total=self.total,
            mixture=self.mixture,
            content=self.content,
            edits=self.causes[0],
            added=self.causes[1],
            removed=self.causes[2],
            overall=Parts(
                self._change(self.total).part(),
                self._change(self.mixture).part(mixture_null),
                self._change(self.content).part(content_null),
                *(self._change(cause).part() for cause in self.causes),
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


def _causes(contrast: TokenContrast, t1: float, t2: float, average: Floats) -> Floats:
    """What edits, added and removed documents make of P_2g - P_1g, [3, K]; see `decompose`.

    Args:
        contrast: the domain's, with tokens on both sides.
        t1, t2: tokens of the two sides.
        average: Pbar_g, [K].
    """

    def apart(sample: TokenSample) -> Floats:
        return np.asarray(sample.count - average * sample.total_tokens)

    added, removed = contrast.only_current, contrast.only_baseline
    thinned = -apart(contrast.shared) / (t1 * t2)
    edits = np.zeros(len(average))
    if contrast.edited is not None:
        before, now = contrast.edited.before, contrast.edited.current
        edits = apart(now) / t2 - apart(before) / t1 + thinned * (now.total_tokens - before.total_tokens)
    return np.stack(
        [
            edits,
            apart(added) / t2 + thinned * added.total_tokens,
            -apart(removed) / t1 - thinned * removed.total_tokens,
        ]
    )


def _squared_lengths(contrast: TokenContrast) -> float:
    """Sum of n^2 over documents, or over clusters (as `grouped.RandomGroups` estimates it) where that is larger."""
    sets = contrast.only_baseline, contrast.only_current, on_both_sides(contrast)
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
