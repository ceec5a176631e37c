"""How much more token counts scatter than independent tokens would, over documents or the clusters they are in."""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.statistics.clustered import Floats
from corpus_audit.pipelines.statistics.token_sample import GROUPS, TokenContrast


def count_spread(contrast: TokenContrast) -> Floats:
    """Variance of a token's count over the count, float64 [K]; 1 - p for independent tokens, NaN for one document.

    D / (D - 1) sum_d (y_d - p n_d)^2 / Y over the D distinct documents of both sides (Rao and Scott 1992, Biometrics
    48: the design effect is this over 1 - p).

    Where documents come in clusters, a hash group holds whole clusters of both sides. The spread is then the larger of
    the documents' and of the groups', at which the variance of the sides' difference of shares is that of R groups,

        R / (R - 1) sum_g (e_g - mean e)^2 / (p (1 / T_1 + 1 / T_2 - 2 T_S / (T_1 T_2))),

    with e_g = r_2g / T_2 - r_1g / T_1, r = y - p n and T_S the tokens that both sides share (random groups, Wolter
    2007, chapter 2). It sees that a cluster on both sides adds to both.
    """
    t1 = contrast.only_baseline.total_tokens + contrast.shared.total_tokens
    t2 = contrast.only_current.total_tokens + contrast.shared.total_tokens
    sets = contrast.only_baseline, contrast.only_current, contrast.shared
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
