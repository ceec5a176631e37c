"""Windows in two dimensions: a small picture a domain, its windows before all others.

Every picture has the same axes, so that places can be compared; a domain needs no colour of its own.
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
    """A domain and where its windows are."""

    name: str
    places: tuple[tuple[float, float], ...]


def panels(of: Sequence[Panel]) -> tuple[tuple[str, str, Markup], ...]:
    """(name, how many windows, picture) of each panel; names are as they are in the corpus."""
    every = [place for panel in of for place in panel.places]
    low = [min(place[axis] for place in every) for axis in (0, 1)]
    reach = max(max(place[axis] for place in every) - low[axis] for axis in (0, 1)) or 1.0

    def dots(places: Sequence[tuple[float, float]]) -> str:
        """A line of no length at every place; with round ends it is a dot."""
        scale = (SIZE - 2 * _MARGIN) / reach
        return "".join(
            f"M{_MARGIN + (x - low[0]) * scale:.0f},{_MARGIN + (y - low[1]) * scale:.0f}h0" for x, y in places
        )

    background = dots(sorted({(round(x, 1), round(y, 1)) for x, y in every}))
    found = []
    for number, panel in enumerate(of):
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
        said = f"Windows of {safe_text(panel.name, 60)} among all windows; places without a scale, near is similar."
        element(root, "title", said, id=f"{identity}-title")
        if number == 0:
            element(root, "path", d=background, class_="dots all", id="projection-all")
        else:
            element(root, "use", href="#projection-all")
        element(root, "path", d=dots(panel.places), class_="dots own")
        found.append((panel.name, numbers.plural(len(panel.places), "window"), Markup(ET.tostring(root, "unicode"))))
    return tuple(found)
