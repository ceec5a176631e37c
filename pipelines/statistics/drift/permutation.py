"""How far apart two snapshots' token distributions are, against what chance gives: permutation of hash groups.

Two snapshots of one corpus are never equal, and their plug-in divergence is above 0 even if both are drawn from one
source: it grows with the vocabulary, with long and repetitive documents, and with less text. What chance alone gives is
therefore measured on the documents themselves. `drift_summary` does it for one slice:

1. Distances of the two sides as they are, by six statistics (`divergence`).
2. Cases without chance: a side without tokens, the same documents on both sides, even copies. No test is made.
3. What may be exchanged. Snapshots share most of their documents. Relabelling all of them freely is then wrong in
   either direction, so shared documents stay on both sides, and hash groups of the others change sides (`exchange`,
   which draws the picture). 64 groups a side are enough for thousands of different draws, and are additive counters
   that a profile keeps; to relabel single documents, they would have to be read again. Documents that were edited
   exchange their versions, a hash group at a time: as independent documents they would hide what their edits have in
   common behind all that sets one document apart from another.
4. Enough to exchange? Too few effective groups: no test. Sides too uneven in size: only an upper bound. Where that is
   so of the documents of one side alone but not of the edited ones, or the other way round, they stay where they are
   and the others are tested (`DriftSummary.note`).
5. Draw B selections of groups for a pseudo-baseline of the right size, and compute the statistics of all B pairs of
   pseudo-sides at once (`kernels.drift.divergence`, where the time goes).
   Each draw is corrected for how much the groups on its sides scatter (`scatter`), which is most of what varies by
   chance where the sides are of unlike size.
6. p = (1 + #{T_perm >= T}) / (B + 1), never 0 (Phipson and Smyth 2010), for each statistic, with the null's quantiles.
7. Excess of the Jensen-Shannon divergence over its null mean, in bits: what a policy judges. The null mean is corrected
   for the part of a real drift that draws carry themselves (`Exchange.carried`), and an excess beyond chance for what
   the rarest tokens hide of it (`excess.unseen_drift`; not where documents were edited).
8. Its interval (`excess.excess_bounds`; `_bounds_with_edits` where documents were edited and more than a few others
   came or went), from what the draws show of chance and from what drift adds to it. A percentile bootstrap would be
   biased upwards: it adds the noise of resampling to the noise that is there.

All is deterministic: the draws by their seed, the sums by their order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.drift import divergence, excess_variance, influence
from corpus_audit.pipelines.statistics.drift.excess import (
    NORMAL_QUANTILE,
    TAIL,
    Chance,
    excess_bounds,
    least_ratio,
    unseen_drift,
)
from corpus_audit.pipelines.statistics.drift.exchange import NEGLIGIBLE, Exchange
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
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
        note: which documents were too few to be exchanged and stayed where they are, while others were tested.
    """

    distances: dict[str, Distance]
    permutations: int
    low: float | None
    high: float | None
    reason: str | None
    note: str | None = None


