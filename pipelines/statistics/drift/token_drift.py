"""Which tokens moved between two snapshots that share documents: effect, interval, test and multiplicity by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.drift.score_tests import run_tests
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg

INTERVAL_NULL = 0.1
"""Changes of a share by less than this many bits (7 %) are not worth a discovery."""

DISCOVERY_RATE = 0.05
"""False discovery rate at which a token counts as a riser or a faller."""

OTHER, RISER, FALLER, NEW, VANISHED = range(5)
KINDS = ("other", "riser", "faller", "new", "vanished")
"""Names of the kinds, by code."""


@dataclass(frozen=True)
class TokenDrift:
    """Per-token drift of one slice, K tokens; float64 [K] unless said otherwise, NaN where nothing can be said.

    Attributes:
        tokens: int32 [K], token ids.
        kind: uint8 [K], codes into `KINDS`: new and vanished tokens are absent from one side; risers and fallers are on
            both, with q <= `DISCOVERY_RATE`.
        count_baseline, count_current: int64 [K], occurrences.
        documents_baseline, documents_current: int64 [K], documents that hold the token.
        share_baseline, share_current: of the side's tokens.
        log2_ratio: log2 of current over baseline, half a token added to each count and total.
        low, high: bounds of the log2 ratio; NaN where the data give none (no upper one for a new token).
        z: clustered z of the difference of shares.
        log_odds_z: Monroe's log-odds z over the root of the design effect.
        p: two-sided, against a log2 ratio within the interval null.
        q: Benjamini-Hochberg over the tested tokens.
        design_effect: variance over that of independently drawn tokens.
        burstiness_baseline, burstiness_current: occurrences a document that holds the token.
        dispersion_baseline, dispersion_current: normalised DP over the hash groups, 0 (even) to 1.
        tested: tokens tested, m of the adjustment.
    """

    tokens: npt.NDArray[np.int32]
    kind: npt.NDArray[np.uint8]
    count_baseline: Integers
    count_current: Integers
    documents_baseline: Integers
    documents_current: Integers
    share_baseline: Floats
    share_current: Floats
    log2_ratio: Floats
    low: Floats
    high: Floats
    z: Floats
    log_odds_z: Floats
    p: Floats
    q: Floats
    design_effect: Floats
    burstiness_baseline: Floats
    burstiness_current: Floats
    dispersion_baseline: Floats
    dispersion_current: Floats
    tested: int


def token_drift(contrast: TokenContrast, interval_null: float = INTERVAL_NULL) -> TokenDrift:
    """Compare the two sides of a slice token by token: which tokens moved, by how much, and is it more than chance?

    Comes in: counters of disjoint sets of documents over the K tokens that occur. For every token:

    1. Describe. Counts, shares, log ratio and burstiness of the two sides. These are facts and need no test.
    2. Spread. How much more the token's count varies between documents than independent tokens would: its design
       effect, from all distinct documents of both sides.
    3. Filter. Tokens in fewer than `FEWEST_DOCUMENTS` documents of the pool are not tested. The pool does not know
       which side a document is on, so the filter does not bias the test (Bourgon et al. 2010, PNAS 107).
    4. Test (`run_tests`). z of the difference of shares, p against a change within the interval null, the interval of
       the log ratio, and the log-odds z.
    5. Adjust. q over the tested tokens (Benjamini and Hochberg), then each token's kind: new and vanished ones from the
       counts, risers and fallers by q.
    6. Disperse. Gries's DP over hash groups of each side, normalised (Lijffijt and Gries 2012, IJCL 17). A token of few
       occurrences cannot be even over 64 groups, so compare it among equally frequent ones.

    Goes out: `TokenDrift`, columns of K tokens.

    Why so: tokens of one document are not independent, and two snapshots share most of their documents. A textbook test
    would take the first for drift and the second for certainty.

    Args:
        contrast: the slice's documents in disjoint sets.
        interval_null: delta, bits; tests vary it.

    Raises:
        ValueError: if ``interval_null`` is negative.
    """
    if interval_null < 0:
        raise ValueError(f"the interval null is {interval_null} bits, below 0")
    # Step 1. Where a side holds no tokens the shares are NaN, and so is what follows from them.
    y1, y2 = contrast.counts
    t1, t2 = contrast.token_totals
    baseline, current = contrast.parts
    df1, df2 = (sum((part.documents for part in parts), np.zeros_like(y1)) for parts in (baseline, current))
    with np.errstate(divide="ignore", invalid="ignore"):
        share1, share2 = y1 / np.float64(t1), y2 / np.float64(t2)
        log2_ratio = np.log2((y2 + 0.5) / (t2 + 0.5)) - np.log2((y1 + 0.5) / (t1 + 0.5))
        burstiness = y1 / df1.astype(np.float64), y2 / df2.astype(np.float64)
    if t1 == 0 or t2 == 0:
        log2_ratio = np.full(len(contrast.tokens), np.nan)
    # Steps 2 to 4.
    tests = run_tests(contrast, y1, y2, t1, t2, interval_null)
    # Step 5.
    q = benjamini_hochberg(tests.p)
    discovery = q <= DISCOVERY_RATE
    kind = np.select(
        [(y1 == 0) & (y2 > 0), (y2 == 0) & (y1 > 0), discovery & (share2 > share1), discovery & (share2 < share1)],
        [NEW, VANISHED, RISER, FALLER],
        OTHER,
    ).astype(np.uint8)
    return TokenDrift(
        tokens=contrast.tokens,
        kind=kind,
        count_baseline=y1,
        count_current=y2,
        documents_baseline=df1,
        documents_current=df2,
        share_baseline=share1,
        share_current=share2,
        log2_ratio=log2_ratio,
        # The ratio that is shown has half a token added, the bounds have not: it is never shown outside of them.
        low=np.where(np.isnan(tests.low), np.nan, np.fmin(tests.low, log2_ratio)),
        high=np.where(np.isnan(tests.high), np.nan, np.fmax(tests.high, log2_ratio)),
        z=tests.z,
        log_odds_z=tests.log_odds_z,
        p=tests.p,
        q=q,
        design_effect=tests.design_effect,
        burstiness_baseline=burstiness[0],
        burstiness_current=burstiness[1],
        dispersion_baseline=_dispersion(y1, baseline),  # step 6
        dispersion_current=_dispersion(y2, current),
        tested=tests.tested,
    )


def _dispersion(count: Integers, parts: Sequence[TokenSample]) -> Floats:
    """Normalised DP of one side, [K]: half of sum_g |y_g / Y - n_g / T|, over 1 - the smallest n_g / T.

    Args:
        count: Y, [K].
        parts: the disjoint sets of documents that make the side.
    """
    whole = count.astype(np.float64)
    sizes = sum((part.groups.sum(axis=1) for part in parts), np.zeros(GROUPS, np.int64)).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = sizes / sizes.sum()
        gap = np.zeros(len(whole))
        for g in range(GROUPS):
            gap += np.abs(sum(part.groups[g] for part in parts) / whole - share[g])
        return np.asarray(np.clip(gap / 2 / (1 - share.min()), 0.0, 1.0))
