"""Tokens and n-grams on which a unit is most active on average, over all their occurrences in stored windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.corpus_pass import CorpusValues
from corpus_audit.schemas.errors import UsageError

LEAST = 3
"""Occurrences that a token or an n-gram must have."""


@dataclass(frozen=True, slots=True)
class TokenMean:
    """A token or n-gram, by ids, and a unit's activation on its last token.

    Attributes:
        ids: of the model's tokenizer.
        text: of one occurrence.
        count: occurrences whose last token counts.
        mean, highest: over them.
    """

    ids: tuple[int, ...]
    text: str
    count: int
    mean: float
    highest: float


def token_means(index: Index, values: CorpusValues, column: int, n: int, k: int, least: int = LEAST) -> list[TokenMean]:
    """The n-grams of tokens with the highest mean activation on their last token, best first.

    An n-gram lies within a window; special tokens are none of its tokens.

    Args:
        index: the index, for the text.
        values: of its windows.
        column: the unit's.
        n: tokens of an n-gram; 1: tokens.
        k: how many at most.
        least: occurrences that an n-gram must have.

    Raises:
        UsageError: n is below 1.
    """
    if n < 1:
        raise UsageError(f"n-grams of {n} tokens")
    windows = values.windows
    tokens, within = windows.tokens, np.arange(len(windows.tokens)) - np.repeat(windows.offsets[:-1], windows.lengths)
    plain = windows.starts >= 0
    ends = windows.counted & (within >= n - 1)
    for back in range(1, n):
        ends[back:] &= plain[:-back]
        ends[:back] = False
    at = np.flatnonzero(ends)
    if not len(at):
        return []
    grams = np.stack([tokens[at - back] for back in range(n - 1, -1, -1)], axis=1)
    unique, first, inverse = np.unique(grams, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    counts = np.bincount(inverse)
    activation = values.values[at, column].astype(np.float64)
    means = np.bincount(inverse, activation) / counts
    highest = np.full(len(unique), -np.inf)
    np.maximum.at(highest, inverse, activation)
    order = [i for i in np.lexsort((np.arange(len(unique)), -means)).tolist() if counts[i] >= least][:k]
    return [
        TokenMean(
            tuple(unique[i].tolist()), _text(index, values, int(at[first[i]]), n), int(counts[i]), float(means[i]),
            float(highest[i]),
        )
        for i in order
    ]  # fmt: skip


def _text(index: Index, values: CorpusValues, at: int, n: int) -> str:
    """The text of the n tokens that end at a token."""
    windows = values.windows
    window = int(np.searchsorted(windows.offsets, at, side="right")) - 1
    row = int(np.searchsorted(index.window_names, windows.ids[window, 0]))
    text: str = index.windows["text"][row].as_py()
    return text[int(windows.starts[at - n + 1]) : int(windows.ends[at])]
