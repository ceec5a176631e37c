"""Charts as inline SVG.

Horizontal positions are in per cent and vertical ones in pixels, so text keeps its size at any width. Colours come from
the page's style sheet by class; everything that a colour says, a shape or a label says too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.etree import ElementTree as ET

from markupsafe import Markup

from corpus_audit.checks.report.profile.labels import duplicate_label, length_label, share_label
from corpus_audit.checks.report.profile.records import DuplicateRow, LengthPanel, OutcomeRow, ShareRow, Unit
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.schemas.run.run_file import RunCoverage

LABELS = 27.0
"""Per cent of the width for row labels, unless a chart says otherwise."""

LABEL_LIMIT = 32
"""Characters of a label; what does not fit its column either is cut at the column's edge."""


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    """A child element; attribute ``class_`` becomes ``class`` and underscores become hyphens."""
    named = {name.rstrip("_").replace("_", "-"): _value(value) for name, value in attributes.items()}
    element = ET.SubElement(parent, tag, named)
    if text:
        element.text = text
    return element


def _value(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _percent(value: float) -> str:
    return f"{_value(round(value, 3))}%"


class _Chart:
    """An SVG of rows with labels on the left, a plot in the middle and figures on the right."""

    def __init__(self, identity: str, title: str, height: int, figures: float = 0.0, labels: float = LABELS) -> None:
        self.root = ET.Element(
            "svg",
            {
                "class": "chart",
                "width": "100%",
                "height": str(height),
                "role": "img",
                "aria-labelledby": f"{identity}-title",
            },
        )
        _add(self.root, "title", safe_text(title, 400), id=f"{identity}-title")
        self.labels = _add(self.root, "svg", x="0", y="0", width=_percent(labels - 1.5), height=height)
        width = _percent(100.0 - labels - figures)
        self.plot = _add(self.root, "svg", x=_percent(labels), y="0", width=width, height=height, class_="plot")

    def label(self, text: str, y: float, strong: bool = False) -> None:
        """A row's label, cut at the edge of its column."""
        _add(
            self.labels, "text", safe_text(text, LABEL_LIMIT), x="0", y=y, class_="label strong" if strong else "label"
        )

    def figure(self, text: str, y: float, x: float = 100.0, kind: str = "figure") -> None:
        """A right-aligned figure beside the plot, at ``x`` per cent of the chart."""
        _add(self.root, "text", text, x=_percent(x), y=y, class_=kind)

    def whisker(self, low: float | None, high: float | None, end: float, middle: float) -> None:
        """An interval of shares on an axis from 0 to ``end``, with a cap at either bound; nothing without bounds."""
        if low is None or high is None:
            return
        left, right = _percent(100 * low / end), _percent(100 * high / end)
        _add(self.plot, "line", x1=left, x2=right, y1=middle, y2=middle, class_="whisker")
        for x in (left, right):
            _add(self.plot, "line", x1=x, x2=x, y1=middle - 3, y2=middle + 3, class_="whisker")

    def grid(self, ticks: Sequence[tuple[float, str]], top: float, bottom: float) -> None:
        """Vertical hair lines at per cents of the plot, each with its text below."""
        for at, text in ticks:
            x = _percent(at)
            _add(self.plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="grid")
            _add(self.plot, "text", text, x=x, y=bottom + 16, class_="tick")

    def markup(self) -> Markup:
        """The chart as markup; ElementTree escapes every text and attribute."""
        return Markup(ET.tostring(self.root, encoding="unicode"))


def _round_ticks(largest: float) -> list[float]:
    """0 and three to six round steps that reach ``largest``, the last being the axis' end."""
    largest = largest if largest > 0 else 1.0
    scale = 10.0 ** floor(log10(largest / 4))
    step = next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if largest / (s * scale) <= 5)
    return [step * index for index in range(ceil(largest / step - 1e-9) + 1)]


def _share_axis(largest: float) -> tuple[list[tuple[float, str]], float]:
    steps = _round_ticks(100 * largest)
    return [(100.0 * step / steps[-1], f"{step:g}" + (" %" if step == 0 else "")) for step in steps], steps[-1] / 100


