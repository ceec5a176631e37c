"""Distances between two token distributions, from counts; arrays are [..., K], the last axis holds K token ids.

Plug-in estimates: two samples of one source have a distance above 0 that grows with K over the tokens (its expectation
is about (K - 1) / 8 (1 / n1 + 1 / n2) nats for the Jensen-Shannon divergence of independent tokens), so none of them
means anything without its null; see `permutation`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special

Floats = npt.NDArray[np.float64]

LN2 = float(np.log(2.0))


def _shares(counts: npt.ArrayLike, added: float = 0.0) -> Floats:
    """Shares [..., K] of counts to which ``added`` was added; NaN where the total is 0."""
    values = np.asarray(counts, dtype=np.float64) + added
    with np.errstate(invalid="ignore"):
        return np.asarray(values / values.sum(axis=-1, keepdims=True))


def jensen_shannon(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Jensen-Shannon divergence in bits, 0 to 1: KL(p || m) / 2 + KL(q || m) / 2, m = (p + q) / 2 (Lin 1991).

    Args:
        first: counts [..., K], at least 0.
        second: counts [..., K].

    Returns:
        float64 [...]; NaN where a side holds nothing.
    """
    p, q = _shares(first), _shares(second)
    middle = (p + q) / 2
    nats = (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum(axis=-1) / 2
    return np.asarray(np.maximum(nats, 0.0) / LN2)


def jensen_shannon_root(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Square root of `jensen_shannon`: a metric (Endres and Schindelin 2003)."""
    return np.asarray(np.sqrt(jensen_shannon(first, second)))


def total_variation(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Total variation distance, 0 to 1: sum |p - q| / 2, the largest change of any event's probability.

    Returns:
        float64 [...]; NaN where a side holds nothing.
    """
    return np.asarray(np.abs(_shares(first) - _shares(second)).sum(axis=-1) / 2)


def hellinger(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Hellinger distance, 0 to 1: sqrt(sum (sqrt p - sqrt q)^2 / 2).

    Returns:
        float64 [...]; NaN where a side holds nothing.
    """
    gaps = (np.sqrt(_shares(first)) - np.sqrt(_shares(second))) ** 2
    return np.asarray(np.sqrt(gaps.sum(axis=-1) / 2))


def population_stability(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Population stability index in nats, sum (q - p) ln(q / p), which is Jeffreys' divergence.

    Half a token is added to every count of both sides (Jeffreys' prior) and shares are made of these: an absent token
    would make it infinite, and a tiny constant instead would make it a measure of the constant. Its null mean is about
    (K - 1) (1 / n1 + 1 / n2) (Yurdakul 2018), past the customary limits of 0.1 and 0.25 for a vocabulary.
    """
    p, q = _shares(first, 0.5), _shares(second, 0.5)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def kullback_leibler(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """Divergence of the second from the first in bits, sum q log2(q / p), q the second's shares.

    It is the extra code length per token of the second under a code for the first. Half a token is added to every
    count.
    """
    p, q = _shares(first, 0.5), _shares(second, 0.5)
    return np.asarray(np.maximum(special.rel_entr(q, p).sum(axis=-1), 0.0) / LN2)
