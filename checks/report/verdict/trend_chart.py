"""A small chart of a figure over runs; see `charts/svg.py` for the conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from markupsafe import Markup

from corpus_audit.checks.report.charts.plots import mark
from corpus_audit.checks.report.charts.svg import element, percent
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.safe_text import safe_text

if TYPE_CHECKING:
    from corpus_audit.checks.report.verdict.trends import TrendFigure

HEIGHT, TOP, BOTTOM = 112, 12.0, 88.0
LEFT = 4.0
"""Per cent of the width before the first run, and after the last."""

CIRCLE, SQUARE, DIAMOND = 0, 1, 2


def small_chart(identity: str, figure: TrendFigure) -> Markup:
    """Values over runs with their 95 % intervals, evenly spaced; dashed lines are the bounds that are within reach.

    A circle is a run, a square one that is signed, the diamond the run whose page this is; hollow marks are runs that
    did not pass.
    """
    root = ET.Element("svg", {"class": "chart trend", "width": "100%", "height": str(HEIGHT), "role": "img"})
    root.set("aria-labelledby", f"{identity}-title")
    first, last = figure.points[0], figure.points[-1]
    title = (
        f"{figure.metric}, {figure.slice}, over {plural(len(figure.points), 'run')}: {first.text} in {first.run}, "
        f"{last.text} now; every value is in the table below."
    )
    element(root, "title", safe_text(title, 400), id=f"{identity}-title")
    known = [end for p in figure.points for end in (p.value, p.low, p.high) if end is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    reach = (high - low) or abs(high) or 1.0
    bounds = [(end, kind) for kind, ends in (("dashed", figure.warns), ("dashed strong", figure.fails)) for end in ends]
    near = [(end, kind) for end, kind in bounds if low - 1.5 * reach <= end <= high + 1.5 * reach]
    low, high = min([low, *(end for end, _ in near)]), max([high, *(end for end, _ in near)])
    span = (high - low) or abs(high) or 1.0

    def y(value: float) -> float:
        return round(BOTTOM - (value - low) / span * (BOTTOM - TOP), 2)

    def x(index: int) -> float:
        return LEFT + (100 - 2 * LEFT) * (index / (len(figure.points) - 1) if len(figure.points) > 1 else 0.5)

    element(root, "line", x1="0", x2="100%", y1=BOTTOM + 7, y2=BOTTOM + 7, class_="grid")
    for end, kind in near:
        element(root, "line", x1="0", x2="100%", y1=y(end), y2=y(end), class_=kind)
    for index, (before, after) in enumerate(zip(figure.points, figure.points[1:], strict=False)):
        if before.value is not None and after.value is not None:
            ends = {"x1": percent(x(index)), "x2": percent(x(index + 1))}
            element(root, "line", y1=y(before.value), y2=y(after.value), class_="path", **ends)
    for index, point in enumerate(figure.points):
        left = percent(x(index))
        if point.low is not None and point.high is not None:
            element(root, "line", x1=left, x2=left, y1=y(point.low), y2=y(point.high), class_="whisker")
        if point.value is not None:
            shape = DIAMOND if point.here else SQUARE if point.signed else CIRCLE
            filled = point.verdict in ("passed", "not judged")
            mark(root, shape, x(index), y(point.value), "dot" if filled else "dot hollow")
        else:
            element(root, "text", "–", x=left, y=BOTTOM, class_="tick")
    element(root, "text", safe_text(first.run, 24), x="0", y=HEIGHT - 2, class_="note start")
    element(root, "text", "now", x="100%", y=HEIGHT - 2, class_="note end")
    return Markup(ET.tostring(root, encoding="unicode"))