def drift_summary(
    contrast: TokenContrast, permutations: int = PERMUTATIONS, seed: int = SEED, workers: int = 1
) -> DriftSummary:
    """Distances of the current snapshot from the baseline, their nulls, and the interval of the excess divergence.

    The steps are those of the module's docstring. The result is the same for any number of workers.

    Args:
        contrast: all tokens of the slice.
        permutations: B.
        seed: of the draws; calibration by simulation varies it.
        workers: threads.
    """
    baseline, current = contrast.counts
    if not baseline.any() or not current.any():
        reason = without_tokens(bool(baseline.any()), bool(current.any()))
        return DriftSummary({name: Distance(name, None) for name in STATISTICS}, 0, None, None, reason)
    # Steps 1 and 2.
    values = {name: float(function(baseline, current)) for name, function in STATISTICS.items()}
    edited = contrast.edited is not None
    if not edited and not contrast.only_baseline.total_documents and not contrast.only_current.total_documents:
        return _unchanged("both hold the same documents: there is no drift, and nothing that chance could change")
    if not edited and _only_copies(contrast):
        return _unchanged(EVEN_COPIES)

    # Steps 3 and 4.
    exchange = Exchange.of(contrast)
    few = exchange.too_few()
    coarse = exchange.too_coarse() if few is None else None
    few_pairs = exchange.too_few_pairs() if edited else "no document is known to be edited"
    note = None
    if few_pairs is None and (few or coarse):
        exchange, note = exchange.with_versions_alone(contrast), _stay(contrast, few or coarse)
    elif few is not None:
        reason = f"{few}; {few_pairs}" if edited else few
        return DriftSummary({name: Distance(name, value) for name, value in values.items()}, 0, None, None, reason)
    elif coarse is not None:
        exchange = exchange.without_versions()
        distances = {name: Distance(name, value) for name, value in values.items()}
        error = np.sqrt(excess_variance.jackknife_variance(contrast, exchange, 0.0))
        high = float(values["jsd"] + NORMAL_QUANTILE * error)
        return DriftSummary(distances, 0, 0.0, high, coarse)
    elif edited and few_pairs is not None:
        exchange, note = exchange.without_versions(), f"edited documents stay as they are: {few_pairs}"

    # Steps 5 and 6.
    chance = Chance.of(contrast, exchange, permutations, seed, workers)
    distances = {}
    for name, value in values.items():
        null = chance.null[name]
        null_low, null_high = np.quantile(null, (0.025, 0.975))
        p = (1 + chance.reached(name)) / (permutations + 1)
        distances[name] = Distance(name, value, float(null.mean()), float(null_low), float(null_high), p)
    # Steps 7 and 8. The noise, D less the excess, is what tables show as the null mean.
    excess = chance.excess
    if edited and _others_came_or_went(contrast):
        low, high = _bounds_with_edits(contrast, exchange, chance)
    else:
        above, below = chance.deviations
        variance, freedom = influence.drift_variance(contrast)
        if excess > above and not edited:
            # In full only far beyond chance: else it would add its own error to an excess that may be high by chance.
            beyond = 1 - (above / excess) ** 2
            excess += beyond * unseen_drift(contrast, exchange, excess, seed, workers)
        least = 0.0 if edited else least_ratio(chance, freedom)  # what edits differ by is not what documents do
        low, high = excess_bounds(excess, above, below, _widened(variance, freedom), least, new_documents=not edited)
    distances["jsd"] = replace(distances["jsd"], null_mean=values["jsd"] - excess)
    return DriftSummary(distances, permutations, low, min(high, 1.0), None, note)  # no divergence is above 1 bit


def _others_came_or_went(contrast: TokenContrast) -> bool:
    """Whether documents of one side alone hold more than `NEGLIGIBLE` of the tokens of that side."""
    totals = contrast.token_totals
    alone = contrast.only_baseline.total_tokens, contrast.only_current.total_tokens
    return any(part > total * NEGLIGIBLE for part, total in zip(alone, totals, strict=True))


def _widened(variance: float, freedom: float) -> float:
    """A variance of some degrees of freedom, larger by the square of the ratio of Student's quantile to the normal."""
    return variance * (float(special.stdtrit(freedom, 1 - TAIL)) / NORMAL_QUANTILE) ** 2


def _bounds_with_edits(contrast: TokenContrast, exchange: Exchange, chance: Chance) -> tuple[float, float]:
    """The 95 % interval where documents were edited and others came or went: 1.96 standard errors to either side.

    The excess is then a low estimate of the whole drift: what the exchange of the one leaves where it is, or carries of
    the other, is not in it, and the interval of `excess_bounds` would be too short for that. Where drift is shown, the
    upper bound takes the larger error of the jackknife alone.
    """
    null, observed, excess = chance.null["jsd"], float(chance.observed["jsd"][0]), chance.excess
    drift, jackknife = excess_variance.drift_variance(
        contrast, exchange, chance.draws, null, observed, observed - excess, chance.carried
    )
    variance = float(null.var(ddof=1)) / (1 - chance.carried) ** 2 + drift
    low = excess - NORMAL_QUANTILE * float(np.sqrt(variance))
    high = excess + NORMAL_QUANTILE * float(np.sqrt(max(variance, jackknife) if low > 0 else variance))
    return low, high


def _stay(contrast: TokenContrast, why: str | None) -> str | None:
    """That the documents of one side alone are not exchanged, if there are any."""
    removed, added = contrast.only_baseline.total_documents, contrast.only_current.total_documents
    if not removed and not added:
        return None
    return f"{removed} removed and {added} added documents stay where they are, and edits are tested: {why}"


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
    baseline, current = contrast.counts
    before, now = int(baseline.sum()), int(current.sum())
    if not np.allclose(baseline / before, current / now, rtol=1e-9, atol=0):
        return False
    return bool((baseline.astype(object) * now == current.astype(object) * before).all())  # int64 would overflow
