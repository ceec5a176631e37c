"""A figure over runs, and the list of runs, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import floor, log10

from corpus_audit.checks.history.history import FigurePoint, IndexedRun
from corpus_audit.checks.text.numbers import NONE, compact, grouped, plural
from corpus_audit.checks.text.safe_text import cell_width, fit, safe_text
from corpus_audit.checks.text.wording import figure
from corpus_audit.schemas.run.results import Verdict

NAMES = 8
"""Names of metrics or slices in a message."""

BOLD, DIM, GREEN, YELLOW, RED, BLUE = "1", "2", "32", "33", "31", "34"

MARKS: dict[Verdict | None, tuple[str, str]] = {
    Verdict.PASS: ("✓", GREEN),
    Verdict.WARN: ("!", YELLOW),
    Verdict.FAIL: ("✗", RED),
    Verdict.NONE: ("?", RED),
    None: ("·", DIM),
}
"""A mark and a colour for every verdict; all are one column wide."""

LEGEND = "✓ pass  ! warn  ✗ fail  ? no verdict  · not judged  S signed"
RUN, FIGURE, COUNT = 20, 10, 7
NARROWEST = 72


def render_series(
    metric: str, slice_: str, points: Sequence[FigurePoint], earlier: int, width: int = 80, colour: bool = False
) -> str:
    """A line for every run, oldest first: verdict, value, n, and the value with its interval on a common axis.

    Args:
        metric, slice_: names of the figure; both may come from the corpus.
        points: at least one.
        earlier: runs before these that have the figure too.
        width: columns of the terminal, at least `NARROWEST`; no line is wider.
        colour: whether to use ANSI colours; without them nothing is lost.
    """
    width = max(width, NARROWEST)
    unit = points[-1].unit
    reading = points[-1].run.reading
    plot = width - RUN - FIGURE - COUNT - 7
    known = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
    axis = _Axis(min(known, default=0.0), max(known, default=1.0), plot, unit)
    lines = [_paint(fit(f"{safe_text(metric, 60)}  {safe_text(slice_, 120)}", width).rstrip(), BOLD, colour)]
    count = plural(len(points), "run") + (f", the newest of {len(points) + earlier}" if earlier else "")
    unit = "in per cent" if unit in ("share", "probability") else f"in {safe_text(unit, 30)}"
    lines += [_paint(fit(f"{count}; {unit}; lines are 95 % intervals", width).rstrip(), DIM, colour), ""]
    head = fit("run", RUN) + "   " + fit("value", FIGURE, True) + " " + fit("n", COUNT, True) + "   "
    lines.append(_paint(head + axis.labels, DIM, colour))
    comparable = [point.run.reading == reading for point in points]
    for point, is_comparable in zip(points, comparable, strict=True):
        value = figure(point.value, point.unit) + (" " if is_comparable else "*")
        n = NONE if point.n is None else compact(point.n).replace(" ", "")
        lines.append(
            fit(safe_text(point.run.run, 60), RUN)
            + _verdict(point.run, colour)
            + fit(value, FIGURE + 1, True)
            + _paint(fit(n, COUNT, True), DIM, colour)
            + "   "
            + axis.draw(point, colour)
        )
    lines += ["", _paint(LEGEND, DIM, colour)]
    if not all(comparable):
        lines += _note("* not comparable with the newest run: another tokenizer, or read in another way", width)
    return "".join(line.rstrip() + "\n" for line in lines)


def render_runs(runs: Sequence[IndexedRun], earlier: int, width: int = 80, colour: bool = False) -> str:
    """A line for every run, oldest first: start time, verdict, snapshot and name of the audit."""
    width = max(width, NARROWEST)
    name = width - RUN - 5 - 17 - 14
    head = fit("run", RUN) + "     " + fit("started (UTC)", 17) + fit("snapshot", 14) + "audit"
    lines = [_paint(head, DIM, colour)]
    for run in runs:
        started = NONE if run.time is None else run.time[:16].replace("T", " ")
        lines.append(
            fit(safe_text(run.run, 60), RUN)
            + _verdict(run, colour)
            + "  "
            + fit(started, 17)
            + fit(safe_text(run.snapshot[:12], 48), 14)
            + fit(
                safe_text(run.name, 200) if run.complete else f"incomplete: {safe_text(run.name, 200)}", name
            ).rstrip()
        )
    lines += ["", _paint(LEGEND, DIM, colour)]
    if earlier:
        lines.append(f"{plural(earlier, 'earlier run')}: --last {earlier + len(runs)} shows all")
    return "".join(line.rstrip() + "\n" for line in lines)


def render_names(metrics: Mapping[str, int], width: int = 80, colour: bool = False) -> str:
    """The metrics that can be plotted, each with its number of slices, in as many columns as fit.

    Args:
        metrics: slices by metric.
        width, colour: as in `render_series`.
    """
    width = max(width, NARROWEST)
    names = [
        safe_text(name, width - 12) + (f" ({grouped(slices)})" if slices > 1 else "")
        for name, slices in sorted(metrics.items())
    ]
    column = max(map(cell_width, names), default=0) + 2
    across = max((width + 2) // column, 1)
    deep = -(-len(names) // across)
    head = "Metrics that 'history METRIC' plots (slices, if more than one: --slice)"
    lines = [_paint(head, DIM, colour)]
    lines += ["".join(fit(name, min(column, width)) for name in names[row::deep]) for row in range(deep)]
    return "".join(line.rstrip() + "\n" for line in lines)


def unknown_name(kind: str, name: str, known: Sequence[str]) -> str:
    """The message for a metric or slice that no run has, with the most similar known names, else the first ones.

    Args:
        kind: ``metric`` or ``slice``.
        name: the unknown name.
        known: the names that runs have.
    """
    near = get_close_matches(name, known, NAMES, 0.5)
    near = near or [candidate for candidate in known if name.lower() in candidate.lower()][:NAMES]
    shown = ", ".join(safe_text(candidate, 80) for candidate in (near or known[:NAMES]))
    message = f"no run has the {kind} {safe_text(name, 80)!r}"
    if not known:
        return message
    more = len(known) - NAMES
    others = f" and {more} more" if not near and more > 0 else ""
    return f"{message}; {'similar names' if near else 'known names'}: {shown}{others}"


def _verdict(run: IndexedRun, colour: bool) -> str:
    mark, shade = MARKS[run.verdict]
    return _paint(mark, shade, colour) + " " + ("S" if run.signed else " ")


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and text.strip() else text


def _note(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and cell_width(line) + 1 + cell_width(word) > width:
            yield line
            line = "  " + word
        else:
            line = f"{line} {word}" if line else word
    yield line


class _Axis:
    """A linear axis over some columns, with two to five round labels above it."""

    def __init__(self, low: float, high: float, columns: int, unit: str) -> None:
        margin = 0.05 * ((high - low) or abs(high) or 1.0)
        self._low, self._span, self._columns = low - margin, (high - low) + 2 * margin, columns
        cells = [" "] * columns
        free = 0
        for value in _round_values(self._low, self._low + self._span):
            text = figure(value, unit).replace(" %", "")
            start = self._at(value) - (len(text) - 1) // 2
            if start >= free and start + len(text) <= columns:
                cells[start : start + len(text)] = text
                free = start + len(text) + 2
        self.labels = "".join(cells)

    def draw(self, point: FigurePoint, colour: bool) -> str:
        """The point's mark between the ends of its interval."""
        if point.value is None:
            return _paint("no figure", DIM, colour)
        cells = [" "] * self._columns
        if point.low is not None and point.high is not None:
            left, right = self._at(point.low), self._at(point.high)
            cells[left : right + 1] = "─" * (right - left + 1)
            cells[left], cells[right] = "├", "┤"
        column = self._at(point.value)
        before, after = "".join(cells[:column]), "".join(cells[column + 1 :]).rstrip()
        return before + _paint("●", BLUE, colour) + after

    def _at(self, value: float) -> int:
        """Column of a value, from 0; a value beyond an end is at that end."""
        share = (value - self._low) / self._span
        return min(max(round(share * (self._columns - 1)), 0), self._columns - 1)


def _round_values(low: float, high: float) -> list[float]:
    """Three to six round values from ``low`` to ``high``."""
    scale = 10.0 ** floor(log10((high - low) / 4))
    step = next(s * scale for s in (1.0, 2.0, 2.5, 5.0, 10.0) if (high - low) / (s * scale) <= 5)
    first = floor(low / step) + 1
    return [step * (first + i) for i in range(6) if step * (first + i) <= high]
