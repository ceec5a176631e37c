"""Batches of windows without padding: windows of one length together, so that a window's values do not depend on
which others it is batched with.

Attention and matrix products over padded rows round differently; over rows of equal length, from about sixteen tokens a
batch on, they came out bit for bit the same in every batch size that was tried. So a batch that is smaller is filled
with repeats of its last window, which nobody looks at.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from corpus_audit.embeddings.scan.accumulator import BatchRows
from corpus_audit.embeddings.scan.windows import Windows

LEAST_TOKENS = 16


def batches(lengths: np.ndarray, batch_tokens: int) -> Iterator[np.ndarray]:
    """Positions of windows, int64, of one length a batch and at most ``batch_tokens`` tokens (or one window).

    Args:
        lengths: int64 [N], tokens of the windows.
        batch_tokens: about how many tokens the model sees at once.
    """
    order = np.argsort(-lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order])) + 1
    for same in np.split(order, edges):
        if len(same):
            rows = max(1, batch_tokens // max(int(lengths[same[0]]), 1))
            for begin in range(0, len(same), rows):
                yield same[begin : begin + rows]


def batch_ids(windows: Windows, batch: np.ndarray) -> np.ndarray:
    """Token ids of windows of one length, int64 [B', L]; B' >= B rows so that there are `LEAST_TOKENS` tokens."""
    length = int(windows.lengths[batch[0]])
    rows = max(len(batch), -(-LEAST_TOKENS // max(length, 1)))
    filled = np.concatenate([batch, np.repeat(batch[-1:], rows - len(batch))])
    ids: np.ndarray = windows.tokens[_token_indices(windows, filled, length)].astype(np.int64)
    return ids


def batch_rows(windows: Windows, batch: np.ndarray, domain: np.ndarray, group: np.ndarray) -> BatchRows:
    """The `BatchRows` of windows of one length.

    Args:
        windows: all windows.
        batch: positions of the batch's windows, int64 [B].
        domain, group: int64 [N], of every window.
    """
    tokens = _token_indices(windows, batch, int(windows.lengths[batch[0]]))
    return BatchRows(
        windows.ids[batch, 0], domain[batch], group[batch], windows.counted[tokens], windows.contexts[tokens]
    )


def _token_indices(windows: Windows, batch: np.ndarray, length: int) -> np.ndarray:
    indices: np.ndarray = windows.offsets[batch][:, None] + np.arange(length)
    return indices
