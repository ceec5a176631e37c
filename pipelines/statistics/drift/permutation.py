"""How far two snapshots' token distributions are apart, against what chance gives: permutation of hash groups.

Two snapshots of one corpus share most of their documents. Relabelling all groups freely is then wrong in either
direction, so the documents that both hold stay on both pseudo-sides, and only groups of the others are exchanged, drawn
in the ratio of the two sides' tokens. p = (1 + #{T_perm >= T}) / (B + 1) is never 0 (Phipson and Smyth 2010).

The Jensen-Shannon divergence is judged as its excess over the null mean, with a delete-a-group jackknife interval
(Wolter 2007, chapter 4); a percentile bootstrap would be biased upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from corpus_audit.pipelines.kernels.drift.divergence import exchange_sums
from corpus_audit.pipelines.statistics.drift import divergence
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, Floats, Integers, TokenContrast, TokenSample
from corpus_audit.schemas.tables.drift_tables import EVEN_COPIES

STATISTICS = {
    "jsd": divergence.jensen_shannon,
    "jsd_root": divergence.jensen_shannon_root,
    "tvd": divergence.total_variation,
    "hellinger": divergence.hellinger,
    "psi": divergence.population_stability,
    "kl": divergence.kullback_leibler,
}
"""The six statistics by name; ``kl`` is of the current snapshot from the baseline."""

UNITS = {"jsd": "bits", "jsd_root": "1", "tvd": "1", "hellinger": "1", "psi": "nats", "kl": "bits"}

PERMUTATIONS = 1999
SEED = 20_240_229

NORMAL_QUANTILE = 1.959963984540054

FEWEST_GROUPS = 16.0
"""Effective hash groups, T^2 / sum_g T_g^2, that a side needs: about 21 documents of equal length, more of unequal."""

FEWEST_DRAWN = 4.0
"""Groups of typical size that the smaller pseudo-side must be made of."""

NEGLIGIBLE = 1 / 32
"""Unshared documents of one side with at most this share of the other's unshared tokens count as shared."""

_TIE = 1e-9  # sums of the same terms in another order, or on another processor, are ties


@dataclass(frozen=True, slots=True)
class Distance:
    """One statistic of a slice and its null; None where nothing can be said.

    Attributes:
        name: a key of `STATISTICS`.
        value: the plug-in statistic, in `UNITS`.
        null_mean: its mean over the permutations; of ``jsd`` less what they carry of a drift, see `Exchange.carried`.
        null_low: 2.5 % quantile of the permutations.
        null_high: 97.5 % quantile.
        p: permutation p, a multiple of 1 / (permutations + 1).
    """

    name: str
    value: float | None
    null_mean: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    p: float | None = None

    @property
    def excess(self) -> float | None:
        """``value - null_mean``."""
        return None if self.value is None or self.null_mean is None else self.value - self.null_mean


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """The six statistics of a slice.

    Attributes:
        distances: by name, in the order of `STATISTICS`.
        permutations: B; 0 if none were drawn.
        low: lower 95 % bound of the excess of ``jsd`` in bits; None where nothing can be said.
        high: upper 95 % bound. If there are bounds but no p, chance could not be subtracted: ``high`` then bounds the
            divergence with its noise, and ``low`` is 0.
        reason: why p or the interval is missing or degenerate.
    """

    distances: dict[str, Distance]
    permutations: int
    low: float | None
    high: float | None
    reason: str | None


