"""Compares a window of training steps with control windows of the same length, by what was drawn in them.

Every window, the one in question included, is scored by the same functions, so under exchangeability its rank among
them is uniform: p = (1 + b) / (1 + m), b of m control windows at least as extreme (Phipson and Smyth 2010). Several
scores are joined by their smallest p, whose null is that of the same windows (Westfall and Young 1993), so no further
correction is needed for their number.
"""

from __future__ import annotations

import numpy as np

from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers

LEAST_CONTROLS = 99
"""Control windows without which nothing is tested: p is at least 1 %."""

MOST_CONTROLS = 999
"""Control windows that are used, the nearest ones."""


def control_starts(
    window: tuple[int, int],
    steps: tuple[int, int],
    avoid: list[tuple[int, int]],
    most: int = MOST_CONTROLS,
) -> Integers:
    """First steps of the nearest control windows, in order; the two windows beside the one in question are left out.

    Windows near by were drawn in the same phase of training. They do not overlap each other.

    Args:
        window: first and last step of the window in question.
        steps: first and last step that were logged.
        avoid: steps that no control may hold, such as the windows of other spikes.
        most: windows at most.
    """
    first, last = window
    length = last - first + 1
    number = np.arange(-((first - steps[0]) // length), (steps[1] - last) // length + 1, dtype=np.int64)
    number = number[np.abs(number) > 1]
    starts = first + number * length
    for low, high in avoid:
        starts = starts[(starts > high) | (starts + length - 1 < low)]
    return np.asarray(np.sort(starts[np.argsort(np.abs(starts - first), kind="stable")[:most]]))


def share_deviations(documents: Integers) -> Floats:
    """Standardised deviation of every domain's share of documents from its mean over the windows, [W, G].

    The standard deviation is that of the windows' shares, and at least that of a count with variance 1, so that a
    domain of which one document was ever drawn does not make its window extreme.

    Args:
        documents: drawn by window and domain, [W, G]; every window has some.
    """
    total = documents.sum(axis=1, keepdims=True).astype(np.float64)
    share = documents / total
    deviation = share.std(axis=0, ddof=1) if len(share) > 1 else np.zeros(documents.shape[1])
    return np.asarray((share - share.mean(axis=0)) / np.maximum(deviation, 1 / total))


def rank_p(scores: Floats) -> Floats:
    """Share of windows whose score is at least that of each window, itself included, [K, W].

    Args:
        scores: by statistic and window, larger is more extreme, [K, W].
    """
    windows = scores.shape[1]
    below = np.stack([np.searchsorted(np.sort(row), row, side="left") for row in scores])
    return np.asarray((windows - below) / windows)


def joint_p(each: Floats) -> Floats:
    """p of the smallest p of a window among those of all windows, [W].

    Args:
        each: result of `rank_p`, [K, W].
    """
    return np.asarray(rank_p(-each.min(axis=0, keepdims=True))[0])