def shares(rows: Sequence[ShareRow], unit: Unit, decimals: int) -> Markup:
    """Shares as bars with their 95 % intervals, and the intended shares as ticks across them.

    A row that sums up many domains has figures and no bar: it would set the scale for all others.
    """
    pitch, top = 24, 4
    bottom = top + pitch * len(rows)
    compared = any(row.intended is not None for row in rows)
    against = " against the intended mixture" if compared else ""
    title = f"Share of {unit} by domain with 95 % intervals{against}; the figures are in the table below."
    chart = _Chart("chart-shares", title, bottom + 24, 23.0 if compared else 14.0)
    named = [row for row in rows if not row.folded]
    reach = [max(row.amount(unit).high or row.amount(unit).share, row.intended or 0.0) for row in named]
    ticks, end = _share_axis(max(reach, default=1.0))
    chart.grid(ticks, top, bottom)
    for index, row in enumerate(rows):
        amount, y = row.amount(unit), top + pitch * index
        middle = y + pitch / 2
        chart.label(share_label(row), middle + 4)
        if not row.folded:
            width = _percent(100 * amount.share / end)
            _add(chart.plot, "rect", x="0", y=y + 6, width=width, height=pitch - 12, class_="bar")
        chart.whisker(amount.low, amount.high, end, middle)
        if row.intended is not None and not row.folded:
            x = _percent(100 * row.intended / end)
            _add(chart.plot, "line", x1=x, x2=x, y1=y + 2, y2=y + pitch - 2, class_="target")
        chart.figure(numbers.percent(amount.share, decimals), middle + 4, 88.5 if compared else 100.0)
        if row.difference is not None:
            chart.figure(numbers.points(row.difference, decimals), middle + 4, kind="figure quiet")
    return chart.markup()


def lengths(panel: LengthPanel) -> Markup:
    """Lengths on a logarithmic axis, a ridge a domain; below it the median and the 5-95 and 25-75 % ranges."""
    ridge, pitch, top = 24, 38, 6
    bottom = top + pitch * len(panel.rows)
    title = (
        f"Lengths of documents in {panel.unit}, by domain, on a logarithmic axis; the figures are in the table below."
    )
    chart = _Chart(f"chart-lengths-{panel.unit}", title, bottom + 24, labels=36.0)
    low, high = log10(panel.low), log10(panel.high)

    def at(value: float) -> float:
        return min(max(100 * (log10(max(value, 0.5)) - low) / (high - low), 0.0), 100.0)

    decades = [10**power for power in range(ceil(low - 1e-9), floor(high + 1e-9) + 1)]
    chart.grid([(at(decade), numbers.tick(decade)) for decade in decades], top, bottom)
    for index, row in enumerate(panel.rows):
        y = top + pitch * index
        base = y + 4 + ridge
        chart.label(length_label(row), base - 4, strong=row.everything)
        bins = len(row.density)
        ridges = _add(chart.plot, "svg", x="0", y=y + 4, width="100%", height=ridge, class_="ridge")
        ridges.attrib |= {"viewBox": f"0 0 {bins} 1", "preserveAspectRatio": "none"}
        points = " ".join(f"{i + 0.5:g},{_value(1 - density)}" for i, density in enumerate(row.density))
        _add(ridges, "polygon", points=f"0,1 {points} {bins},1", class_="area rest" if row.everything else "area")
        p5, p25, median, p75, p95, _ = (_percent(at(value)) for value in row.quantiles)
        _add(chart.plot, "line", x1=p5, x2=p95, y1=base + 3, y2=base + 3, class_="range")
        _add(chart.plot, "line", x1=p25, x2=p75, y1=base + 3, y2=base + 3, class_="range middle")
        _add(chart.plot, "line", x1=median, x2=median, y1=base - 9, y2=base + 7, class_="median")
    return chart.markup()


