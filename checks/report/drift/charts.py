"""Charts of the section on drift; see `charts/svg.py` for the conventions.

What moved is a filled mark, what is not shown to have moved a hollow one, and what has not enough data a diamond; the
reading stands beside each row in words too.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, sqrt
from xml.etree import ElementTree as ET

from markupsafe import Markup

from corpus_audit.checks.report.charts.plots import LogAxis, mark
from corpus_audit.checks.report.charts.svg import Chart, element, percent, round_ticks, share_axis
from corpus_audit.checks.report.drift.readings import EVEN, token_text
from corpus_audit.checks.report.drift.records import (
    DistanceRow,
    DriftView,
    LengthShift,
    PartRow,
    TokenMove,
    TurnoverRow,
)
from corpus_audit.checks.report.profile.labels import EVERYTHING
from corpus_audit.checks.text import numbers

ROWS = 16
"""Domains in a chart; the tables list more."""

SQUARE, DIAMOND = 1, 2
PITCH = 24
TOP = 4
RATIOS = 4.0
"""Log2 ratio that the axis of tokens may always reach; beyond the furthest token an interval is cut."""

CASES = {
    "new": "not in the baseline",
    "gone": "not here any more",
    "same": "the same documents",
    "even": "copies alone",
}


def name_of(row: DistanceRow | PartRow | LengthShift | TurnoverRow) -> str:
    """The domain, or all documents."""
    return EVERYTHING if row.everything else row.domain


def distances(view: DriftView) -> Markup:
    """The divergence by domain over what chance gives, on an axis of square roots; the whisker is the excess's."""
    rows = (view.overall, *view.distances[:ROWS])
    bottom = TOP + PITCH * len(rows)
    title = "Divergence of the token distributions by domain against chance; the figures are in the table below."
    chart = _chart(view, "distances", title, bottom + 24, 25.0)
    ends = [v for r in rows for v in (r.value, r.null_high, None if r.high is None else _shifted(r, r.high)) if v]
    ticks, end = _root_axis(max(ends, default=0.01))
    chart.grid(ticks, TOP, bottom)

    def at(value: float) -> float:
        return min(100 * sqrt(max(value, 0.0) / end), 100.0)

    for index, row in enumerate(rows):
        y = TOP + PITCH * index
        middle = y + PITCH / 2
        chart.label(name_of(row), middle + 4, strong=row.everything)
        text = "the same documents" if row.case == "same" else CASES.get(row.case, row.reading)
        chart.figure(text, middle + 4, kind="figure" if row.reading == "drift" else "figure quiet")
        if row.case == "same" or row.value is None:
            continue
        if row.null_low is not None and row.null_high is not None and row.null_mean is not None:
            left, right = at(row.null_low), at(row.null_high)
            width = percent(max(right - left, 0.3))
            element(chart.plot, "rect", x=percent(left), y=y + 4, width=width, height=PITCH - 8, class_="chance")
            x = percent(at(row.null_mean))
            element(chart.plot, "line", x1=x, x2=x, y1=y + 3, y2=y + PITCH - 3, class_="target")
        if row.low is not None and row.high is not None:
            _whisker(chart.plot, at(_shifted(row, row.low)), at(_shifted(row, row.high)), middle)
        _mark(chart.plot, at(row.value), middle, row.reading == "drift", row.reading == "not enough data")
    return chart.markup()


