"""A projection of windows as a page or a picture of its own: points in groups, each with a colour and a size.

Groups are drawn in their order, later ones above. Colour is never alone: stronger groups have larger points, and the
key says how many windows each group has. The page runs nothing and loads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from corpus_audit.checks.report.activations.projection_chart import Panel, panel_charts
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text

WIDTH, HEIGHT, MARGIN, ROW = 720, 560, 16, 22

STEPS = 6
"""Colours of a scale from weak to strong."""

_LIGHT = {"paper": "#fdfcf9", "ink": "#1e2124", "quiet": "#5b5f66", "rule": "#dcd8cf", "faint": "#c9c6bd",
          "s0": "#27588f", "new": "#b8420f", "g0": "#b3b0a7", "g1": "#9fb9d9", "g2": "#7ba2cd", "g3": "#5586bd",
          "g4": "#2b5f9e", "g5": "#0e3161"}  # fmt: skip
_DARK = {"paper": "#16181b", "ink": "#e5e2dc", "quiet": "#a6a9ae", "rule": "#383c42", "faint": "#454a52",
         "s0": "#94bcea", "new": "#f29a5c", "g0": "#565b63", "g1": "#466387", "g2": "#5079ac", "g3": "#6c9bd2",
         "g4": "#9cc3f0", "g5": "#e2f0ff"}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Windows that are drawn alike.

    Attributes:
        label: what they are; made safe here.
        colour: g0 to g5 of a scale, ``faint`` or ``new``.
        size: of a point, in pixels.
        positions: (x, y) of each.
    """

    label: str
    colour: str
    size: float
    positions: tuple[tuple[float, float], ...]


def style() -> str:
    """The style sheet of a page or picture, light and dark."""

    def variables(colours: dict[str, str]) -> str:
        return "".join(f"--{name}:{value};" for name, value in colours.items())

    return (
        f":root{{color-scheme:light dark;{variables(_LIGHT)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{variables(_DARK)}}}}}"
        "text{font:14px system-ui,sans-serif;fill:var(--ink)}.paper{fill:var(--paper)}"
        ".dots{fill:none;stroke-linecap:round;vector-effect:non-scaling-stroke}"
        ".all{stroke:var(--faint);stroke-width:2.6}.own{stroke:var(--s0);stroke-width:3.4}"
        + "".join(f".{name}{{stroke:var(--{name})}}" for name in (*(f"g{n}" for n in range(STEPS)), "faint", "new"))
    )


def scatter(groups: Sequence[Group], title: str, key: bool) -> ET.Element:
    """The groups as one SVG, ``key`` with a key below the points and a style sheet of its own, for a file."""
    every = [xy for group in groups for xy in group.positions]
    low = [min((xy[axis] for xy in every), default=0.0) for axis in (0, 1)]
    reach = [max((xy[axis] for xy in every), default=0.0) - low[axis] for axis in (0, 1)]
    scale = min((WIDTH - 2 * MARGIN) / (reach[0] or 1.0), (HEIGHT - 2 * MARGIN) / (reach[1] or 1.0))
    left, top = ((whole - reach[axis] * scale) / 2 for axis, whole in enumerate((WIDTH, HEIGHT)))
    height = HEIGHT + (ROW * (len(groups) + 2) if key else 0)
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height}", "width": "100%", "role": "img",
            "aria-labelledby": "plot-title",
        },
    )  # fmt: skip
    element(root, "title", safe_text(title, 200), id="plot-title")
    if key:
        element(root, "style", style())
        element(root, "rect", class_="paper", width=WIDTH, height=height)
    for group in groups:
        path = "".join(
            f"M{left + (x - low[0]) * scale:.1f},{top + (y - low[1]) * scale:.1f}h0" for x, y in group.positions
        )
        element(root, "path", d=path, class_=f"dots {group.colour}", stroke_width=group.size)
    if key:
        element(root, "text", safe_text(title, 90), x=MARGIN, y=HEIGHT + ROW)
        for number, group in enumerate(groups):
            y = HEIGHT + ROW * (number + 2)
            element(root, "path", d=f"M{MARGIN + 5},{y - 5}h0", class_=f"dots {group.colour}", stroke_width=group.size)
            element(root, "text", _label(group), x=MARGIN + 20, y=y)
    return root


def picture(groups: Sequence[Group], title: str) -> str:
    """The groups as an SVG file."""
    return ET.tostring(scatter(groups, title, key=True), "unicode") + "\n"


def page(title: str, about: Sequence[str], groups: Sequence[Group] = (), panels: Sequence[Panel] = ()) -> str:
    """A page with one chart of groups, or one small chart a panel.

    Args:
        title: the heading.
        about: paragraphs below it.
        groups: of the one chart.
        panels: domains and their windows; drawn where there are no groups.
    """
    root = ET.Element("html", {"lang": "en"})
    head = element(root, "head")
    element(head, "meta", charset="utf-8")
    element(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    element(head, "meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'")
    element(head, "title", safe_text(title, 200))
    element(
        head,
        "style",
        style() + "*{box-sizing:border-box}body{margin:0 auto;padding:1.5rem 1rem 3rem;max-width:60rem;"
        "background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}"
        "h1{font-size:1.4rem;margin:0 0 .5rem;overflow-wrap:anywhere}"
        "p{color:var(--quiet);margin:.3rem 0;max-width:46rem}figure{margin:1rem 0 0}"
        "svg{display:block;border:1px solid var(--rule);border-radius:4px}"
        "ul{list-style:none;padding:0;margin:.8rem 0;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem}"
        "li{display:flex;align-items:center;gap:.5rem}li svg{border:0;flex:none}"
        ".panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:1rem;align-items:end}"
        ".panels figure{margin:0}figcaption{font-size:.85rem;overflow-wrap:anywhere}",
    )
    body = element(root, "body")
    element(body, "h1", safe_text(title, 200))
    for paragraph in about:
        element(body, "p", safe_text(paragraph, 600))
    if groups:
        figure = element(body, "figure")
        figure.append(scatter(groups, title, key=False))
        listed = element(figure, "ul")
        for group in groups:
            entry = element(listed, "li")
            mark = element(entry, "svg", width=12, height=12, viewBox="0 0 12 12", aria_hidden="true")
            element(mark, "path", d="M6,6h0", class_=f"dots {group.colour}", stroke_width=group.size)
            element(entry, "span", _label(group))
    elif panels:
        grid = element(body, "div", class_="panels")
        for name, size, chart in panel_charts(panels):
            figure = element(grid, "figure")
            element(figure, "figcaption", f"{safe_text(name, 60)}, {size}")
            figure.append(ET.fromstring(str(chart)))
    return "<!DOCTYPE html>\n" + ET.tostring(root, "unicode", method="html") + "\n"


def _label(group: Group) -> str:
    return f"{safe_text(group.label, 60)}: {numbers.plural(len(group.positions), 'window')}"
