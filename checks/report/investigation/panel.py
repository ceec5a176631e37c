"""A small chart with two axes, which the charts of scores and of the scaling law share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Protocol
from xml.etree import ElementTree as ET

from corpus_audit.checks.report.charts import plots
from corpus_audit.checks.report.charts.svg import element, percent
from corpus_audit.checks.text.safe_text import safe_text

TOP, BOTTOM = 8, 22
"""Pixels above the plot, and below it for the labels of its axis."""

_LEFT, _WIDTH = 13.0, 83.0  # per cent
_SPAN_OF_ONE_VALUE = 0.1


class Axis(Protocol):
    """Where a value is on an axis, in per cent, and which values have labels."""

    def at(self, value: float) -> float:
        """Position in per cent, 0 to 100."""

    def ticks(self) -> list[float]:
        """Round values inside the axis."""


@dataclass(frozen=True)
class LinearAxis:
    """An axis from ``low`` to ``high``."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], margin: float = 0.06) -> LinearAxis:
        """The axis that holds all values, with a margin at either end."""
        low, high = min(values), max(values)
        if high <= low:
            reach = abs(low) * _SPAN_OF_ONE_VALUE or _SPAN_OF_ONE_VALUE
            return cls(low - reach, high + reach)
        return cls(low - margin * (high - low), high + margin * (high - low))

    def at(self, value: float) -> float:
        """Position in per cent; beyond an end it is that end."""
        return min(max(100 * (value - self.low) / (self.high - self.low), 0.0), 100.0)

    def ticks(self) -> list[float]:
        """Two to five round values inside the axis."""
        reach = self.high - self.low
        scale = 10.0 ** floor(log10(reach / 4))
        step = next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if reach / (s * scale) <= 4.5)
        return [i * step for i in range(ceil(self.low / step), floor(self.high / step) + 1)]


class Panel:
    """A chart of ``height`` pixels with a grid, whose marks, lines and bands are in the units of its axes."""

    def __init__(self, identity: str, title: str, height: int, x: Axis, y: Axis, unit: str = "") -> None:
        """Draw the grid; ``unit`` is written after the values of the upright axis."""
        self.x, self.y, self.height = x, y, height - TOP - BOTTOM
        self.root = ET.Element(
            "svg",
            {"class": "chart", "width": "100%", "height": str(height), "role": "img"},
        )
        self.root.set("aria-labelledby", f"{identity}-title")
        element(self.root, "title", safe_text(title, 400), id=f"{identity}-title")
        self.plot = element(
            self.root, "svg", x=percent(_LEFT), y=TOP, width=percent(_WIDTH), height=self.height, class_="plot"
        )
        for value in y.ticks():
            at = self._up(value)
            element(self.plot, "line", x1="0", x2="100%", y1=at, y2=at, class_="grid")
            text = f"{0.0 if abs(value) < 1e-12 else value:.4g}{unit}"
            element(self.root, "text", text, x=percent(_LEFT - 1.5), y=TOP + at + 4, class_="note end")
        for value in _few(x.ticks()):
            at_percent = percent(x.at(value))
            element(self.plot, "line", x1=at_percent, x2=at_percent, y1=0, y2=self.height, class_="grid")
            element(self.plot, "text", _short(value), x=at_percent, y=self.height + 16, class_="tick")

    def band(self, points: Sequence[tuple[float, float, float]], kind: str) -> None:
        """The area between two lines, from (x, low, high)."""
        area = plots.stretched(self.plot, 0.0, 0, 100.0, self.height)
        plots.band(area, [(self.x.at(x), 100 - self.y.at(low), 100 - self.y.at(high)) for x, low, high in points], kind)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through (x, y)."""
        area = plots.stretched(self.plot, 0.0, 0, 100.0, self.height)
        plots.line(area, [(self.x.at(x), 100 - self.y.at(y)) for x, y in points], kind)

    def point(self, x: float, y: float, shape: int, kind: str, about: str, ends: tuple[float, float] | None) -> None:
        """A mark with its interval, and words that a reader sees when pointing at it."""
        at = percent(self.x.at(x))
        if ends is not None:
            low, high = (self._up(end) for end in ends)
            whisker = element(self.plot, "line", x1=at, x2=at, y1=low, y2=high, class_="whisker")
            element(whisker, "title", safe_text(about, 200))
        plots.mark(self.plot, shape, self.x.at(x), self._up(y), kind)
        element(self.plot[-1][0], "title", safe_text(about, 200))

    def _up(self, value: float) -> float:
        return round(self.height * (1 - self.y.at(value) / 100), 1)


def _few(values: list[float], most: int = 5) -> list[float]:
    return values[:: ceil(len(values) / most)] if values else values


def _short(value: float) -> str:
    """A number of steps, parameters or tokens: 200, 20k, 1.5M, 2B, 1e18."""
    if abs(value) >= 1e15:
        return f"{value:.0e}".replace("+", "")
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
