"""Boxes of tensors: a range of indices in every dimension, ends included; their hulls, and how views carry them."""

from __future__ import annotations

import math
from collections.abc import Sequence

Range = tuple[int, int]
Box = tuple[Range, ...]


def whole(shape: Sequence[int]) -> Box:
    """All of a tensor."""
    return tuple((0, size - 1) for size in shape)


class Merged(tuple[int, int]):
    """The range of a dimension that several were merged into: the hull in memory, and their sizes and ranges."""

    parts: tuple[tuple[int, Range], ...]

    def __new__(cls, parts: Sequence[tuple[int, Range]]) -> Merged:
        """The merged range of (size, range) by dimension, outermost first."""
        low = high = 0
        for size, (first, last) in parts:
            low, high = low * size + first, high * size + last
        merged = super().__new__(cls, (low, high))
        merged.parts = tuple(parts)
        return merged


def hull(first: Box | None, second: Box | None) -> Box | None:
    """The smallest box that holds both."""
    if first is None or second is None:
        return second if first is None else first
    return tuple(map(_joined, first, second))


def _joined(first: Range, second: Range) -> Range:
    if isinstance(first, Merged) and isinstance(second, Merged):
        sizes = [size for size, _ in first.parts]
        if sizes == [size for size, _ in second.parts]:
            ranges = map(_joined, (each for _, each in first.parts), (each for _, each in second.parts))
            return Merged(list(zip(sizes, ranges, strict=True)))
    return min(first[0], second[0]), max(first[1], second[1])


def clipped(ranges: Sequence[Range], shape: Sequence[int]) -> Box | None:
    """The part of ranges that is within a tensor; None if one of them lies outside."""
    box = tuple((max(low, 0), min(high, size - 1)) for (low, high), size in zip(ranges, shape, strict=True))
    return None if any(low > high for low, high in box) else box


def regrouped(source: Sequence[int], result: Sequence[tuple[int, Range]]) -> list[Range]:
    """A box in dimensions of a result in terms of dimensions ``source`` of the same elements.

    Dimensions that are merged are remembered, so that a map that is flattened and unflattened keeps its rectangle.
    Where they do not come out again as they went in, it is the hull in memory.
    """
    parts = [part for size, each in result for part in (each.parts if isinstance(each, Merged) else ((size, each),))]
    ranges: list[Range] = []
    rest = list(parts)
    for size in source:
        joined: list[tuple[int, Range]] = []
        while rest and math.prod(each for each, _ in joined) < size:
            joined.append(rest.pop(0))
        if math.prod(each for each, _ in joined) != size:
            return _hull_in_memory(source, parts)
        ranges.append(joined[0][1] if len(joined) == 1 else Merged(joined))
    return ranges


def _hull_in_memory(source: Sequence[int], parts: Sequence[tuple[int, Range]]) -> list[Range]:
    low, high = Merged(parts)
    ranges: list[Range] = []
    stride, several = math.prod(source), False
    for size in source:
        stride //= size
        first, last = low // stride % size, high // stride % size
        ranges.append((0, size - 1) if several else (first, last))
        several = several or first != last
    return ranges
