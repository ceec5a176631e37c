"""Input of the drift statistics: a slice's counters over K token ids, clustered by document and by hash group."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def take(self, tokens: Integers) -> TokenSample:
        """The same documents' counters over some of the tokens, int64 positions [N]."""
        return replace(
            self,
            count=self.count[tokens],
            documents=self.documents[tokens],
            squared=self.squared[tokens],
            product=self.product[tokens],
            groups=self.groups[:, tokens],
        )

    def without_groups(self) -> TokenSample:
        """The same without its hash groups, which take most of the memory."""
        return replace(self, groups=self.groups[:, :0].copy())

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
class EditedPairs:
    """Documents that both snapshots hold in two versions, over the same K token ids; the sums over pairs add up.

    The versions of one document are dependent: most of what an edit leaves is the same. Statistics treat a pair as one
    observation, so each pair is in one hash group on both sides.

    Attributes:
        before: the baseline's versions; current: the current snapshot's.
        count_product: float64 [K], sum over pairs of y_1 y_2, a token's occurrences in the two versions.
        before_length: float64 [K], sum over pairs of y_1 n_2, n the versions' tokens.
        current_length: float64 [K], sum over pairs of n_1 y_2.
        length_product: sum over pairs of n_1 n_2.
        documents: int64 [K], pairs that hold the token in either version.
    """

    before: TokenSample
    current: TokenSample
    count_product: Floats
    before_length: Floats
    current_length: Floats
    length_product: float
    documents: Integers

    def take(self, tokens: Integers) -> EditedPairs:
        """The same pairs' counters over some of the tokens, int64 positions [N]."""
        return replace(
            self,
            before=self.before.take(tokens),
            current=self.current.take(tokens),
            count_product=self.count_product[tokens],
            before_length=self.before_length[tokens],
            current_length=self.current_length[tokens],
            documents=self.documents[tokens],
        )

    def squared_changes(self, p: Floats) -> Floats:
        """Sum over pairs of ((y_2 - y_1) - p (n_2 - n_1))^2, [K]: edits, less what their change of length explains."""
        before, current = self.before, self.current
        counts = before.squared + current.squared - 2 * self.count_product
        products = before.product + current.product - self.before_length - self.current_length
        lengths = before.total_squared + current.total_squared - 2 * self.length_product
        return np.maximum(counts - 2 * p * products + p**2 * lengths, 0.0)

    @property
    def mean_version(self) -> TokenSample:
        """Each document once, as the mean of its versions; counts, totals and hash groups are rounded down."""
        before, current = self.before, self.current
        return TokenSample(
            (before.count + current.count) // 2,
            self.documents,
            (before.squared + current.squared) / 2,
            (before.product + current.product) / 2,
            (before.groups + current.groups) // 2,
            before.total_documents,
            (before.total_tokens + current.total_tokens) // 2,
            (before.total_squared + current.total_squared) / 2,
        )


@dataclass(frozen=True)
class TokenContrast:
    """Two snapshots' documents of one slice in disjoint sets, over the same K token ids.

    Two snapshots of one corpus share most of their documents, and tests that treat them as independent are wrong; so
    what both hold is kept apart, and so are documents that were edited in between. The baseline is ``only_baseline +
    shared`` and the edited documents as they were, the current snapshot ``only_current + shared`` and the edited ones
    as they are now.

    Attributes:
        tokens: int32 [K], ascending token ids: all that occur on either side.
        only_baseline, only_current: documents of one side that have no counterpart on the other, or none that is known.
        shared: documents that both hold with the same text.
        clustered: whether the hash groups are made of clusters that hold several documents; variances then come from
            the groups (random groups), not from sums over documents.
        edited: documents that both hold in two versions; None where there are none, or which they are is not known.
            Not together with ``clustered``: pairs of one cluster depend on each other.

    Raises:
        ValueError: if there are edited pairs in a clustered contrast.
    """

    tokens: npt.NDArray[np.int32]
    only_baseline: TokenSample
    only_current: TokenSample
    shared: TokenSample
    clustered: bool = False
    edited: EditedPairs | None = None

    def __post_init__(self) -> None:
        if self.clustered and self.edited is not None:
            raise ValueError("edited pairs are independent of each other, which documents of one cluster are not")

    def without_groups(self) -> TokenContrast:
        """The same without hash groups, for what does not need them; as it is where it is clustered, as spreads do."""
        if self.clustered:
            return self
        edited = self.edited
        if edited is not None:
            edited = replace(edited, before=edited.before.without_groups(), current=edited.current.without_groups())
        return replace(
            self,
            only_baseline=self.only_baseline.without_groups(),
            only_current=self.only_current.without_groups(),
            shared=self.shared.without_groups(),
            edited=edited,
        )

    @property
    def parts(self) -> tuple[tuple[TokenSample, ...], tuple[TokenSample, ...]]:
        """The disjoint sets of documents that make the baseline, and those that make the current snapshot."""
        before, now = (self.only_baseline, self.shared), (self.only_current, self.shared)
        return (before, now) if self.edited is None else ((*before, self.edited.before), (*now, self.edited.current))

    @property
    def baseline(self) -> TokenSample:
        """All documents of the baseline."""
        unedited = self.only_baseline + self.shared
        return unedited if self.edited is None else unedited + self.edited.before

    @property
    def current(self) -> TokenSample:
        """All documents of the current snapshot."""
        unedited = self.only_current + self.shared
        return unedited if self.edited is None else unedited + self.edited.current

    @property
    def counts(self) -> tuple[Integers, Integers]:
        """Occurrences on the two sides, int64 [K] each; cheaper than those of `baseline` and `current`."""
        before, now = self.only_baseline.count + self.shared.count, self.only_current.count + self.shared.count
        if self.edited is None:
            return before, now
        return before + self.edited.before.count, now + self.edited.current.count

    @property
    def token_totals(self) -> tuple[int, int]:
        """Tokens of the two sides."""
        both = self.shared.total_tokens
        before, now = self.only_baseline.total_tokens + both, self.only_current.total_tokens + both
        if self.edited is None:
            return before, now
        return before + self.edited.before.total_tokens, now + self.edited.current.total_tokens
