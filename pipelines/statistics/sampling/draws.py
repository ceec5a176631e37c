"""Consequences of a mixture for its text: epochs, coverage, repeats, effective data, and compute.

G domains with U_g unique tokens in D_g distinct documents; a sampler draws B_g training tokens from each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

REPETITION = 15.387756
"""R*_D of Muennighoff et al. (2023): repeats after which a repeated token has lost most of its value."""

TOKENS_A_PARAMETER = 20.0
"""Compute-optimal tokens a parameter (Hoffmann et al. 2022, their first two approaches)."""

FLOPS_A_TOKEN = 6.0
"""Training FLOP a parameter and token (Kaplan et al. 2020)."""

SURE = 0.999
"""Probability with which no document is drawn more often than the stated maximum."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How often the text of G domains is seen; float64 [G] unless said, NaN where a domain has no text.

    Attributes:
        epochs: drawn / unique tokens; also the expected draws of one document.
        exhaustion: training tokens of the whole mixture after which the domain is used up once; inf if never drawn.
        coverage: share of the unique text seen without replacement, min(1, epochs).
        coverage_replaced: expected share seen with replacement, 1 - exp(-epochs).
        maximum: most draws of a document without replacement, ceil(epochs).
        maximum_replaced: the same with replacement, not exceeded with probability `SURE`.
        effective: unique tokens that are worth as much as the drawn ones; 0 where nothing is drawn.
    """

    epochs: Floats
    exhaustion: Floats
    coverage: Floats
    coverage_replaced: Floats
    maximum: Floats
    maximum_replaced: Floats
    effective: Floats


def exposure(unique: npt.ArrayLike, documents: npt.ArrayLike, drawn: npt.ArrayLike) -> Exposure:
    """Epochs, coverage, repeats and effective tokens of every domain.

    Args:
        unique: tokens of distinct texts, [G].
        documents: distinct texts, [G].
        drawn: training tokens drawn, [G].
    """
    sizes = np.asarray(unique, dtype=np.float64)
    drawn_tokens = np.asarray(drawn, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        epochs = np.where(sizes > 0, drawn_tokens / sizes, np.nan)
        exhaustion = np.where(sizes > 0, sizes * drawn_tokens.sum() / drawn_tokens, np.nan)
    return Exposure(
        epochs,
        exhaustion,
        np.minimum(epochs, 1.0),
        -np.expm1(-epochs),
        np.ceil(epochs * (1 - 1e-12)),  # 3 epochs that come out as 3.0000000000000004 are 3
        maximum_draws(epochs, documents),
        effective_tokens(sizes, drawn_tokens),
    )


def maximum_draws(mean: npt.ArrayLike, documents: npt.ArrayLike) -> Floats:
    """Draws that no document exceeds with probability `SURE`, [G], when draws are with replacement.

    The draws of a document are then Poisson with the given mean, so it is the smallest m with
    P(X <= m)^documents >= `SURE`. NaN for a mean that is NaN.
    """
    means, sizes = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(documents, np.float64))
    usable = np.isfinite(means)
    rate = np.where(usable, means, 0.0)
    with np.errstate(divide="ignore"):
        # P(X > m) <= 1 - SURE^(1 / documents), which is of the order of 1e-12 in a large domain.
        tail = -np.expm1(np.log(SURE) / np.maximum(sizes, 1.0))
    low = np.full(rate.shape, -1.0)
    high = np.ceil(rate + 12 * np.sqrt(rate) + 60)
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        enough = special.pdtrc(middle, rate) <= tail
        wide = high - low > 1
        high = np.where(wide & enough, middle, high)
        low = np.where(wide & ~enough, middle, low)
    return np.where(usable, np.where(rate > 0, high, 0.0), np.nan)


def effective_tokens(unique: npt.ArrayLike, drawn: npt.ArrayLike) -> Floats:
    """Worth of repeated data in unique tokens, D' = U' + U' R* (1 - exp(-R / R*)), [G].

    U' = min(U, D) are the unique tokens that are seen and R = D / U' - 1 their repeats (Muennighoff et al. 2023,
    equation 5). The constant was fitted to whole corpora repeated; by domain it is an extrapolation.
    """
    drawn_tokens = np.asarray(drawn, dtype=np.float64)
    unique_drawn = np.minimum(np.asarray(unique, dtype=np.float64), drawn_tokens)
    with np.errstate(divide="ignore", invalid="ignore"):
        repeats = np.where(unique_drawn > 0, drawn_tokens / unique_drawn - 1.0, 0.0)
    return np.asarray(unique_drawn * (1.0 - REPETITION * np.expm1(-repeats / REPETITION)))


def kish_effective_size(size: npt.ArrayLike, weight: npt.ArrayLike) -> float:
    """(sum w)^2 / sum w^2 over units of which ``size`` [G] share the weight ``weight`` [G] (Kish 1965).

    It equals n / (1 + CV^2 of the weights), n the units with a weight; 0 if all weights are 0.
    """
    units = np.asarray(size, dtype=np.float64)
    weights = np.nan_to_num(np.asarray(weight, dtype=np.float64))
    top = float(weights.max(initial=0.0))
    if top <= 0:
        return 0.0
    scaled = weights / top  # squares of tiny weights would underflow
    return float((units * scaled).sum() ** 2 / (units * scaled**2).sum())


def kl_divergence(share: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """KL(share || reference) in bits; infinite where the reference is 0 and the share is not."""
    return float(special.rel_entr(np.asarray(share, np.float64), np.asarray(reference, np.float64)).sum() / np.log(2))


def effective_number(share: npt.ArrayLike) -> float:
    """exp of the entropy of the shares, the number of equal shares with the same entropy (Hill number of order 1)."""
    return float(np.exp(special.entr(np.asarray(share, dtype=np.float64)).sum()))


def total_variation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Half the summed absolute difference of two mixtures."""
    return float(np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64)).sum() / 2)


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How the draws of G domains fall on their documents; float64 [G], NaN where there is none.

    Attributes:
        never: expected documents never drawn, without replacement.
        never_replaced: the same with replacement.
        never_z: z of the observed number of them against that with replacement.
        dispersion: variance over mean of a document's draws; 1 with replacement.
        dispersion_z: its z against 1.
    """

    never: Floats
    never_replaced: Floats
    never_z: Floats
    dispersion: Floats
    dispersion_z: Floats


def occupancy(documents: npt.ArrayLike, draws: npt.ArrayLike, distinct: npt.ArrayLike, squares: Floats) -> Occupancy:
    """Documents never drawn and evenness of repeats against uniform draws with replacement.

    n draws on N documents leave N exp(-e) empty, e = n / N, with variance N (exp(-e) - (1 + e) exp(-2 e)) (Johnson and
    Kotz 1977, Urn Models, section 3.2). The index of dispersion of the counts, given their sum, has mean 1 and variance
    2 / (N - 1) (1 - 1 / n) (Fisher's; exact for the multinomial).

    Args:
        documents: N, documents of the domain, integers [G].
        draws: n, integers [G].
        distinct: documents that were drawn, integers [G].
        squares: sum over documents of draws^2, float64 [G].
    """
    size: Integers = np.asarray(documents, dtype=np.int64)
    count = np.asarray(draws, dtype=np.float64)
    observed = size - np.asarray(distinct, dtype=np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(size > 0, count / size, np.nan)
        empty = np.exp(-mean)
        never = size.astype(np.float64) * empty
        variance = size * (empty - (1 + mean) * empty**2)
        never_z = np.where(variance > 0, (observed - never) / np.sqrt(variance), np.nan)
        # With the N - 1 of a sample variance the index has mean exactly 1 under the multinomial.
        dispersion = np.where((size > 1) & (count > 0), (squares - count * mean) / (size - 1) / mean, np.nan)
        spread = np.sqrt(2 / (size - 1) * (1 - 1 / count))
        dispersion_z = np.where(count > 1, (dispersion - 1) / spread, np.nan)
    return Occupancy(np.maximum(size - count, 0.0), never, never_z, dispersion, dispersion_z)
