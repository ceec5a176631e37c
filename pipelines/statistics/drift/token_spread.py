"""How much more token counts scatter than independent tokens would, over documents or the clusters they are in."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from corpus_audit.pipelines.statistics.intervals.clustered import Floats

BORROWED = 32.0
"""Documents of the pool that stand behind the scatter of the unshared ones, see `unshared_scatter`."""


def on_both_sides(contrast: TokenContrast) -> TokenSample:
    """Documents that both sides hold, each once: the shared ones, and the edited ones as the mean of their versions."""
    return contrast.shared if contrast.edited is None else contrast.shared + contrast.edited.mean_version


def unshared_scatter(contrast: TokenContrast) -> Floats:
    """Factor on the variance of a difference of shares that the unshared documents ask for, float64 [K].

    Only documents of one side alone can make a difference. Given which those are, under the null they fall to the sides
    at random with odds f = T_B / (T_B + T_C), T_B and T_C the tokens of the baseline's and the current snapshot's own
    documents, and the variance of the difference is

        sum_U e^2 (f / T_1^2 + (1 - f) / T_2^2) + sum_S e^2 (1 / T_1 - 1 / T_2)^2,   e_d = y_d - p n_d,

    over unshared documents U and shared ones S. The pool's variance is its mean over which documents are unshared. For
    a token that few unshared documents hold, the first is too rough (it is made of the few terms that are tested), and
    with the second z has a random scale, heavy tails, and rejects up to 9 % at a nominal 5 %. So the ratio of the first
    to the second is drawn towards 1 as by `BORROWED` documents of the pool, m / (m + BORROWED) for m unshared documents
    that hold the token, times 4 f (1 - f): where one side has no documents of its own, nothing is exchanged. Chosen by
    simulation (`tests/benchmarks/calibration`); it is 1 where nothing is shared.
    """
    before, now, shared = contrast.only_baseline, contrast.only_current, on_both_sides(contrast)
    own = before.total_tokens + now.total_tokens
    t1, t2 = float(before.total_tokens + shared.total_tokens), float(now.total_tokens + shared.total_tokens)
    if not own or not shared.total_tokens:
        return np.ones(len(contrast.tokens))
    odds = before.total_tokens / own
    tokens = float(own + shared.total_tokens)
    p = (before.count + now.count + shared.count) / tokens
    unshared = before + now

    def scatter(sample: TokenSample) -> Floats:
        return np.maximum(sample.squared - 2 * p * sample.product + p**2 * sample.total_squared, 0.0)

    alone, both = scatter(unshared), scatter(shared)
    given = alone * (odds / t1**2 + (1 - odds) / t2**2) + both * (1 / t1 - 1 / t2) ** 2
    pooled = (alone + both) / tokens * (1 / t1 + 1 / t2 - 2 * shared.total_tokens / (t1 * t2))
    held = unshared.documents.astype(np.float64)
    weight = 4 * odds * (1 - odds) * held / (held + BORROWED)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pooled > 0, 1 + weight * (given / pooled - 1), 1.0)


def count_spread(contrast: TokenContrast) -> Floats:
    """Variance of a token's count over the count, float64 [K]; 1 - p for independent tokens, NaN for one document.

    D / (D - 1) sum_d (y_d - p n_d)^2 / Y over the D distinct documents of both sides (Rao and Scott 1992, Biometrics
    48: the design effect is this over 1 - p); an edited one is one document, the mean of its versions.

    Where documents come in clusters, a hash group holds whole clusters of both sides. The spread is then the larger of
    the documents' and of the groups', at which the variance of the sides' difference of shares is that of R groups,

        R / (R - 1) sum_g (e_g - mean e)^2 / (p (1 / T_1 + 1 / T_2 - 2 T_S / (T_1 T_2))),

    with e_g = r_2g / T_2 - r_1g / T_1, r = y - p n and T_S the tokens that both sides share (random groups, Wolter
    2007, chapter 2). It sees that a cluster on both sides adds to both.
    """
    t1 = contrast.only_baseline.total_tokens + contrast.shared.total_tokens
    t2 = contrast.only_current.total_tokens + contrast.shared.total_tokens
    sets = contrast.only_baseline, contrast.only_current, on_both_sides(contrast)
    tokens = float(sum(s.total_tokens for s in sets))
    documents = sum(s.total_documents for s in sets)
    count = sum((s.count for s in sets), np.zeros(len(contrast.tokens), np.int64)).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = count / tokens
        squared = sum(s.squared for s in sets) - 2 * p * sum(s.product for s in sets)
        squared = np.maximum(squared + p**2 * sum(s.total_squared for s in sets), 0.0)
        spread = squared / count * (documents / (documents - 1) if documents > 1 else np.nan)
    if not contrast.clustered or t1 == 0 or t2 == 0:
        return np.asarray(spread)
    weight_before, weight_now = -1 / t1, 1 / t2
    weights = weight_before, weight_now, weight_before + weight_now
    moments = np.zeros((2, len(p)))
    for g in range(GROUPS):
        e = np.zeros(len(p))
        for sample, weight in zip(sets, weights, strict=True):
            group = sample.groups[g]
            e += weight * (group - p * float(group.sum()))
        moments += e, e**2
    scatter = np.maximum(moments[1] - moments[0] ** 2 / GROUPS, 0.0) * GROUPS / (GROUPS - 1)
    unshared = 1 / t1 + 1 / t2 - 2 * contrast.shared.total_tokens / (float(t1) * t2)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_group = scatter / (p * unshared) if unshared > 0 else np.zeros(len(p))
    return np.maximum(spread, by_group)