def shares(view: DriftView) -> Markup:
    """Shares of tokens before and now, and the change in points with its interval."""
    rows, top = view.shares[:ROWS], 22
    bottom = top + PITCH * len(rows)
    title = "Share of tokens by domain before and now, and the change with its interval; figures in the table below."
    chart = _chart(view, "shares", title, bottom + 24, 44.0, 24.0)
    changes = element(chart.root, "svg", x="59%", y="0", width="25%", height=bottom + 24, class_="plot")
    ticks, end = share_axis(max((share for row in rows for share in (row.before, row.now) if share), default=1.0))
    reach = 100 * max((abs(v) for r in rows for v in (r.difference, r.low, r.high) if v is not None), default=0.01)
    steps = round_ticks(reach)
    wide = steps[-1]
    marks = [sign * steps[-1] for sign in (-1, 1)] + [0.0] + ([-steps[-1] / 2, steps[-1] / 2])
    _scale(chart.plot, ticks, top, bottom, "share of tokens, %")
    _scale(changes, [(50 + 50 * v / wide, _signed(v)) for v in sorted(marks)], top, bottom, "change, points")
    element(changes, "line", x1="50%", x2="50%", y1=top, y2=bottom, class_="range")
    for index, row in enumerate(rows):
        middle = top + PITCH * index + PITCH / 2
        chart.label(row.domain, middle + 4)
        ends = [None if share is None else 100 * share / end for share in (row.before, row.now)]
        if ends[0] is not None and ends[1] is not None:
            element(
                chart.plot, "line", x1=percent(ends[0]), x2=percent(ends[1]), y1=middle, y2=middle, class_="whisker"
            )
        for x, kind in zip(ends, ("dot hollow", "dot"), strict=True):
            if x is not None:
                mark(chart.plot, SQUARE, x, middle, kind)
        if row.low is not None and row.high is not None:
            _whisker(changes, 50 + 5000 * row.low / wide, 50 + 5000 * row.high / wide, middle)
        moved, unknown = row.reading == "moved", row.reading == "not enough data"
        if row.difference is not None:
            _mark(changes, 50 + 5000 * row.difference / wide, middle, moved, unknown)
        chart.figure(row.reading, middle + 4, kind="figure" if moved else "figure quiet")
    return chart.markup()


def parts(view: DriftView, rows: Sequence[PartRow], which: str) -> Markup:
    """What the mix and the text of slices explain of the whole change, in per cent; against it is left of 0."""
    rows = rows[:ROWS]
    bottom = TOP + PITCH * len(rows)
    title = "The mix and the text as signed parts of the whole change; the figures are in the table below."
    chart = _chart(view, f"parts-{which}", title, bottom + 24, 23.0)
    reach = [_stack(row.mixture or 0.0, row.content or 0.0) for row in rows]
    low, high = min((left for left, _ in reach), default=0.0), max((right for _, right in reach), default=1.0)
    ticks, start, end = _signed_axis(100 * min(low, 0.0), 100 * max(high, 0.001))
    chart.grid(ticks, TOP, bottom)
    zero = 100 * -start / (end - start)
    for index, row in enumerate(rows):
        y = TOP + PITCH * index
        middle = y + PITCH / 2
        chart.label(name_of(row), middle + 4, strong=row.everything)
        left = right = zero
        for value, kind in ((row.mixture or 0.0, "bar"), (row.content or 0.0, "bar hollow")):
            width = 100 * 100 * abs(value) / (end - start)
            x = right if value >= 0 else left - width
            left, right = min(left, x), max(right, x + width)
            if width:
                at, wide = percent(x), percent(width)
                element(chart.plot, "rect", x=at, y=y + 6, width=wide, height=PITCH - 12, class_=kind)
        for part, x in ((row.mixture, 88.5), (row.content, 100.0)):
            style = "figure" if x < 90 else "figure quiet"
            chart.figure(numbers.NONE if part is None else numbers.percent(part), middle + 4, x, style)
    element(chart.plot, "line", x1=percent(zero), x2=percent(zero), y1=TOP, y2=bottom, class_="range")
    return chart.markup()


def tokens(view: DriftView, rows: Sequence[TokenMove], which: str) -> Markup:
    """Log2 ratios of tokens with their intervals; an interval that leaves the axis has no cap there."""
    pitch = 21
    bottom = TOP + pitch * len(rows)
    title = f"Tokens that {which} most: log2 ratios of their shares with intervals; the figures are in the table below."
    chart = _chart(view, f"tokens-{which}", title, bottom + 24, 12.0, 36.0)
    ends = [value for row in rows for value in (row.ratio, row.low, row.high) if value is not None]
    reach = max([*(abs(row.ratio) for row in rows if row.ratio is not None), RATIOS])
    start = floor(max(min([*ends, 0.0]), -reach))
    end = ceil(min(max([*ends, 0.0]), reach))
    start, end = (start, max(end, 1)) if start == 0 else (min(start, -1), end)
    step = max(1, ceil((end - start) / 5))

    def at(value: float) -> float:
        return 100 * (value - start) / (end - start)

    values = [value for value in range(int(start), int(end) + 1) if value % step == 0]
    chart.grid([(at(value), _times(value)) for value in values], TOP, bottom)
    element(chart.plot, "line", x1=percent(at(0)), x2=percent(at(0)), y1=TOP, y2=bottom, class_="range")
    for index, row in enumerate(rows):
        middle = TOP + pitch * index + pitch / 2
        chart.label(token_text(row.text), middle + 4)
        if row.low is not None and row.high is not None:
            _whisker(chart.plot, at(row.low), at(row.high), middle)
        if row.ratio is not None:
            mark(chart.plot, 0, at(row.ratio), middle, "dot")
            chart.figure(f"{row.ratio:+.1f}".replace("-", numbers.MINUS), middle + 4)
    return chart.markup()