def drift_summary(
    contrast: TokenContrast, permutations: int = PERMUTATIONS, seed: int = SEED, workers: int = 1
) -> DriftSummary:
    """Distances of the current snapshot from the baseline, their nulls, and the interval of the excess divergence.

    The same for any number of workers. Where one side has no unshared documents (append-only), or next to none, its
    shared part stands in: the baseline's groups and the added ones are exchanged, and the current snapshot stays whole.

    Args:
        contrast: all tokens of the slice.
        permutations: B.
        seed: of the draws; calibration by simulation varies it.
        workers: threads.
    """
    baseline, current = contrast.baseline.count, contrast.current.count
    if not baseline.any() or not current.any():
        reason = without_tokens(bool(baseline.any()), bool(current.any()))
        return DriftSummary({name: Distance(name, None) for name in STATISTICS}, 0, None, None, reason)
    values = {name: float(function(baseline, current)) for name, function in STATISTICS.items()}
    if not contrast.only_baseline.total_documents and not contrast.only_current.total_documents:
        return _unchanged("both hold the same documents: there is no drift, and nothing that chance could change")
    if _only_copies(contrast):
        return _unchanged(EVEN_COPIES)

    exchange = Exchange.of(contrast)
    few = exchange.too_few()
    if few is not None:
        return DriftSummary({name: Distance(name, value) for name, value in values.items()}, 0, None, None, few)
    coarse = exchange.too_coarse()
    if coarse is not None:
        distances = {name: Distance(name, value) for name, value in values.items()}
        high = values["jsd"] + NORMAL_QUANTILE * jackknife_error(contrast, exchange, 0.0, workers)
        return DriftSummary(distances, 0, 0.0, high, coarse)

    draws = exchange.draws(permutations, seed)
    null = exchange.permuted(draws, workers)
    observed = exchange.permuted(exchange.observed(), workers)
    distances = {}
    for name, value in values.items():
        low, high = np.quantile(null[name], (0.025, 0.975))
        reached = int(np.count_nonzero(null[name] >= observed[name][0] * (1 - _TIE) - _TIE**2))
        p = (1 + reached) / (permutations + 1)
        distances[name] = Distance(name, value, float(null[name].mean()), float(low), float(high), p)
    excess = (values["jsd"] - float(null["jsd"].mean())) / (1 - exchange.carried(draws))
    noise = values["jsd"] - excess
    distances["jsd"] = replace(distances["jsd"], null_mean=noise)
    reach = NORMAL_QUANTILE * jackknife_error(contrast, exchange, noise, workers)
    return DriftSummary(distances, permutations, excess - reach, excess + reach, None)


def without_tokens(before: bool, now: bool) -> str:
    """Why two sides of which one or both have no tokens cannot be compared; whether each has some."""
    if before or now:
        return f"the {'current snapshot' if before else 'baseline'} holds no tokens"
    return "neither snapshot holds a token"


def _unchanged(reason: str) -> DriftSummary:
    """Every distance 0, and certainly so."""
    same = {name: Distance(name, 0.0, 0.0, 0.0, 0.0, 1.0) for name in STATISTICS}
    return DriftSummary(same, 0, 0.0, 0.0, reason)


def _only_copies(contrast: TokenContrast) -> bool:
    """Whether one side holds all documents of the other and more, and every token has the very same share in both."""
    if contrast.only_baseline.total_documents and contrast.only_current.total_documents:
        return False
    baseline, current = contrast.baseline.count, contrast.current.count
    before, now = int(baseline.sum()), int(current.sum())
    if not np.allclose(baseline / before, current / now, rtol=1e-9, atol=0):
        return False
    return bool((baseline.astype(object) * now == current.astype(object) * before).all())  # int64 would overflow


