"""The units of a scan and their row numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from corpus_audit.schemas.units import Kind, Point, Unit


@dataclass(frozen=True)
class Selection:
    """The units of a scan, numbered by row: points in order, indices ascending within each.

    Attributes:
        indices: point -> int64 indices of its selected units.
    """

    indices: Mapping[Point, np.ndarray]

    @property
    def rows(self) -> int:
        """Selected units."""
        return sum(map(len, self.indices.values()))

    def first_rows(self) -> dict[Point, int]:
        """The row of each point's first unit."""
        starts = np.cumsum([0, *map(len, self.indices.values())])
        return {point: int(start) for point, start in zip(self.indices, starts, strict=False)}

    def floors(self) -> np.ndarray:
        """float32 [rows]: only activations above are examples; 0 for SAE latents, else minus infinity."""
        parts = [np.full(len(i), 0.0 if p.kind is Kind.SAE else -np.inf, np.float32) for p, i in self.indices.items()]
        return np.concatenate(parts)

    def point_of(self, row: int) -> str:
        """The point at which the unit of a row is read."""
        return self._names[self._at(row)]

    def unit(self, row: int) -> Unit:
        """The unit of a row."""
        at = self._at(row)
        point = list(self.indices)[at]
        return Unit(point, int(self.indices[point][row - self._starts[at]]))

    def _at(self, row: int) -> int:
        """Which of the points has the unit of a row."""
        if not 0 <= row < self.rows:
            raise IndexError(row)
        return bisect_right(self._starts, row) - 1

    @cached_property
    def _starts(self) -> list[int]:
        return list(self.first_rows().values())

    @cached_property
    def _names(self) -> list[str]:
        return [str(point) for point in self.indices]
