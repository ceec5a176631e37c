"""The time line of a training run as inline SVG: loss, gradient norm and learning rate over steps, with what happened.

A column of the chart is the range of the values in it, so that a spike of one step is as high as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np

from corpus_audit.checks.investigation.run_analysis import Curve, RunAnalysis
from corpus_audit.checks.report.charts.svg import element, percent
from corpus_audit.checks.text.numbers import grouped
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.schemas.spec.investigation import Event

COLUMNS = 600
HEIGHTS = {Quantity.LOSS: 170, Quantity.GRADIENT_NORM: 70, Quantity.LEARNING_RATE: 50}
"""Pixels of each panel."""

MOST_MARKS = 60
"""Spikes, events and segments that are drawn, the highest spikes first."""

_NAMES = {Quantity.LOSS: "loss", Quantity.GRADIENT_NORM: "gradient norm", Quantity.LEARNING_RATE: "learning rate"}
_TOP, _GAP = 26, 26
_STEEP = 0.02


def timeline(run: RunAnalysis, events: Sequence[Event]) -> ET.Element | None:
    """The chart of a run; None if it has no loss."""
    loss = run.loss
    if loss is None or not np.isfinite(loss.value).any():
        return None
    panels = [(quantity, run.curves[quantity]) for quantity in HEIGHTS if quantity in run.curves]
    first, last = int(loss.step[0]), max(int(loss.step[-1]), int(loss.step[0]) + 1)
    height = _TOP + sum(HEIGHTS[quantity] + _GAP for quantity, _ in panels) + 22
    root = ET.Element("svg", {"class": "chart", "width": "100%", "height": str(height), "role": "img"})
    name = f"timeline-{run.spec.id}"
    root.set("aria-labelledby", f"{name}-title")
    title = (
        f"Time line of {run.spec.id}, steps {grouped(first)} to {grouped(last)}; the findings below name what it shows."
    )
    element(root, "title", title, id=f"{name}-title")

    def at(step: float) -> str:
        return percent(100.0 * (step - first) / (last - first))

    bottom = height - 44
    marks = [(event.step, "dashed strong", event.what) for event in events if first <= event.step <= last]
    starts = np.flatnonzero(np.diff(loss.segment)) + 1
    marks += [(int(loss.step[i]), "dashed", "a segment begins") for i in starts.tolist()]
    for step, kind, what in marks[:MOST_MARKS]:
        line = element(root, "line", x1=at(step), x2=at(step), y1=_TOP, y2=bottom, class_=kind)
        element(line, "title", safe_text(f"{what}, step {grouped(step)}", 120))
    for spike in sorted(run.spikes, key=lambda spike: -spike.z)[:MOST_MARKS]:
        step = int(loss.step[spike.peak])
        mark = element(root, "svg", x=at(step), y=_TOP - 14, width=1, height=1, class_="plot")
        triangle = element(mark, "path", d="M-5,0L5,0L0,9Z", class_="mark s1")
        element(triangle, "title", f"spike at step {grouped(step)}, score {spike.z:.1f}")
    for stretch in run.no_numbers[:MOST_MARKS]:
        begin, end = (int(loss.step[i]) for i in (stretch.first, stretch.last))
        width = percent(max(100.0 * (end - begin) / (last - first), 0.15))
        area = element(root, "rect", x=at(begin), y=_TOP, width=width, height=HEIGHTS[Quantity.LOSS], class_="others")
        element(area, "title", f"no number from step {grouped(begin)} to {grouped(end)}")
    y = _TOP
    for number, (quantity, curve) in enumerate(panels):
        _panel(root, quantity, curve, number, y, (first, last))
        y += HEIGHTS[quantity] + _GAP
    for step, anchor in ((first, "start"), (last, "end")):
        x = "0" if anchor == "start" else "100%"
        element(root, "text", f"step {grouped(step)}", x=x, y=height - 6, class_=f"note {anchor}")
    return root


def _panel(
    root: ET.Element, quantity: Quantity, curve: Curve, number: int, y: int, steps: tuple[int, int]
) -> None:  # fmt: skip
    """One quantity: its columns, its name and the ends of its axis."""
    height, logarithmic = HEIGHTS[quantity], quantity is Quantity.GRADIENT_NORM
    usable = np.isfinite(curve.value) & (curve.step >= steps[0]) & (curve.step <= steps[1])
    if logarithmic:
        usable &= curve.value > 0
    step, value = curve.step[usable], curve.value[usable]
    if not len(step):
        return
    shown = np.log10(value) if logarithmic else value
    settled = shown[int(_STEEP * len(shown)) :] if quantity is Quantity.LOSS else shown
    low, high = float(settled.min()), float(settled.max())
    reach = (high - low) or abs(high) or 1.0
    column = np.minimum((step - steps[0]) * COLUMNS // (steps[1] - steps[0]), COLUMNS - 1)
    begins = np.flatnonzero(np.diff(column, prepend=-1))
    top = np.maximum.reduceat(shown, begins)
    base = np.minimum.reduceat(shown, begins)

    def vertical(values: np.ndarray) -> np.ndarray:
        inside: np.ndarray = np.clip(height - (values - low) / reach * height, 0, height)
        return inside

    # A line across a stretch without numbers would invent them.
    apart = np.diff(column[begins], prepend=column[begins][0])
    broken = apart > max(3.0, 4 * float(np.median(apart)))
    broken[0] = True
    pieces = [
        f"{'M' if start else 'L'}{x},{a:.1f}L{x},{b:.1f}"
        for start, x, a, b in zip(
            broken.tolist(), column[begins].tolist(), vertical(base).tolist(), vertical(top).tolist(), strict=True
        )
    ]
    plot = element(
        root, "svg", x="0", y=y, width="100%", height=height, viewBox=f"0 0 {COLUMNS} {height}",
        preserveAspectRatio="none",
    )  # fmt: skip
    element(plot, "path", d="".join(pieces), class_=f"curve fine s{number % 3}")
    element(root, "line", x1="0", x2="100%", y1=y + height, y2=y + height, class_="grid")
    unit = "" if quantity is not Quantity.GRADIENT_NORM else " (log)"
    ends = [10**end if logarithmic else end for end in (low, high)]
    about = f"{_NAMES[quantity]}{unit}: {ends[0]:.3g} to {ends[1]:.3g}"
    element(root, "text", f"{about}, {safe_text(curve.series.tag, 40)}", x="0", y=y + height + 15, class_="note start")