def duplicates(rows: Sequence[DuplicateRow], decimals: int) -> Markup:
    """Two bars a domain: documents that repeat one of the same domain (filled), or of another domain (outlined)."""
    pitch, top = 28, 4
    bottom = top + pitch * len(rows)
    title = "Exact duplicates by domain, as shares of documents; the figures are in the table below."
    chart = _Chart("chart-duplicates", title, bottom + 24, 22.0)
    rates = [
        (
            row.duplicate_documents / row.documents if row.documents else 0.0,
            row.across_documents / row.documents if row.documents else 0.0,
        )
        for row in rows
    ]
    reach = [max(*pair, row.documents_high or 0.0) for row, pair in zip(rows, rates, strict=True)]
    ticks, end = _share_axis(max(reach, default=0.01) or 0.01)
    chart.grid(ticks, top, bottom)
    for index, (row, (within, across)) in enumerate(zip(rows, rates, strict=True)):
        y = top + pitch * index
        chart.label(duplicate_label(row), y + pitch / 2 + 4, strong=row.everything)
        bar = "bar rest" if row.everything or row.folded else "bar"
        _add(chart.plot, "rect", x="0", y=y + 5, width=_percent(100 * within / end), height=9, class_=bar)
        chart.whisker(row.documents_low, row.documents_high, end, y + 9.5)
        _add(chart.plot, "rect", x="0", y=y + 16, width=_percent(100 * across / end), height=7, class_="bar hollow")
        chart.figure(numbers.percent(within, decimals), y + pitch / 2 + 4, 89.0)
        chart.figure(numbers.percent(across, decimals), y + pitch / 2 + 4, kind="figure quiet")
    return chart.markup()


def dead_letters(rows: Sequence[OutcomeRow]) -> Markup:
    """Dead letters by reason."""
    pitch, top = 24, 4
    title = "Rows that could not be counted, by reason; the figures are in the table below."
    chart = _Chart("chart-dead-letters", title, 2 * top + pitch * len(rows), 14.0)
    largest = max((row.rows for row in rows), default=1) or 1
    for index, row in enumerate(rows):
        y = top + pitch * index
        chart.label(row.reason, y + pitch / 2 + 4)
        width = _percent(max(100 * row.rows / largest, 0.5))
        _add(chart.plot, "rect", x="0", y=y + 6, width=width, height=pitch - 12, class_="bar lost")
        chart.figure(numbers.grouped(row.rows), y + pitch / 2 + 4)
    return chart.markup()


@dataclass(frozen=True)
class Part:
    """A part of a divided bar: what it is, how many, and the class that draws it."""

    name: str
    count: int
    kind: str


def coverage_parts(of: RunCoverage) -> tuple[tuple[str, tuple[Part, ...]], ...]:
    """What became of shards and of rows: counted, left out on purpose, lost."""
    shards = (
        Part("read now", of.shards_read, "part"),
        Part("read in an earlier run", of.shards_cached, "part cached"),
        Part("not in the sample", of.shards_not_sampled, "part left"),
        Part("in error", of.shards_error, "part lost"),
    )
    rows = (
        Part("documents", of.documents, "part"),
        Part("filtered", of.filtered, "part left"),
        Part("dead letters", of.dead_letters, "part lost"),
    )
    return ("Shards", shards), ("Rows", rows)


def divided_bar(identity: str, label: str, parts: Sequence[Part]) -> Markup:
    """Parts of a whole, side by side; a part that is not empty is never too thin to see."""
    total = sum(part.count for part in parts) or 1
    root = ET.Element("svg", {"class": "chart", "width": "100%", "height": "22", "role": "img"})
    root.set("aria-labelledby", f"{identity}-title")
    said = ", ".join(f"{numbers.grouped(part.count)} {part.name}" for part in parts if part.count)
    _add(root, "title", f"{label}: {said or 'none'}.", id=f"{identity}-title")
    shown = [part for part in parts if part.count]
    widths = [max(100 * part.count / total, 0.6) for part in shown]
    start = 0.0
    for part, width in zip(shown, widths, strict=True):
        scaled = 100 * width / sum(widths)
        _add(root, "rect", x=_percent(start), y=1, width=_percent(scaled), height=20, class_=part.kind)
        start += scaled
    return Markup(ET.tostring(root, encoding="unicode"))
