"""Top-k lists of many units over distinct contexts, and their exact merge (k-best merge).

1. A slot is a value, the window, the peak's position in it and the context: a hash of the tokens that end there.
2. The order is total: value descending, then window ascending.
3. Of one context only the best example counts, so that boilerplate and near-duplicates take one slot.
4. ``merge(A, B)`` is the first k of the best of each context of A and B. It is associative, commutative and idempotent:
   an example that is among the first k of all is among the first k of its own shard as well, as fewer compete there,
   and so no shard's list has lost it. Shards can be scanned in any order, on any machine, and twice.

How a slot is inserted is drawn in `pipelines.kernels.activations.topk_lists`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.activations.topk_lists import EMPTY, merge_bins, merge_lists


@dataclass(frozen=True)
class SlotLists:
    """Lists of R units with k slots each, best first, empty slots last.

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
        """The arrays value, window, position and context."""
        return self.value, self.window, self.position, self.context

    @property
    def filled(self) -> np.ndarray:
        """Which slots hold an example, bool [R, k]."""
        return np.asarray(self.window != EMPTY)

    def merge(self, other: SlotLists) -> None:
        """Insert the examples of other lists of the same units, in place; their k may differ."""
        if self.k:
            merge_lists(*self.columns, *other.columns)

    def negated(self) -> SlotLists:
        """The lists with values of the other sign: lists of lowest activations hold minus the value, highest first."""
        value = np.where(self.filled, -self.value, self.value)
        return SlotLists(value, self.window, self.position, self.context)


def merge_samples(into: SlotLists, other: SlotLists) -> None:
    """Insert the samples of the same units and bins, in place; both are [R, bins, s]."""
    if into.value.shape[2]:
        merge_bins(*into.columns, *other.columns)
