"""From the token ids of documents in two versions to the counters that the drift statistics need of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, EditedPairs, Floats, Integers, TokenSample


class DocumentTokens(NamedTuple):
    """Token ids of N documents, one after the other.

    Attributes:
        ids: integers [T].
        offsets: int64 [N + 1] into ``ids``.
    """

    ids: npt.NDArray[np.integer]
    offsets: Integers

    @property
    def lengths(self) -> Integers:
        """Tokens of each document, [N]."""
        return np.diff(self.offsets)

    def take(self, documents: Integers) -> DocumentTokens:
        """Some of the documents, int64 positions [M], in the order given."""
        lengths = self.lengths[documents]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.offsets[documents] - offsets[:-1], lengths)
        return DocumentTokens(self.ids[np.arange(offsets[-1]) + shift], offsets)


@dataclass(frozen=True)
class _Cells:
    """The cells above 0 of a matrix documents x tokens, int64 [C] each, in the order of ``key``."""

    key: Integers
    document: Integers
    token: Integers
    count: Integers


def edited_pairs(
    before: DocumentTokens, current: DocumentTokens, groups: npt.NDArray[np.integer], tokens: npt.NDArray[np.int32]
) -> EditedPairs:
    """Counters of N documents in two versions.

    Args:
        before, current: the versions, in the same order.
        groups: hash group of each pair, below `GROUPS`, [N].
        tokens: int32 [K], ascending; every id of either version is among them.

    Raises:
        ValueError: if the versions are not as many.
    """
    if not len(before.lengths) == len(current.lengths) == len(groups):
        raise ValueError(f"{len(before.lengths)} and {len(current.lengths)} versions of {len(groups)} documents")
    size = len(tokens)
    cells = [_cells(version, tokens) for version in (before, current)]
    lengths = [version.lengths.astype(np.float64) for version in (before, current)]
    samples = [_sample(each, n, groups, size) for each, n in zip(cells, lengths, strict=True)]
    _, first, second = np.intersect1d(cells[0].key, cells[1].key, assume_unique=True, return_indices=True)
    product = cells[0].count[first].astype(np.float64) * cells[1].count[second]
    either = np.bincount(cells[0].token, minlength=size) + np.bincount(cells[1].token, minlength=size)
    return EditedPairs(
        before=samples[0],
        current=samples[1],
        count_product=np.bincount(cells[0].token[first], product, size).astype(np.float64),
        before_length=_weighted(cells[0], cells[0].count * lengths[1][cells[0].document], size),
        current_length=_weighted(cells[1], cells[1].count * lengths[0][cells[1].document], size),
        length_product=float(lengths[0] @ lengths[1]),
        documents=(either - np.bincount(cells[0].token[first], minlength=size)).astype(np.int64),
    )


def token_groups(version: DocumentTokens, groups: npt.NDArray[np.integer], tokens: npt.NDArray[np.int32]) -> Integers:
    """Occurrences of K tokens in N documents by hash group, int64 [GROUPS, K].

    Args:
        version: the documents.
        groups: hash group of each, below `GROUPS`, [N].
        tokens: int32 [K], ascending; every id of the documents is among them.
    """
    table = np.zeros((GROUPS, len(tokens)), np.int64)
    np.add.at(table, (np.repeat(groups, version.lengths), np.searchsorted(tokens, version.ids)), 1)
    return table


def _cells(version: DocumentTokens, tokens: npt.NDArray[np.int32]) -> _Cells:
    size = max(len(tokens), 1)
    document = np.repeat(np.arange(len(version.lengths)), version.lengths)
    key, count = np.unique(document * size + np.searchsorted(tokens, version.ids), return_counts=True)
    return _Cells(key, key // size, key % size, count.astype(np.int64))


def _sample(cells: _Cells, lengths: Floats, groups: npt.NDArray[np.integer], size: int) -> TokenSample:
    table = np.zeros((GROUPS, size), np.int64)
    np.add.at(table, (groups[cells.document], cells.token), cells.count)
    return TokenSample(
        count=table.sum(axis=0),
        documents=np.bincount(cells.token, minlength=size).astype(np.int64),
        squared=_weighted(cells, cells.count.astype(np.float64) ** 2, size),
        product=_weighted(cells, cells.count * lengths[cells.document], size),
        groups=table,
        total_documents=len(lengths),
        total_tokens=int(lengths.sum()),
        total_squared=float(lengths @ lengths),
    )


def _weighted(cells: _Cells, weight: Floats, size: int) -> Floats:
    """Sum of the cells' weights by token, [size]."""
    return np.bincount(cells.token, weight, size).astype(np.float64)
