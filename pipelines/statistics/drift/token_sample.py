"""Input of the drift statistics: a slice's counters over K token ids, clustered by document and by hash group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

GROUPS = 64
"""Hash groups of documents (of clusters, where a cluster field is set)."""


@dataclass(frozen=True)
class TokenSample:
    """Additive counters of a set of documents over K token ids: those of one domain, or of the corpus.

    Samples of disjoint sets of documents add up.

    Attributes:
        count: int64 [K], occurrences Y_w.
        documents: int64 [K], documents that hold the token.
        squared: float64 [K], sum over documents of y_dw^2.
        product: float64 [K], sum over documents of y_dw n_d, n_d the document's tokens in the slice.
        groups: int64 [GROUPS, K], occurrences by hash group; adds up to ``count``.
        total_documents: D.
        total_tokens: T; equal to ``count.sum()`` when the K tokens are all that occur.
        total_squared: sum over documents of n_d^2.
    """

    count: Integers
    documents: Integers
    squared: Floats
    product: Floats
    groups: Integers
    total_documents: int
    total_tokens: int
    total_squared: float

    def __add__(self, other: TokenSample) -> TokenSample:
        return TokenSample(
            self.count + other.count,
            self.documents + other.documents,
            self.squared + other.squared,
            self.product + other.product,
            self.groups + other.groups,
            self.total_documents + other.total_documents,
            self.total_tokens + other.total_tokens,
            self.total_squared + other.total_squared,
        )


@dataclass(frozen=True)
class TokenContrast:
    """Two snapshots' documents of one slice in three disjoint sets, over the same K token ids.

    Two snapshots of one corpus share most of their documents, and tests that treat them as independent are wrong; so
    what both hold is kept apart. The baseline is ``only_baseline + shared``, the current ``only_current + shared``.

    Attributes:
        tokens: int32 [K], ascending token ids: all that occur on either side.
        clustered: whether the hash groups are made of clusters that hold several documents; variances then come from
            the groups (random groups), not from sums over documents.
    """

    tokens: npt.NDArray[np.int32]
    only_baseline: TokenSample
    only_current: TokenSample
    shared: TokenSample
    clustered: bool = False

    @property
    def baseline(self) -> TokenSample:
        """All documents of the baseline."""
        return self.only_baseline + self.shared

    @property
    def current(self) -> TokenSample:
        """All documents of the current snapshot."""
        return self.only_current + self.shared