def lengths(view: DriftView) -> Markup:
    """Lengths in tokens before (above, outlined) and now (below, filled), by domain, on a logarithmic axis."""
    rows, pitch = view.lengths[: ROWS + 1], 36
    bottom = TOP + pitch * len(rows)
    title = "Lengths of documents before and now by domain, on a logarithmic axis; the figures are in the table below."
    chart = _chart(view, "lengths", title, bottom + 24, 23.0)
    axis = LogAxis.around([max(value, 1.0) for row in rows for value in (*row.before, *row.now)])
    chart.grid([(axis.at(value), numbers.tick(value)) for value in axis.ticks()], TOP, bottom)
    for index, row in enumerate(rows):
        y = TOP + pitch * index
        chart.label(name_of(row), y + pitch / 2 + 4, strong=row.everything)
        for quantiles, middle, kind in ((row.before, y + 11, "bar hollow"), (row.now, y + 24, "bar")):
            p5, p25, p50, p75, p95 = (axis.at(max(value, 1.0)) for value in quantiles)
            element(chart.plot, "line", x1=percent(p5), x2=percent(p95), y1=middle, y2=middle, class_="range")
            at = {"x": percent(p25), "width": percent(max(p75 - p25, 0.4))}
            element(chart.plot, "rect", y=middle - 4, height=8, class_=kind, **at)
            x = percent(p50)
            element(chart.plot, "line", x1=x, x2=x, y1=middle - 6, y2=middle + 6, class_="median")
        moved = row.reading == "moved"
        chart.figure(row.reading, y + pitch / 2 + 4, kind="figure" if moved else "figure quiet")
    return chart.markup()


def turnover(view: DriftView) -> Markup:
    """Documents removed, kept, edited and added as parts of all that either side holds, by domain."""
    rows = view.turnover[: ROWS + 1]
    bottom = TOP + PITCH * len(rows)
    title = "Documents removed, kept, edited and added by domain; the figures are in the table below."
    chart = _chart(view, "turnover", title, bottom + 24, 23.0)
    chart.grid([(25.0 * step, f"{25 * step}" + (" %" if step == 0 else "")) for step in range(5)], TOP, bottom)
    for index, row in enumerate(rows):
        y = TOP + PITCH * index
        middle = y + PITCH / 2
        chart.label(name_of(row), middle + 4, strong=row.everything)
        edited = row.edited or 0
        total = row.removed + row.kept + edited + row.added or 1
        x = 0.0
        parts = (row.removed, "part left"), (row.kept, "part cached"), (edited, "part edited"), (row.added, "part")
        for count, kind in parts:
            if count:
                width = 100 * count / total
                at = {"x": percent(x), "width": percent(width)}
                element(chart.plot, "rect", y=y + 5, height=PITCH - 10, class_=kind, **at)
                x += width
        removed = f"{numbers.MINUS}{numbers.compact(row.removed)}" if row.removed else "0"
        chart.figure(removed, middle + 4, 88.5, "figure quiet")
        chart.figure(f"+{numbers.compact(row.added)}" if row.added else "0", middle + 4)
    return chart.markup()


