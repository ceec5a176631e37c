"""Inserts examples into, and merges, top-k lists of many units over distinct contexts, and samples by activation bin.

A list has k slots; a slot is a value, the window, the peak's position in it and the context, a hash of the tokens that
end there. Four arrays [R, k] hold the lists of R units, best first, empty slots (window `EMPTY`) last::

    row u    value     9.1   8.7   8.7   4.0  -inf        insert value 8.9, window 5, context c:
             window     12     3    40     8  EMPTY       - not better than the last slot? Then done: the usual case.
             context     a     b     c     d     0        - c is listed with less: its slot becomes free, and what
                                                            stands above it and is worse than 8.9 moves down.
             value     9.1   8.9   8.7   4.0  -inf
             window     12     5     3     8  EMPTY
             context     a     c     b     d     0

1. The order is total: value descending, then window ascending. Equal values never depend on who came first.
2. Of one context only the best example stays, so that boilerplate and near-duplicates take one slot. A new context
   evicts the last slot; a listed one replaces its own example, if the new one is better.
3. Merging two lists is inserting every slot of one into the other. The result is the first k of the best example of
   each context, for any order and grouping of merges and any number of repetitions: the best example of a context that
   wins overall also wins in its own part of the corpus, so no partial list can have dropped it.

Samples do the same by bins of the peak, with a hash of the window as the order.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.kernels.activations.windows import sample_bin, splitmix64
from corpus_audit.pipelines.kernels.compiler.jit import kernel

EMPTY = np.uint64(2**64 - 1)
"""The window of an empty slot."""

_ZERO = np.float32(0)
"""Added to every value that is stored: it turns -0.0 into 0.0, which is equal and would be stored as other bytes."""


@kernel
def better(v, w, other_v, other_w):
    """Whether an example of value v and window w comes before another."""
    return v > other_v or (v == other_v and w < other_w)


@kernel
def insert(
    value: np.ndarray,
    window: np.ndarray,
    position: np.ndarray,
    context: np.ndarray,
    row: int,
    v: float,
    w: int,
    p: int,
    c: int,
) -> None:
    """Insert an example (value v, window w, position p, context c) into a row's list, if it is among the best."""
    k = value.shape[1]
    if not better(v, w, value[row, k - 1], window[row, k - 1]):
        return
    slot = k - 1  # the slot to overwrite: the last one, or that of the same context
    for i in range(k):
        if window[row, i] == EMPTY:
            break
        if context[row, i] == c:
            if not better(v, w, value[row, i], window[row, i]):
                return
            slot = i
            break
    while slot > 0 and better(v, w, value[row, slot - 1], window[row, slot - 1]):
        value[row, slot] = value[row, slot - 1]
        window[row, slot] = window[row, slot - 1]
        position[row, slot] = position[row, slot - 1]
        context[row, slot] = context[row, slot - 1]
        slot -= 1
    value[row, slot] = v
    window[row, slot] = w
    position[row, slot] = p
    context[row, slot] = c


@kernel
def merge_lists(
    value: np.ndarray,
    window: np.ndarray,
    position: np.ndarray,
    context: np.ndarray,
    other_value: np.ndarray,
    other_window: np.ndarray,
    other_position: np.ndarray,
    other_context: np.ndarray,
) -> None:
    """The k-best merge (point 3 above): insert every example of lists [R, k'] into the same rows of lists [R, k].

    Empty slots come last in the other lists too, so the first one ends a row. Late in a scan most slots are not among
    the best, and `insert` returns after one comparison.
    """
    for row in range(other_value.shape[0]):
        for i in range(other_value.shape[1]):
            if other_window[row, i] == EMPTY:
                break
            insert(
                value,
                window,
                position,
                context,
                row,
                other_value[row, i],
                other_window[row, i],
                other_position[row, i],
                other_context[row, i],
            )


@kernel
def sample_order(window, row):
    """The hash that orders a row's samples: those of lowest hash stay."""
    return splitmix64(window ^ splitmix64(np.uint64(row + 1)))


@kernel
def belongs_in_sample(window, row, bin_, w):
    """Whether a bin has an empty slot or a window of higher hash; may be True for a window that the bin already has."""
    last = window[row, bin_, window.shape[2] - 1]
    return last == EMPTY or sample_order(w, row) < sample_order(last, row)


