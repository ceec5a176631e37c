"""Receptive fields: the part of a model's input that a unit's value at a position is computed from, exactly.

From the position back through every operation of a traced pass (`field_rules.py`); where branches meet, the smallest
box that holds what all of them read; cut off at the image. Padding on one side only, strides, dilation and pooling
follow from the operations' own numbers. What reads a whole map (squeeze-and-excitation, global pooling, attention)
makes the field the whole image, and the field says which operation does.

A change of the input outside of the field cannot change the value. Within it some pixels may be skipped (dilation), and
most count little: the field that matters in practice is smaller (Luo et al. 2016, 1701.04128).
"""

from __future__ import annotations

from dataclasses import dataclass

from corpus_audit.embeddings.images.boxes import Box, hull, whole
from corpus_audit.embeddings.images.card import PointFields
from corpus_audit.embeddings.images.field_rules import is_global, rule_of
from corpus_audit.embeddings.images.image_units import MapPoint
from corpus_audit.embeddings.images.trace import Trace


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """A box of a model's input, in pixels of it; right and bottom are excluded.

    Attributes:
        left, top, right, bottom: the box; all 0 if the value depends on no pixel.
        whole: whether it is the whole input.
        reasons: of a field that global operations widen: which, such as ``mean in blocks.3.pool``; and operations that
            are not known and are taken to read everything.
    """

    left: int
    top: int
    right: int
    bottom: int
    whole: bool
    reasons: tuple[str, ...] = ()

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom


def receptive_field(traced: Trace, point: MapPoint, channel: int, position: int) -> ReceptiveField:
    """The receptive field of a unit at a position.

    Args:
        traced: a pass of the model.
        point: where the unit is read.
        channel: its index there.
        position: y * width + x in its map; 0 for a logit.

    Raises:
        IndexError: the map has no such channel or position.
    """
    if not (0 <= channel < point.channels and 0 <= position < point.height * point.width):
        raise IndexError(f"{point.point} has no channel {channel} with a position {position}")
    y, x = divmod(position, point.width)
    end = traced.operations[point.operation]
    parts = ((0, 0), (channel, channel), (y, y), (x, x))[: len(end.shape)]
    if point.tokens is not None:
        parts = _of_tokens(point, position, position)
    box, reasons = input_box(traced, point.operation, parts)
    if box is None:
        return ReceptiveField(0, 0, 0, 0, False, reasons)
    _, _, (top, bottom), (left, right) = box
    _, _, height, width = traced.operations[0].shape
    covers = (top, left, bottom, right) == (0, 0, height - 1, width - 1)
    return ReceptiveField(left, top, right + 1, bottom + 1, covers, reasons)


def input_box(traced: Trace, operation: int, box: Box) -> tuple[Box | None, tuple[str, ...]]:
    """The box of the input that a box of an operation's result is computed from; None if it reads no pixel.

    Also the reasons for which it may be wide, as `ReceptiveField` says.
    """
    read: dict[int, Box | None] = {operation: box}
    reasons: list[str] = []
    for index in range(operation, 0, -1):
        needed = read.pop(index, None)
        current = traced.operations[index]
        if needed is None or not any(each is not None for each in current.inputs):
            continue
        rule = None if current.aliased else rule_of(current.name)
        boxes = [whole(shape) for shape in current.shapes] if rule is None else rule(current, needed)
        if rule is None:
            reasons.append(f"{current.name} in {current.module or 'the model'} (not known, taken to read everything)")
        elif is_global(current):
            reasons.append(f"{current.name} in {current.module or 'the model'}")
        for source, part in zip(current.inputs, boxes, strict=True):
            if source is not None:
                read[source] = hull(read.get(source), part)
    return read.get(0), tuple(dict.fromkeys(reversed(reasons)))


def _of_tokens(point: MapPoint, first: int, last: int) -> Box:
    """The box of what is read of the tokens of patches, all numbers of a token together."""
    assert point.tokens is not None
    start = point.tokens.grid.first
    return (0, 0), (start + first, start + last), (0, point.tokens.inputs - 1)


def fields_of(traced: Trace, point: MapPoint) -> PointFields:
    """The receptive fields of all rows and columns of a point's maps, of all its channels together.

    Of units by patch, those of all patches together: behind an attention each of them reads the whole image.
    """
    if point.tokens is not None:
        box, why = input_box(traced, point.operation, _of_tokens(point, 0, point.height * point.width - 1))
        rows, columns = ((0, -1), (0, -1)) if box is None else box[2:]
        grid = point.tokens.grid
        every = (rows,) * point.height, (columns,) * point.width
        return PointFields(point.after, *every, why, grid.rows, grid.columns)
    ranges: list[list[tuple[int, int]]] = [[], []]
    reasons: dict[str, None] = {}
    dimensions = len(traced.operations[point.operation].shape)
    for axis, size in enumerate((point.height, point.width)):
        for at in range(size):
            spatial = [(0, point.height - 1), (0, point.width - 1)]
            spatial[axis] = (at, at)
            parts = ((0, 0), (0, point.channels - 1), *spatial)
            box, why = input_box(traced, point.operation, parts[:dimensions])
            reasons |= dict.fromkeys(why)
            ranges[axis].append((0, -1) if box is None else (box[2 + axis][0], box[2 + axis][1]))
    return PointFields(point.after, tuple(ranges[0]), tuple(ranges[1]), tuple(reasons))
