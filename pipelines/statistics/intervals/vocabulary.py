"""Measures how much of a vocabulary is used: entropy and effective vocabulary, with documents as clusters.

Entropies are in nats, of the tokens' plug-in distribution. The plug-in entropy is biased downwards, by about
(types - 1) / (2 tokens) for independent tokens (Miller 1955) and more for clustered ones; both methods below estimate
the bias, and the interval of the effective vocabulary reaches up to the corrected value, so that it holds either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL, student_quantile

GROUPS = 64
"""Hash groups of documents by which token counts are kept."""

ROWS_A_BLOCK = 1 << 16
"""Rows of a token table that are unpacked at once."""


@dataclass(frozen=True, slots=True)
class EntropyEstimate:
    """Entropies of G domains; float64 [G] in nats, NaN where there is no estimate.

    Attributes:
        entropy: the plug-in entropy.
        bias: correction to add to it, which removes its first-order bias.
        error: its standard error over documents.
        degrees_of_freedom: of the error.
    """

    entropy: Floats
    bias: Floats
    error: Floats
    degrees_of_freedom: Floats


def clustered_entropy(
    domain: npt.ArrayLike,
    count: npt.ArrayLike,
    sum_squared: npt.ArrayLike,
    sum_product: npt.ArrayLike,
    domains: int,
) -> EntropyEstimate:
    """Entropy from the document-clustered token counters, with an upper bound of its standard error.

    With a_w = -ln p_w - H, the delta method (Basharin 1959 for independent tokens) gives, over documents,
    Var(H) = sum_d (sum_w a_w y_dw)^2 / N^2. The counters hold no products of two tokens, but by Cauchy and Schwarz
    (sum_w a_w y_dw)^2 <= n_d sum_w a_w^2 y_dw, so

        Var(H) <= k / (k - 1) * sum_w a_w^2 sum_d y_dw n_d / N^2,

    reached when all tokens of a document are equally rare. The bias is Miller's with clustered variances,
    1/2 sum_w Var(p_w) / p_w. k = N^2 / sum_d n_d^2 stands in for the number of documents (never more than it), and
    sum_d n_d^2 is the sum over tokens of ``sum_product``.

    Args:
        domain: int [T]: the domain of each row, 0 to G - 1.
        count: int [T]: occurrences of a token in a domain, at least 1.
        sum_squared: float [T]: sum over documents of y^2.
        sum_product: float [T]: sum over documents of y n.
        domains: G.
    """
    code = np.asarray(domain)
    occurrences = np.asarray(count, dtype=np.float64)
    products = np.asarray(sum_product, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        tokens = np.bincount(code, occurrences, domains)
        entropy = np.log(tokens) - np.bincount(code, special.xlogy(occurrences, occurrences), domains) / tokens
        lengths_squared = np.bincount(code, products, domains)
        clusters = tokens**2 / lengths_squared
        correction = np.where(clusters > 1, clusters / (clusters - 1), np.nan) / tokens**2
        share = occurrences / tokens[code]
        surprise = -np.log(share) - entropy[code]
        error = np.sqrt(np.bincount(code, surprise**2 * products, domains) * correction)
        scatter = np.asarray(sum_squared) - 2 * share * products + share**2 * lengths_squared[code]
        bias = np.bincount(code, np.maximum(scatter, 0.0) / share, domains) * correction / 2
        freedom = np.where(clusters > 1, clusters - 1, np.nan)
    return EntropyEstimate(np.where(tokens > 0, np.maximum(entropy, 0.0), np.nan), bias, error, freedom)


@dataclass
class GroupedEntropy:
    """Entropies of G domains without each of the 64 groups of documents; rows are added block by block.

    Only sums of x ln x are kept: leaving group g out changes the terms of the tokens in g and no others.
    """

    domains: int
    _sums: Floats = field(init=False)
    _changes: Floats = field(init=False)
    _tokens: Integers = field(init=False)

    def __post_init__(self) -> None:
        self._sums = np.zeros(self.domains)
        self._changes = np.zeros(self.domains * GROUPS)
        self._tokens = np.zeros(self.domains * GROUPS, dtype=np.int64)

    def add(self, domain: npt.ArrayLike, row: Integers, group: Integers, counts: Integers) -> None:
        """Add a block of T rows, each a token of a domain; every token of a domain is in one row only.

        Args:
            domain: int [T]: 0 to G - 1.
            row: int64 [C]: the row of each cell, 0 to T - 1.
            group: int64 [C]: the group of each cell, 0 to 63.
            counts: int64 [C]: occurrences in that group, at least 1.
        """
        codes = np.asarray(domain)
        total = np.zeros(len(codes), dtype=np.int64)
        np.add.at(total, row, counts)
        term = special.xlogy(total, total)
        rest = (total[row] - counts).astype(np.float64)
        cell = codes[row] * GROUPS + group
        # add.at adds in row order: the same rows in other blocks give the same sums, to the last bit.
        np.add.at(self._sums, codes, term)
        np.add.at(self._changes, cell, special.xlogy(rest, rest) - term[row])
        np.add.at(self._tokens, cell, counts)

    def result(self) -> EntropyEstimate:
        """Entropy, bias and error by the delete-a-group jackknife for groups of unequal size.

        Busing, Meijer and van der Leeden (1999, Statistics and Computing 9); with equal groups it is the usual one
        (Wolter 2007, chapter 4), and its bias correction that of Zahl (1977). Groups without tokens do not take part;
        with fewer than two others, bias and error are NaN.
        """
        by_group = self._tokens.reshape(self.domains, GROUPS).astype(np.float64)
        has_tokens = by_group > 0
        groups = has_tokens.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            tokens = by_group.sum(axis=1)
            entropy = np.maximum(np.log(tokens) - self._sums / tokens, 0.0)
            rest = tokens[:, None] - by_group
            without = np.log(rest) - (self._sums[:, None] + self._changes.reshape(self.domains, GROUPS)) / rest
            ratio = tokens[:, None] / by_group
            corrected = groups * entropy - np.where(has_tokens, rest / tokens[:, None] * without, 0.0).sum(axis=1)
            pseudo = ratio * entropy[:, None] - (ratio - 1) * without
            squares = np.where(has_tokens, (pseudo - corrected[:, None]) ** 2 / (ratio - 1), 0.0).sum(axis=1)
            enough = groups >= 2
            error = np.where(enough, np.sqrt(squares / groups), np.nan)
            bias = np.where(enough, corrected - entropy, np.nan)
        freedom = np.where(enough, groups - 1.0, np.nan)
        return EntropyEstimate(np.where(tokens > 0, entropy, np.nan), bias, error, freedom)


@dataclass(frozen=True, slots=True)
class CellBlock:
    """Rows ``rows`` of a table of tokens by groups, as C cells: row (within the block), group and count, int64 [C]."""

    rows: slice
    row: Integers
    group: Integers
    counts: Integers


def cell_blocks(groups: npt.NDArray[np.uint64], offsets: Integers, counts: Integers) -> Iterator[CellBlock]:
    """Unpack rows of group masks, block by block, so that memory stays bounded.

    Args:
        groups: uint64 [T]: bit g is set when the token occurs in group g.
        offsets: int [T + 1]: row i's counts are ``counts[offsets[i]:offsets[i + 1]]``, one a set bit, ascending.
        counts: int64: occurrences by group, each at least 1.
    """
    for start in range(0, len(groups), ROWS_A_BLOCK):
        stop = min(start + ROWS_A_BLOCK, len(groups))
        little_endian = np.ascontiguousarray(groups[start:stop], dtype="<u8")
        bits = np.unpackbits(little_endian.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
        row, group = np.nonzero(bits)
        yield CellBlock(slice(start, stop), row, group, counts[offsets[start] : offsets[stop]])


def effective_vocabulary(estimate: EntropyEstimate, vocabulary_size: int) -> tuple[Floats, Floats, Floats]:
    """exp(H), the number of equally frequent token ids with the same entropy (Hill 1973, order 1), and its bounds.

    Returns:
        exp(H) and the bounds exp(H - t s) and exp(H + max(bias, 0) + t s), [G] each, in token ids, between 1 and
        ``vocabulary_size``; NaN where the estimate is.
    """
    reach = student_quantile(0.5 + LEVEL / 2, np.maximum(estimate.degrees_of_freedom, 1.0)) * estimate.error
    value = np.exp(estimate.entropy)
    low = np.maximum(np.exp(estimate.entropy - reach), 1.0)
    high = np.minimum(np.exp(estimate.entropy + np.maximum(estimate.bias, 0.0) + reach), vocabulary_size)
    return value, np.minimum(low, value), np.maximum(high, value)