@kernel
def insert_sample(value, window, position, context, row, bin_, v, w, p, c):
    """Insert an example into a bin of samples, [R, bins, s] arrays, unless the bin has s windows of lower hash."""
    s = value.shape[2]
    order = sample_order(w, row)
    slot = s
    for i in range(s):
        other = window[row, bin_, i]
        if other == w:
            return
        if other == EMPTY or order < sample_order(other, row):
            slot = i
            break
    if slot == s:
        return
    for i in range(s - 1, slot, -1):
        value[row, bin_, i] = value[row, bin_, i - 1]
        window[row, bin_, i] = window[row, bin_, i - 1]
        position[row, bin_, i] = position[row, bin_, i - 1]
        context[row, bin_, i] = context[row, bin_, i - 1]
    value[row, bin_, slot] = v
    window[row, bin_, slot] = w
    position[row, bin_, slot] = p
    context[row, bin_, slot] = c


@kernel
def merge_bins(
    value: np.ndarray,
    window: np.ndarray,
    position: np.ndarray,
    context: np.ndarray,
    other_value: np.ndarray,
    other_window: np.ndarray,
    other_position: np.ndarray,
    other_context: np.ndarray,
) -> None:
    """Insert every sample of other bins, [R, bins, s'], into the same bins."""
    for row in range(other_value.shape[0]):
        for bin_ in range(other_value.shape[1]):
            for i in range(other_value.shape[2]):
                if other_window[row, bin_, i] == EMPTY:
                    break
                insert_sample(
                    value,
                    window,
                    position,
                    context,
                    row,
                    bin_,
                    other_value[row, bin_, i],
                    other_window[row, bin_, i],
                    other_position[row, bin_, i],
                    other_context[row, bin_, i],
                )


@kernel
def insert_peaks(
    selected: np.ndarray,
    peak: np.ndarray,
    at: np.ndarray,
    windows: np.ndarray,
    contexts: np.ndarray,
    row: int,
    floors: np.ndarray,
    value: np.ndarray,
    window: np.ndarray,
    position: np.ndarray,
    context: np.ndarray,
) -> None:
    """Insert the peaks of some windows of a batch into their units' lists.

    Args:
        selected: int64, the windows' positions in the batch.
        peak, at: float32 and int32 [B, U], highest activation of a unit in a window, and its token's position.
        windows: uint64 [B], names of the windows; contexts: uint64 [B, L].
        row: the first unit's.
        floors: float32 [R]; activations up to a unit's floor are ignored.
        value, window, position, context: the lists.
    """
    last = value.shape[1] - 1
    for b in selected:
        w = windows[b]
        for u in range(peak.shape[1]):
            v = peak[b, u]
            r = row + u
            if v < value[r, last] or v <= floors[r] or (v == value[r, last] and w >= window[r, last]):
                continue
            t = at[b, u]
            insert(value, window, position, context, r, v + _ZERO, w, t, contexts[b, t])


@kernel
def insert_lowest(
    lowest: np.ndarray,
    at: np.ndarray,
    windows: np.ndarray,
    contexts: np.ndarray,
    row: int,
    value: np.ndarray,
    window: np.ndarray,
    position: np.ndarray,
    context: np.ndarray,
) -> None:
    """Insert the lowest activations [B, U] of windows, at token positions ``at``, into lists of minus the value."""
    last = value.shape[1] - 1
    for b in range(lowest.shape[0]):
        w = windows[b]
        for u in range(lowest.shape[1]):
            v = -lowest[b, u]
            r = row + u
            if v < value[r, last] or (v == value[r, last] and w >= window[r, last]):
                continue
            t = at[b, u]
            insert(value, window, position, context, r, v + _ZERO, w, t, contexts[b, t])


@kernel
def insert_samples(
    peak: np.ndarray,
    at: np.ndarray,
    windows: np.ndarray,
    contexts: np.ndarray,
    row: int,
    floors: np.ndarray,
    value: np.ndarray,
    window: np.ndarray,
    position: np.ndarray,
    context: np.ndarray,
) -> None:
    """Insert peaks [B, U], at token positions ``at``, into the sample bins of their units."""
    for b in range(peak.shape[0]):
        w = windows[b]
        for u in range(peak.shape[1]):
            v = peak[b, u]
            r = row + u
            if v <= floors[r]:
                continue
            bin_ = sample_bin(v)
            if not belongs_in_sample(window, r, bin_, w):
                continue
            t = at[b, u]
            insert_sample(value, window, position, context, r, bin_, v + _ZERO, w, t, contexts[b, t])
