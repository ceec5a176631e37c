"""Length buckets of 1 % relative error, and quantiles with order-statistic intervals from their histogram."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile

LONGEST = 1 << 40
"""Lengths below this fall into a bucket."""

_EXACT_TRIALS = float(1 << 40)


@cache
def _edges() -> Integers:
    edges = [0]
    while edges[-1] < LONGEST:
        edges.append(max(edges[-1] + 1, edges[-1] * 51 // 50))
    table = np.array(edges, dtype=np.int64)
    table.flags.writeable = False
    return table


def bucket_edges() -> Integers:
    """The table of bucket edges, int64 [B + 1], read-only: bucket i holds lengths from edge i to edge i + 1, exclusive.

    e_0 = 0 and e_{i+1} = max(e_i + 1, e_i * 51 // 50), in integers, until `LONGEST`: lengths below 100 have a bucket
    each, and no bucket is wider than 2 % of its lower edge, so its midpoint is within 1 % of every length in it
    (after DDSketch, Masson et al. 2019, with integer edges in place of a logarithm, so that all machines agree).
    """
    return _edges()


def bucket_index(lengths: npt.ArrayLike) -> Integers:
    """The bucket of each length, int64, in the shape of ``lengths``.

    Raises:
        ValueError: if a length is negative or `LONGEST` or more.
    """
    values = np.asarray(lengths, dtype=np.int64)
    if values.size and (values.min() < 0 or values.max() >= LONGEST):
        raise ValueError(f"lengths must be from 0 to {LONGEST - 1}")
    return np.asarray(np.searchsorted(_edges(), values, side="right") - 1, dtype=np.int64)


def binomial_quantile(probability: float, trials: npt.ArrayLike, share: npt.ArrayLike) -> Integers:
    """The smallest k with P(Binomial(trials, share) <= k) >= probability, int64.

    Starts at the Cornish-Fisher expansion (1938), within a few units, and walks to the exact answer. Beyond 2^40
    trials the expansion stands: one unit is under a hundred-thousandth of the deviation there.
    """
    n, p = np.broadcast_arrays(np.asarray(trials, dtype=np.float64), np.asarray(share, dtype=np.float64))
    z = float(special.ndtri(probability))
    guess = n * p + z * np.sqrt(n * p * (1 - p)) + (1 - 2 * p) * (z**2 - 1) / 6
    k = np.clip(np.floor(guess), 0, n)

    def reached(at: Floats) -> npt.NDArray[np.bool_]:
        # P(X <= k) is a regularised incomplete beta function; beyond the ends it is 0 and 1.
        inside = special.betainc(np.maximum(n - at, 0.5), np.maximum(at, 0) + 1, 1 - p)
        return np.asarray(np.where(at < 0, False, np.where(at >= n, True, inside >= probability)))

    walk = n <= _EXACT_TRIALS
    while (low := walk & ~reached(k)).any():
        k = k + low
    while (high := walk & reached(k - 1) & (k > 0)).any():
        k = k - high
    return np.asarray(k, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of the lengths of G domains with bounds; float64 [G, Q], NaN where there is no bound or no document."""

    value: Floats
    low: Floats
    high: Floats


def histogram_quantiles(
    domain: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    documents: npt.ArrayLike,
    domains: int,
    percents: tuple[int, ...],
) -> Quantiles:
    """Quantiles from histograms, with distribution-free intervals.

    The quantile p of n documents is the order statistic of rank ceil(n p), given as the midpoint of its bucket: within
    1 % of the exact one, and exact below 100. The bounds are order statistics too: x_(l) and x_(u) with l and u - 1 the
    binomial quantiles at 2.5 % and 97.5 % (David and Nagaraja 2003, section 7.1), taken at the outer edges of their
    buckets. A rank below 1 or above n means that the sample gives no bound on that side: NaN. Documents are the
    sampling units, as if drawn independently.

    Args:
        domain: int [B], ascending: the histogram that a bucket belongs to, 0 to G - 1.
        low: int [B], ascending within a domain: smallest length of the bucket.
        high: int [B]: largest length of the bucket.
        documents: int [B]: documents in the bucket.
        domains: G.
        percents: the quantiles in per cent, Q whole numbers between 1 and 99: ranks are exact integers then.
    """
    codes = np.asarray(domain, dtype=np.int64)
    counts = np.asarray(documents, dtype=np.int64)
    lowest = np.asarray(low, dtype=np.int64)
    highest = np.asarray(high, dtype=np.int64)
    shape = (domains, len(percents))
    size = np.zeros(domains, dtype=np.int64)
    np.add.at(size, codes, counts)
    if not counts.any():
        return Quantiles(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan))
    cumulative = np.cumsum(counts)
    before = np.cumsum(size) - size
    percent = np.array(percents, dtype=np.int64)
    # ceil(n * percent / 100) without n * percent, which could pass 2^63.
    hundreds, rest = np.divmod(size[:, None], 100)
    rank = hundreds * percent + (rest * percent + 99) // 100
    tail = (1 - LEVEL) / 2
    lower = binomial_quantile(tail, size[:, None], percent / 100)
    upper = binomial_quantile(1 - tail, size[:, None], percent / 100) + 1

    def bucket(ranks: Integers) -> Integers:
        inside = before[:, None] + np.clip(ranks, 1, np.maximum(size, 1)[:, None])
        return np.asarray(np.minimum(np.searchsorted(cumulative, inside, side="left"), len(counts) - 1))

    index = bucket(rank)
    has_documents = (size > 0)[:, None]
    return Quantiles(
        value=np.where(has_documents, (lowest[index] + highest[index]) / 2, np.nan),
        low=np.where(has_documents & (lower >= 1), lowest[bucket(lower)], np.nan),
        high=np.where(has_documents & (upper <= size[:, None]), highest[bucket(upper)], np.nan),
    )


def mean_interval(
    total: npt.ArrayLike, squares: npt.ArrayLike, documents: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Exact mean lengths and their Student intervals, documents as sampling units.

    Args:
        total: sums of lengths, integers [G].
        squares: sums of squared lengths, Python integers [G].
        documents: documents, integers [G].

    Returns:
        Means and lower and upper bounds, [G] each: mean -+ t_{n-1} s / sqrt(n), s^2 the unbiased variance from the
        exact integer n * squares - total^2. NaN without documents; NaN bounds for a single one.
    """
    sums = np.asarray(total, dtype=object)
    n = np.asarray(documents, dtype=object)
    spread = (n * np.asarray(squares, dtype=object) - sums * sums).astype(np.float64)
    size = n.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums.astype(np.float64) / size
        error = np.sqrt(spread / (size - 1)) / size
        reach = student_quantile(0.5 + LEVEL / 2, size - 1) * error
    return mean, np.maximum(mean - reach, 0.0), mean + reach
