"""Charts as inline SVG: elements, axes, and a chart of rows with labels, a plot and figures.

Horizontal positions are in per cent and vertical ones in pixels, so text keeps its size at any width. Colours come from
the page's style sheet by class; everything that a colour says, a shape or a label says too.

Kept over Matplotlib: its SVG of twelve bars has 12 kB against 3 kB here, with letters drawn as paths that nobody can
select and colours that no style sheet changes, and its import takes longer than a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.etree import ElementTree as ET

from markupsafe import Markup

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text

LABELS = 27.0
"""Per cent of the width for row labels, unless a chart says otherwise."""

LABEL_LIMIT = 32
"""Characters of a label; what does not fit its column either is cut at the column's edge."""


def element(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    """Append an element to ``parent`` and return it; ``class_`` becomes ``class``, and underscores become hyphens."""
    named = {name.rstrip("_").replace("_", "-"): attribute(value) for name, value in attributes.items()}
    child = ET.SubElement(parent, tag, named)
    if text:
        child.text = text
    return child


def attribute(value: object) -> str:
    """The text of an attribute's value: floats with at most three decimals, everything else as ``str`` writes it."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def percent(value: float) -> str:
    """A length or a position in per cent of the element around it: ``12.5%``."""
    return f"{attribute(round(value, 3))}%"


class Chart:
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
        element(self.root, "title", safe_text(title, 400), id=f"{identity}-title")
        self.labels = element(self.root, "svg", x="0", y="0", width=percent(labels - 1.5), height=height)
        width = percent(100.0 - labels - figures)
        self.plot = element(self.root, "svg", x=percent(labels), y="0", width=width, height=height, class_="plot")

    def label(self, text: str, y: float, strong: bool = False) -> None:
        """A row's label, cut at the edge of its column."""
        element(
            self.labels, "text", safe_text(text, LABEL_LIMIT), x="0", y=y, class_="label strong" if strong else "label"
        )

    def figure(self, text: str, y: float, x: float = 100.0, kind: str = "figure") -> None:
        """A right-aligned figure beside the plot, at ``x`` per cent of the chart."""
        element(self.root, "text", text, x=percent(x), y=y, class_=kind)

    def whisker(self, low: float | None, high: float | None, end: float, middle: float) -> None:
        """An interval of shares on an axis from 0 to ``end``, with a cap at either bound; nothing without bounds."""
        if low is None or high is None:
            return
        left, right = percent(100 * low / end), percent(100 * high / end)
        element(self.plot, "line", x1=left, x2=right, y1=middle, y2=middle, class_="whisker")
        for x in (left, right):
            element(self.plot, "line", x1=x, x2=x, y1=middle - 3, y2=middle + 3, class_="whisker")

    def grid(self, ticks: Sequence[tuple[float, str]], top: float, bottom: float) -> None:
        """Vertical hair lines at per cents of the plot, each with its text below."""
        for at, text in ticks:
            x = percent(at)
            element(self.plot, "line", x1=x, x2=x, y1=top, y2=bottom, class_="grid")
            element(self.plot, "text", text, x=x, y=bottom + 16, class_="tick")

    def markup(self) -> Markup:
        """The chart as markup; ElementTree escapes every text and attribute."""
        return Markup(ET.tostring(self.root, encoding="unicode"))


def round_ticks(largest: float) -> list[float]:
    """0 and three to six round steps that reach ``largest``, the last being the axis' end."""
    largest = largest if largest > 0 else 1.0
    scale = 10.0 ** floor(log10(largest / 4))
    step = next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if largest / (s * scale) <= 5)
    return [step * index for index in range(ceil(largest / step - 1e-9) + 1)]


def share_axis(largest: float) -> tuple[list[tuple[float, str]], float]:
    """Ticks of an axis of shares from 0, as (per cent of the plot, text), and the share at the axis' end."""
    steps = round_ticks(100 * largest)
    return [(100.0 * step / steps[-1], f"{step:g}" + (" %" if step == 0 else "")) for step in steps], steps[-1] / 100


@dataclass(frozen=True)
class BarPart:
    """A part of a divided bar: what it is, how many, and the class that draws it."""

    name: str
    count: int
    kind: str


def divided_bar(identity: str, label: str, parts: Sequence[BarPart]) -> Markup:
    """Parts of a whole, side by side; a part that is not empty is never too thin to see."""
    total = sum(part.count for part in parts) or 1
    root = ET.Element("svg", {"class": "chart", "width": "100%", "height": "22", "role": "img"})
    root.set("aria-labelledby", f"{identity}-title")
    described = ", ".join(f"{numbers.grouped(part.count)} {part.name}" for part in parts if part.count)
    element(root, "title", f"{label}: {described or 'none'}.", id=f"{identity}-title")
    shown = [part for part in parts if part.count]
    widths = [max(100 * part.count / total, 0.6) for part in shown]
    start = 0.0
    for part, width in zip(shown, widths, strict=True):
        scaled = 100 * width / sum(widths)
        element(root, "rect", x=percent(start), y=1, width=percent(scaled), height=20, class_=part.kind)
        start += scaled
    return Markup(ET.tostring(root, encoding="unicode"))
