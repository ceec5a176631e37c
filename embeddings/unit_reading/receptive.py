"""How much of an example a unit needs: the effective receptive field of an activation.

Of a causal model it is the shortest run of tokens that ends at the peak and keeps 90 % of the activation when
everything in front of it is cut off. Of an encoder it is the smallest span around the peak that does so when all other
tokens are masked: of up to `WIDEST` tokens by trying every span; beyond that, each end is moved in by bisection as far
as 90 % of the activation stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.embeddings.unit_reading.unit_reader import UnitReader
from corpus_audit.schemas.errors import UsageError

KEPT = 0.9
WIDEST = 8
"""Tokens up to which every span of an encoder is tried: 36 windows."""

_MASKS = "[MASK]", "<mask>"


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The tokens of a window, from ``first`` to before ``end``, that keep 90 % of an activation.

    Attributes:
        value: the activation with them alone.
        whole: the activation in the whole window.
        exact: whether no smaller one does.
    """

    first: int
    end: int
    value: float
    whole: float
    exact: bool


class ReceptiveFields:
    """Finds receptive fields of one unit."""

    def __init__(self, reader: UnitReader) -> None:
        """Take a unit's reader.

        Raises:
            UsageError: the model is an encoder without a mask token.
        """
        model = reader.model
        masks = [model.tokenizer.token_to_id(text) for text in _MASKS]
        self._mask = next((mask for mask in masks if mask is not None), None)
        if not model.card.causal and self._mask is None:
            raise UsageError(f"{model.card.name} is an encoder without a mask token: it has no receptive fields")
        self._model, self._reader = model, reader

    def find(self, tokens: Sequence[int], position: int, lowest: bool = False) -> ReceptiveField:
        """The receptive field of the activation at a position of a window.

        Args:
            tokens: of the window as the model sees it.
            position: of the peak.
            lowest: the activation is a minimum: before the activation function, and kept from below.
        """
        ids = np.array(tokens, np.int64)
        full_value = float(self._values(ids[None], position, lowest)[0])

        def keeps_enough(value: float) -> bool:
            return value >= KEPT * full_value if full_value >= 0 else value <= KEPT * full_value

        find = self._suffix if self._model.card.causal else self._span
        return find(ids, position, full_value, keeps_enough, lowest)

    def _suffix(
        self, ids: np.ndarray, position: int, full_value: float, keeps_enough: Callable[[float], bool], lowest: bool
    ) -> ReceptiveField:
        front = len(self._model.card.prefix)
        for first in range(position, front - 1, -1):
            shortened = np.concatenate([ids[:front], ids[first : position + 1]])
            value = float(self._values(shortened[None], len(shortened) - 1, lowest)[0])
            if keeps_enough(value):
                return ReceptiveField(first, position + 1, value, full_value, True)
        return ReceptiveField(front, position + 1, full_value, full_value, True)

    def _span(
        self, ids: np.ndarray, position: int, full_value: float, keeps_enough: Callable[[float], bool], lowest: bool
    ) -> ReceptiveField:
        begin, stop = len(self._model.card.prefix), len(ids) - len(self._model.card.suffix)
        for width in range(1, min(WIDEST, stop - begin) + 1):
            firsts = np.arange(max(begin, position - width + 1), min(position, stop - width) + 1)
            values = self._masked(ids, position, firsts, firsts + width, lowest)
            good = [i for i, value in enumerate(values.tolist()) if keeps_enough(value)]
            if good:
                best = max(good, key=lambda i: abs(values[i]))
                return ReceptiveField(
                    int(firsts[best]), int(firsts[best]) + width, float(values[best]), full_value, True
                )
        # Which end is moved first changes where the other stops, so both orders are tried and the shorter span wins.
        trimmed = [
            self._trimmed(ids, position, begin, stop, keeps_enough, lowest, left_first) for left_first in (True, False)
        ]
        (first, end), value = min(trimmed, key=lambda result: (result[0][1] - result[0][0], -abs(result[1])))
        return ReceptiveField(first, end, value, full_value, False)

    def _trimmed(
        self,
        ids: np.ndarray,
        position: int,
        first: int,
        end: int,
        keeps_enough: Callable[[float], bool],
        lowest: bool,
        left_first: bool,
    ) -> tuple[tuple[int, int], float]:
        """The span whose ends were moved in, the left one first or last, and the activation with it."""

        def value_of(low: int, high: int) -> float:
            return float(self._masked(ids, position, np.array([low]), np.array([high]), lowest)[0])

        for side in (left_first, not left_first):
            near, far = (first, position) if side else (position + 1, end)
            while near < far:  # the ends from `first` up to `position`, or from `end` down to behind it
                middle = (near + far + 1) // 2 if side else (near + far) // 2
                if keeps_enough(value_of(middle, end) if side else value_of(first, middle)):
                    near, far = (middle, far) if side else (near, middle)
                else:
                    near, far = (near, middle - 1) if side else (middle + 1, far)
            first, end = (near, end) if side else (first, near)
        return (first, end), value_of(first, end)

    def _masked(self, ids: np.ndarray, position: int, firsts: np.ndarray, ends: np.ndarray, lowest: bool) -> np.ndarray:
        """The activation with all but tokens firsts[i] to before ends[i] masked, [n]."""
        positions = np.arange(len(ids))
        special = (positions < len(self._model.card.prefix)) | (positions >= len(ids) - len(self._model.card.suffix))
        shown = (positions >= firsts[:, None]) & (positions < ends[:, None]) | special
        assert self._mask is not None
        return self._values(np.where(shown, ids, self._mask), position, lowest)

    def _values(self, rows: np.ndarray, position: int, lowest: bool) -> np.ndarray:
        values: np.ndarray = self._reader.activations(rows, lowest)[:, position]
        return values