@dataclass(frozen=True)
class Exchange:
    """Which groups may change sides, and what the two pseudo-sides hold for every choice among them.

    Attributes:
        first: the baseline's exchangeable documents.
        second: the current snapshot's.
        fixed_first: int64 [K], what the pseudo-baseline holds whatever is drawn.
        fixed_second: int64 [K], what the pseudo-current holds before drawn groups are added or taken away.
        sign_first: 1 if the pseudo-baseline gains the drawn groups, 0 if it is the same for every draw.
        sign_second: -1 if the pseudo-current loses them, else 0.
    """

    first: TokenSample
    second: TokenSample
    fixed_first: Integers
    fixed_second: Integers
    sign_first: int
    sign_second: int

    @classmethod
    def of(cls, contrast: TokenContrast) -> Exchange:
        """Unshared against unshared documents; where one side has next to none, its shared part stands in."""
        removed, added, shared = contrast.only_baseline, contrast.only_current, contrast.shared
        everything = removed.count + added.count + shared.count
        none = np.zeros_like(everything)
        if removed.total_tokens <= added.total_tokens * NEGLIGIBLE and shared.total_tokens:
            return cls(contrast.baseline, added, none, everything, 1, 0)
        if added.total_tokens <= removed.total_tokens * NEGLIGIBLE and shared.total_tokens:
            return cls(removed, contrast.current, everything, everything, 0, -1)
        return cls(removed, added, shared.count, everything, 1, -1)

    @cached_property
    def sizes(self) -> Floats:
        """Tokens of the groups, [2 GROUPS]: the first side's, then the second's."""
        return np.concatenate([self.first.groups.sum(axis=1), self.second.groups.sum(axis=1)]).astype(np.float64)

    def too_few(self) -> str | None:
        """Why the documents are too few to tell, or None."""
        for side, sizes in (("baseline", self.sizes[:GROUPS]), ("current snapshot", self.sizes[GROUPS:])):
            effective = _effective(sizes)
            if effective < FEWEST_GROUPS:
                return (
                    f"too few documents in the {side} that can be exchanged: their tokens are spread as over "
                    f"{effective:.1f} equal hash groups, and {FEWEST_GROUPS:.0f} are needed"
                )
        return None

    def too_coarse(self) -> str | None:
        """Why pseudo-sides of the right size cannot be drawn, or None."""
        smaller = min(self.sizes[:GROUPS].sum(), self.sizes[GROUPS:].sum())
        drawn = smaller * self.sizes.sum() / (self.sizes**2).sum()
        if drawn < FEWEST_DRAWN:
            return (
                f"the sides differ so much in size that the smaller is made of {drawn:.1f} hash groups, and "
                f"{FEWEST_DRAWN:.0f} are needed to draw its like: the upper bound includes chance"
            )
        return None

    def observed(self) -> Floats:
        """The selection [2 GROUPS, 1] that the two snapshots are."""
        return np.repeat([1.0, 0.0], GROUPS)[:, None]

    def draws(self, permutations: int, seed: int) -> Floats:
        """Groups of the pseudo-baseline in each permutation, 0 or 1, [2 GROUPS, permutations].

        The smaller side is filled in random order with every group that still fits into its number of tokens, give or
        take half the smallest group.
        """
        sizes = self.sizes
        first, second = sizes[:GROUPS].sum(), sizes[GROUPS:].sum()
        order = np.random.default_rng(seed).random((permutations, 2 * GROUPS)).argsort(axis=1)
        room = np.full(permutations, min(first, second) + sizes[sizes > 0].min() / 2)
        selection = np.zeros((2 * GROUPS, permutations))
        every = np.arange(permutations)
        for group in order.T:
            fits = sizes[group] <= room
            room -= np.where(fits, sizes[group], 0.0)
            selection[group, every] = fits
        return selection if first <= second else 1.0 - selection

    def first_order_noise(self, scatters: Sequence[Floats], totals: Sequence[Floats]) -> Floats:
        """What the null mean is proportional to, where a difference of shares counts squared over the shares.

        Over draws, a group is on the pseudo-baseline with probability f, the share of the first side in the pool, and
        adds its scatter times the square of the difference that one of its tokens makes between the sides' shares.

        Args:
            scatters: sums over groups of the scatter (see `jackknife_error`) of the removed, the added and the shared
                documents, [...].
            totals: their tokens, [...].
        """
        removed, added, shared = totals
        first, second = shared + removed, shared + added
        same = (1 / first - 1 / second) ** 2
        if self.sign_first and self.sign_second:
            drawn = removed / (removed + added)
            weight = drawn / first**2 + (1 - drawn) / second**2
            return (scatters[0] + scatters[1]) * weight + scatters[2] * same
        part, whole = (first, second) if self.sign_first else (second, first)
        drawn = part / whole
        return sum(scatters) * (drawn * same + (1 - drawn) / whole**2)

    def carried(self, selection: Floats) -> float:
        """What part of a drift P draws [2 GROUPS, P] carry on average, of the divergence; 0 to 1.

        A draw seldom takes the two sides' groups in exact proportion, so drift between them is between the pseudo-sides
        as well, and the null mean is noise plus ``carried`` times the divergence rather than noise: with 64 equal
        groups a side and nothing shared, 1 / 127 of it. To second order the divergence goes with the square of the
        difference of the sides' shares. Where text of the second side is Q and all other P, that is (Q - P) times the
        difference of Q's share on the two sides; ``carried`` is the mean square of that over draws, over its square as
        observed. With it (D - null mean) / (1 - carried) is the excess, and under the null, where both are the same on
        average, only a change of scale.
        """
        return float((self._leverage(selection) ** 2).mean() / self._leverage(self.observed())[0] ** 2)

    def _leverage(self, selection: Floats) -> Floats:
        """Share of the second side's exchangeable tokens in the pseudo-current less in the pseudo-baseline, [P]."""
        tokens = self.sizes[GROUPS:]
        first, second = self._totals(selection)
        drawn = tokens @ selection[GROUPS:]
        in_first = self.sign_first * drawn if self.sign_first else tokens.sum()
        return np.asarray((tokens.sum() + self.sign_second * drawn) / second - in_first / first)

    def _totals(self, selection: Floats) -> tuple[Floats, Floats]:
        """Tokens of the two pseudo-sides, [P] each."""
        chosen = self.sizes @ selection
        return self.fixed_first.sum() + self.sign_first * chosen, self.fixed_second.sum() + self.sign_second * chosen

    def permuted(self, selection: Floats, workers: int = 1) -> dict[str, Floats]:
        """The statistics [P] for each of P selections [2 GROUPS, P] of groups that the pseudo-baseline gets."""
        tokens = np.count_nonzero(self.fixed_first + self.fixed_second)
        first, second = self._totals(selection)
        scales = np.stack([1 / first, 1 / second, 1 / (first + tokens / 2), 1 / (second + tokens / 2)])
        groups = np.concatenate([self.first.groups, self.second.groups])
        fixed = self.fixed_first, self.fixed_second
        return _statistics(
            exchange_sums(groups, fixed, (self.sign_first, self.sign_second), selection, scales, workers)
        )


