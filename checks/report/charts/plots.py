"""Logarithmic axes, lines, bands and marks of charts; see `charts/svg.py` for the conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.etree import ElementTree as ET

from markupsafe import Markup

from corpus_audit.checks.report.charts.svg import attribute, element, percent

MARKS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "M-3.5,-3.5h7v7h-7z",
    "M0,-5l5,5l-5,5l-5,-5z",
    "M0,-4.6l4.8,8.4h-9.6z",
    "M0,4.6l4.8,-8.4h-9.6z",
    "M-1.4,-4.5h2.8v3.1h3.1v2.8h-3.1v3.1h-2.8v-3.1h-3.1v-2.8h3.1z",
    "M-5,-2.5h10v5h-10z",
    "M-2.5,-5h5v10h-5z",
)
"""Paths around 0,0: a reader who does not see colours tells series apart by shape."""

_STEPS = ((3.0, (1.0,)), (1.3, (1.0, 3.0)), (0.7, (1.0, 2.0, 5.0)), (0.0, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis from ``low`` to ``high``, both above 0."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], margin: float = 0.04) -> LogAxis:
        """The axis that holds all values above 0, with a margin at either end; 0.1 to 10 if there are none."""
        logs = [log10(value) for value in values if value > 0]
        if not logs:
            return cls(0.1, 10.0)
        low, high = min(logs), max(logs)
        if high - low < 0.3:
            low, high = low - 0.15, high + 0.15
        pad = margin * (high - low)
        return cls(10.0 ** (low - pad), 10.0 ** (high + pad))

    def at(self, value: float) -> float:
        """Position of the value in per cent of the axis, 0 to 100; beyond an end it is that end."""
        if value <= self.low:
            return 0.0
        return min(100 * (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low)), 100.0)

    def ticks(self) -> list[float]:
        """Round values inside the axis, two to seven or so."""
        low, high = log10(self.low), log10(self.high)
        steps = next(steps for span, steps in _STEPS if high - low >= span)
        powers = range(floor(low), ceil(high) + 1)
        every = ceil(len(powers) / 7) if len(steps) == 1 else 1
        values = [step * 10.0**power for power in powers if power % every == 0 for step in steps]
        return [value for value in values if self.low <= value <= self.high]


def stretched(parent: ET.Element, x: float, y: float, width: float, height: float) -> ET.Element:
    """A nested svg of 100 by 100 units over an area of ``x`` and ``width`` per cent, ``y`` and ``height`` pixels."""
    area = element(parent, "svg", x=percent(x), y=y, width=percent(width), height=height, class_="ridge")
    area.attrib |= {"viewBox": "0 0 100 100", "preserveAspectRatio": "none"}
    return area


def line(parent: ET.Element, points: Sequence[tuple[float, float] | None], kind: str) -> None:
    """Draw a line through points of a stretched svg; it is broken where a point is None."""
    for piece in _pieces(points):
        element(
            parent,
            "polyline",
            points=" ".join(f"{attribute(x)},{attribute(y)}" for x, y in piece),
            class_=kind,
            vector_effect="non-scaling-stroke",
        )


def band(parent: ET.Element, points: Sequence[tuple[float, float, float] | None], kind: str) -> None:
    """Draw the area between two lines, from points (x, low, high) of a stretched svg; broken where a point is None."""
    for piece in _pieces(points):
        edge = [(x, low) for x, low, _ in piece] + [(x, high) for x, _, high in reversed(piece)]
        element(parent, "polygon", points=" ".join(f"{attribute(x)},{attribute(y)}" for x, y in edge), class_=kind)


def mark(parent: ET.Element, shape: int, x: float, y: float, kind: str) -> None:
    """Draw a mark at ``x`` per cent and ``y`` pixels."""
    # A nested svg, because a path has no position in per cent.
    origin = element(parent, "svg", x=percent(x), y=y, width=1, height=1, class_="plot")
    element(origin, "path", d=MARKS[shape % len(MARKS)], class_=kind)


def key(shape: int, kind: str) -> Markup:
    """A mark for a legend."""
    root = ET.Element("svg", {"class": "key", "width": "14", "height": "14", "aria-hidden": "true"})
    element(root, "path", d=MARKS[shape % len(MARKS)], class_=kind, transform="translate(7,7)")
    return Markup(ET.tostring(root, encoding="unicode"))


def spread_apart(targets: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Positions near the targets, in their order and at least ``gap`` apart, from ``top`` to ``bottom`` if they fit.

    Labels of lines that end close together stay readable.
    """
    order = sorted(range(len(targets)), key=lambda index: targets[index])
    placed = [0.0] * len(targets)
    last = top - gap
    for index in order:
        last = placed[index] = max(targets[index], last + gap)
    limit = bottom
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


def _pieces(points: Sequence[tuple[float, ...] | None]) -> list[list[tuple[float, ...]]]:
    pieces: list[list[tuple[float, ...]]] = [[]]
    for point in points:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    return [piece for piece in pieces if piece]
