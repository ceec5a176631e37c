"""Windows in two dimensions: one small chart per domain, its windows in colour before all others.

Every chart has the same axes, so that positions can be compared, and no domain needs a colour of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import safe_text

SIZE = 200
_MARGIN = 6


@dataclass(frozen=True)
class Panel:
    """A domain and the (x, y) of its windows."""

    name: str
    positions: tuple[tuple[float, float], ...]


def panel_charts(panels: Sequence[Panel]) -> tuple[tuple[str, str, Markup], ...]:
    """(name, number of windows, chart) of each panel; names are not made safe."""
    every = [xy for panel in panels for xy in panel.positions]
    low = [min(xy[axis] for xy in every) for axis in (0, 1)]
    reach = max(max(xy[axis] for xy in every) - low[axis] for axis in (0, 1)) or 1.0

    def dots(positions: Sequence[tuple[float, float]]) -> str:
        """A path with a line of no length at every position; with round ends it is a dot."""
        scale = (SIZE - 2 * _MARGIN) / reach
        return "".join(
            f"M{_MARGIN + (x - low[0]) * scale:.0f},{_MARGIN + (y - low[1]) * scale:.0f}h0" for x, y in positions
        )

    # The background is rounded to a tenth and drawn once; the other charts refer to it, which keeps the page small.
    background = dots(sorted({(round(x, 1), round(y, 1)) for x, y in every}))
    charts = []
    for number, panel in enumerate(panels):
        identity = f"chart-projection-{number}"
        root = ET.Element(
            "svg",
            {
                "class": "chart",
                "width": "100%",
                "viewBox": f"0 0 {SIZE} {SIZE}",
                "role": "img",
                "aria-labelledby": f"{identity}-title",
            },
        )
        title = f"Windows of {safe_text(panel.name, 60)} among all windows; no scale, near windows are similar."
        element(root, "title", title, id=f"{identity}-title")
        if number == 0:
            element(root, "path", d=background, class_="dots all", id="projection-all")
        else:
            element(root, "use", href="#projection-all")
        element(root, "path", d=dots(panel.positions), class_="dots own")
        charts.append(
            (panel.name, numbers.plural(len(panel.positions), "window"), Markup(ET.tostring(root, "unicode")))
        )
    return tuple(charts)
