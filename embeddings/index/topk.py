"""Lists of the best examples of many units, over distinct contexts, with an exact merge.

A slot is a value, the window, the peak's position in it and the hash of the tokens that end at the peak. Among the
examples of one context only the best counts, so that boilerplate and near-duplicates take one slot. The order is total:
value descending, then window ascending. ``merge(A, B)`` is the first k of the best of each context of both; it is
associative, commutative and idempotent, because the best example of every context that wins survives in its own shard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.activations.examples import EMPTY, merge_bins, merge_lists


@dataclass(frozen=True)
class SlotLists:
    """Lists of R rows with k slots each, best first, empty slots last.

    Attributes:
        value: float32 [R, k]; minus infinity in empty slots.
        window: uint64 [R, k]; `EMPTY` in empty slots.
        position: uint16 [R, k], the peak's token within the window.
        context: uint64 [R, k].
    """

    value: np.ndarray
    window: np.ndarray
    position: np.ndarray
    context: np.ndarray

    @classmethod
    def empty(cls, rows: int, k: int) -> SlotLists:
        """Lists without examples."""
        shape = (rows, k)
        return cls(
            np.full(shape, -np.inf, np.float32),
            np.full(shape, EMPTY, np.uint64),
            np.zeros(shape, np.uint16),
            np.zeros(shape, np.uint64),
        )

    @property
    def k(self) -> int:
        """Slots of a row."""
        return int(self.value.shape[1])

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The four arrays."""
        return self.value, self.window, self.position, self.context

    @property
    def filled(self) -> np.ndarray:
        """Which slots hold an example, bool [R, k]."""
        return np.asarray(self.window != EMPTY)

    def merge(self, other: SlotLists) -> None:
        """Take in the examples of the same rows' other lists, in place; k may differ."""
        if self.k:
            merge_lists(*self.columns, *other.columns)

    def negated(self) -> SlotLists:
        """With values of the other sign: lists of the lowest are kept as lists of the highest of minus the value."""
        value = np.where(self.filled, -self.value, self.value)
        return SlotLists(value, self.window, self.position, self.context)


def merge_samples(into: SlotLists, other: SlotLists) -> None:
    """Take in the samples of the same rows, in place; both are [R, bins, s]."""
    if into.value.shape[2]:
        merge_bins(*into.columns, *other.columns)
