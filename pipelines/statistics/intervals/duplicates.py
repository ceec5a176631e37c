"""Shares of duplicates, exact for the snapshot, with bounds for a corpus of the same size from the same source."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL

_TAIL = np.log(2 / (1 - LEVEL))
"""Minus the logarithm of the probability that each bound may be wrong with, half of 1 - `LEVEL`."""

_LARGEST = 5.0
"""The largest s of the lower bound. More is only of use where less than one duplicate is seen."""


def duplicate_share(
    duplicates: npt.ArrayLike, total: npt.ArrayLike, squares: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Share of documents (or tokens) that repeat a text already counted, with bounds.

    A full scan counts duplicates exactly: the share has no sampling error. The bounds are for the expected share of a
    corpus of this size from the same source. Whether a document is a duplicate depends on all others, so neither a
    binomial interval nor a clustered ratio holds: if a single text repeats, none may be seen among 236 documents where
    4.6 are expected, which is more than the 3.7 that Clopper and Pearson allow. Two things do hold for any distribution
    of n independent documents over texts, and the narrower of the two bounds is given. (For each expected share both
    reject the smallest counts, or the largest, so that the narrower one is one test and keeps its level.)

    1. Replacing one document changes the number of distinct texts by at most 1, hence (McDiarmid 1989, the method of
       bounded differences) P(|share - E share| >= t) <= 2 exp(-2 t^2 n).
    2. With N_i documents of text i, the duplicates D are the sum of (N_i - 1)+. The N_i are multinomial, hence
       negatively associated (Joag-Dev and Proschan 1983, Annals of Statistics 11), so E exp(s D) is at most the product
       over the texts, and Chernoff's bound (1952, Annals of Mathematical Statistics 23) needs only how large
       log E exp(s (N_i - 1)+) is in units of E (N_i - 1)+: `_rates`. It is narrow where duplicates are few: with none
       the upper bound is 4.7 / n.

    In tokens, document d can change the duplicate tokens by its length n_d, which gives n = (sum n_d)^2 / sum n_d^2; as
    lengths are random too, and long texts may repeat more often than short ones, that is an approximation. The share
    grows with the corpus, so it is no estimate for a larger one, and a part of the splits gives no bounds.

    The share of documents whose text occurs in another domain too has no such interval (one document can change the
    standing of a whole class of copies), so it is published as the snapshot's exact share.

    Args:
        duplicates: duplicate documents or tokens, integers [G].
        total: documents or tokens, integers [G].
        squares: sums over documents of the squared size, Python integers [G]; the documents themselves, if those count.

    Returns:
        Shares, lower and upper bounds, [G] each, within [0, 1]; NaN where ``total`` is 0.
    """
    totals = np.asarray(total, dtype=object).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(totals > 0, np.asarray(duplicates, dtype=object).astype(np.float64) / totals, np.nan)
        size = totals**2 / np.asarray(squares, dtype=object).astype(np.float64)
        reach = np.sqrt(_TAIL / (2 * size))
        fewest, most = _expected(share * size)
        low, high = np.maximum(share - reach, fewest / size), np.minimum(share + reach, most / size)
    return share, np.maximum(low, 0.0), np.minimum(high, 1.0)


def _expected(duplicates: Floats) -> tuple[Floats, Floats]:
    """Chernoff's bounds for the expected number of duplicates, [G] each, given the observed number."""
    s, falling, rising = _rates()
    observed = duplicates[:, None]
    low = ((s * observed - _TAIL) / rising).max(axis=1)
    high = ((s * observed + _TAIL) / falling).min(axis=1)
    return np.maximum(low, 0.0), high


@cache
def _rates() -> tuple[Floats, Floats, Floats]:
    """s [S], and the smallest -log E exp(-s X) / E X and the largest log E exp(s X) / E X over the texts, [S] each.

    X = (N - 1)+ of a text whose number of documents N is Poisson with mean m:
    E exp(t X) = exp(-m) (1 + exp(-t) (exp(m exp(t)) - 1)). The ratios are extreme at an m of 0.2 to 3.1; towards 0
    and infinity both tend to exp(t) - 1. A binomial N, as a multinomial has it, is less extreme for every number of
    documents (a test compares).
    """
    s = np.geomspace(1e-6, 30.0, 400)[:, None]
    m = np.geomspace(0.01, 100.0, 2000)[None, :]
    mean = m + np.expm1(-m)
    falling = (m - np.log1p(np.exp(s) * np.expm1(m * np.exp(-s)))) / mean
    near = np.minimum(s, _LARGEST)
    rising = np.logaddexp(np.log(-np.expm1(-near)) - m, m * np.expm1(near) - near) / mean
    return s[:, 0], falling.min(axis=1), np.where(s[:, 0] > _LARGEST, np.inf, rising.max(axis=1))