def classifiers(view: DriftView) -> Markup:
    """AUC of the classifier by domain with its interval; 0.5 is no difference."""
    rows = [row for row in view.classifiers if row.auc is not None]
    bottom = TOP + PITCH * len(rows)
    title = "How well a classifier tells the sides apart, by domain: AUC with interval; figures in the table below."
    chart = _chart(view, "classifiers", title, bottom + 24, 21.0)
    start = min([0.4, *(floor(10 * row.low) / 10 for row in rows if row.low is not None)])

    def at(value: float) -> float:
        return 100 * (value - start) / (1.0 - start)

    chart.grid([(at(step / 10), f"{step / 10:g}") for step in range(round(10 * start), 11)], TOP, bottom)
    element(chart.plot, "line", x1=percent(at(EVEN)), x2=percent(at(EVEN)), y1=TOP, y2=bottom, class_="target")
    for index, row in enumerate(rows):
        middle = TOP + PITCH * index + PITCH / 2
        chart.label(EVERYTHING if row.everything else row.domain, middle + 4, strong=row.everything)
        if row.low is not None and row.high is not None:
            _whisker(chart.plot, at(row.low), at(row.high), middle)
        distinguished = row.reading == "distinguished"
        _mark(chart.plot, at(row.auc or 0.0), middle, distinguished, False)
        chart.figure(row.reading, middle + 4, kind="figure" if distinguished else "figure quiet")
    return chart.markup()


def _chart(view: DriftView, name: str, title: str, height: int, figures: float, labels: float = 27.0) -> Chart:
    return Chart(f"chart-{view.anchor}-{name}", title, height, figures, labels)


def _shifted(row: DistanceRow, bound: float) -> float:
    """A bound of the excess on the axis of the divergence."""
    return (row.null_mean or 0.0) + bound


def _mark(plot: ET.Element, x: float, y: float, filled: bool, unknown: bool) -> None:
    mark(plot, DIAMOND if unknown else 0, x, y, "dot" if filled else "dot hollow")


def _whisker(plot: ET.Element, left: float, right: float, middle: float) -> None:
    """An interval with a cap at either end that is inside the plot."""
    inside = max(left, 0.0), min(right, 100.0)
    if inside[0] > inside[1]:
        return
    element(plot, "line", x1=percent(inside[0]), x2=percent(inside[1]), y1=middle, y2=middle, class_="whisker")
    for x in (left, right):
        if 0 <= x <= 100:
            element(plot, "line", x1=percent(x), x2=percent(x), y1=middle - 4, y2=middle + 4, class_="whisker")


def _scale(plot: ET.Element, ticks: Sequence[tuple[float, str]], top: float, bottom: float, head: str) -> None:
    """Hair lines with their texts, and what the axis is above them."""
    for at, text in ticks:
        x = percent(at)
        element(plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="grid")
        element(plot, "text", text, x=x, y=bottom + 16, class_="tick")
    element(plot, "text", head, x="0", y=top - 8, class_="tick start")


def _root_axis(largest: float) -> tuple[list[tuple[float, str]], float]:
    """Ticks of an axis of square roots from 0, and its end."""
    steps = [digit * 10.0**power for power in range(-7, 1) for digit in (1, 2, 5)]
    end = next((step for step in steps if step >= largest), 1.0)
    ticks, last = [(0.0, "0")], 0.0
    for step in steps:
        at = 100 * sqrt(step / end)
        if step <= end and at - last >= 14:
            ticks.append((at, f"{step:g}"))
            last = at
    return ticks, end


def _signed_axis(low: float, high: float) -> tuple[list[tuple[float, str]], float, float]:
    """Ticks of an axis in per cent that holds 0, and its ends."""
    step = round_ticks(high - low)[1]
    start, end = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    values = [start + step * n for n in range(round((end - start) / step) + 1)]
    ticks = [(100 * (v - start) / (end - start), f"{round(v, 6):g}".replace("-", numbers.MINUS)) for v in values]
    return [(at, f"{text} %" if text in ("0", f"{numbers.MINUS}0") else text) for at, text in ticks], start, end


def _stack(*values: float) -> tuple[float, float]:
    return sum(min(value, 0.0) for value in values), sum(max(value, 0.0) for value in values)


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", numbers.MINUS) if value else "0"


def _times(value: int) -> str:
    """A power of two as a factor: ``x4``, ``x1/4``."""
    return "×1" if value == 0 else f"×{2**value}" if value > 0 else f"÷{2**-value}"