def jackknife_error(contrast: TokenContrast, exchange: Exchange, noise: float, workers: int = 1) -> float:
    """Standard error of the Jensen-Shannon divergence less its ``noise``, in bits, leaving out a hash group at a time.

    The removed, the added and the shared documents are three independent samples, so each has its own delete-a-group
    jackknife and the variances add up; a shared group leaves both sides at once. Empty groups take part: that a group
    is empty is chance as well.

    What chance gives depends on the documents, too: a long or repetitive one raises the divergence and the null mean
    alike, which is no error of their difference. So the noise without a group is ``noise`` times the ratio of
    `Exchange.first_order_noise` without and with it.
    """
    baseline, current = contrast.baseline.count, contrast.current.count
    middle = baseline / baseline.sum() + current / current.sum()
    samples = contrast.only_baseline, contrast.only_current, contrast.shared
    scatters = [_scatter(sample, middle) for sample in samples]
    totals = [sample.count.sum(dtype=np.float64) for sample in samples]
    whole = exchange.first_order_noise([scatter.sum() for scatter in scatters], totals)
    variance = 0.0
    for place, (in_first, in_second) in enumerate(((1, 0), (0, 1), (1, 1))):
        sizes = samples[place].groups.sum(axis=1).astype(np.float64)
        if not sizes.any():
            continue
        first, second = baseline.sum() - in_first * sizes, current.sum() - in_second * sizes
        scales = np.stack([1 / first, 1 / second, 1 / first, 1 / second])
        signs = -in_first, -in_second
        sums = exchange_sums(samples[place].groups, (baseline, current), signs, np.eye(GROUPS), scales, workers)
        left = [total - sizes * (i == place) for i, total in enumerate(totals)]
        scattered = [scatter.sum() - scatter * (i == place) for i, scatter in enumerate(scatters)]
        without = _statistics(sums)["jsd"] - noise * exchange.first_order_noise(scattered, left) / whole
        variance += (GROUPS - 1) / GROUPS * float(((without - without.mean()) ** 2).sum())
    return float(np.sqrt(variance))


def _scatter(sample: TokenSample, middle: Floats) -> Floats:
    """How far each group's tokens are from the sample's shares: sum_w (x_gw - share_w n_g)^2 / middle_w, [GROUPS]."""
    held = sample.count > 0
    share = sample.count[held] / max(sample.count.sum(), 1)
    weight = 1 / middle[held]
    sizes = sample.groups.sum(axis=1)
    rows = ((counts[held] - share * size) ** 2 @ weight for counts, size in zip(sample.groups, sizes, strict=True))
    return np.fromiter(rows, np.float64, GROUPS)


def _effective(sizes: Floats) -> float:
    """Kish's effective number of groups."""
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.any() else 0.0


def _statistics(sums: Floats) -> dict[str, Floats]:
    """The six statistics [P] from the kernel's sums [SUMS, P]."""
    entropy_gap, absolute, hellinger, jeffreys, kullback = np.maximum(sums, 0.0)
    jsd = entropy_gap / (2 * divergence.LN2)
    return {
        "jsd": jsd,
        "jsd_root": np.sqrt(jsd),
        "tvd": absolute / 2,
        "hellinger": np.sqrt(hellinger / 2),
        "psi": jeffreys,
        "kl": kullback / divergence.LN2,
    }
