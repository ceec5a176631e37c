"""Whether lists of documents, such as examples of units, have more of them in a window than in control windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.sampling.control_windows import joint_p, rank_p

MOST_CELLS = 50_000_000
"""Windows times lists that are held."""


@dataclass(frozen=True, slots=True)
class ListedInWindow:
    """A window against its controls.

    Attributes:
        counts: documents of every list that were drawn in the window, int64 [U].
        expected: mean of the same over the control windows, float64 [U].
        adjusted: p of every list, for the largest score of any list (Westfall and Young 1993), float64 [U].
        p: of the window: largest score of a list, and documents of all lists together, joined.
        controls: control windows.
    """

    counts: Integers
    expected: Floats
    adjusted: Floats
    p: float
    controls: int


def listed_in_window(
    lists: Integers, documents: Integers, number: int, drawn: npt.NDArray[np.bool_], target: int
) -> ListedInWindow:
    """Compare a window with its controls.

    The score of a list is its count less the mean over all windows, in standard deviations, and at least in ones.

    Args:
        lists, documents: list and document of every entry, int64 [N].
        number: lists, U.
        drawn: whether a document was drawn in a window, bool [W, D].
        target: the window in question.
    """
    counts = np.stack([np.bincount(lists, weights=window[documents], minlength=number) for window in drawn])
    counts = counts.astype(np.float32)
    deviation = counts.std(axis=0, ddof=1, dtype=np.float64) if len(counts) > 1 else np.zeros(number)
    scores = (counts - counts.mean(axis=0, dtype=np.float64)) / np.maximum(deviation, 1.0)
    highest = scores.max(axis=1) if number else np.zeros(len(counts))
    each = rank_p(np.stack([highest, counts.sum(axis=1, dtype=np.float64)]))
    ordered = np.sort(highest)
    others = np.arange(len(counts)) != target
    below = np.searchsorted(ordered, scores[target] - 1e-9, side="left")
    return ListedInWindow(
        counts=counts[target].astype(np.int64),
        expected=counts[others].mean(axis=0, dtype=np.float64) if others.any() else np.zeros(number),
        adjusted=np.asarray((len(counts) - below) / len(counts)),
        p=float(joint_p(each)[target]),
        controls=int(others.sum()),
    )
