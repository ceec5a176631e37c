"""The report's section on how judged figures moved over earlier runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.history.trends import TRENDS_FILE, read_trends
from corpus_audit.checks.report.charts.plots import key
from corpus_audit.checks.report.verdict.trend_chart import CIRCLE, DIAMOND, SQUARE, small_chart
from corpus_audit.checks.text.wording import figure
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import Bound

VerdictWord = Literal["passed", "warned", "failed", "no verdict", "not judged"]


@dataclass(frozen=True)
class TrendPointView:
    """A figure in one run. ``text`` is the value as it is written; ``here`` is the run whose page this is."""

    run: str
    verdict: VerdictWord
    signed: bool
    here: bool
    value: float | None
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class TrendFigure:
    """A figure over runs, oldest first, with the values at which it warns and fails."""

    metric: str
    slice: str
    unit: str
    points: tuple[TrendPointView, ...]
    warns: tuple[float, ...]
    fails: tuple[float, ...]


@dataclass(frozen=True)
class TrendView:
    """What the section shows."""

    figures: tuple[TrendFigure, ...]

    @property
    def runs(self) -> tuple[tuple[str, str], ...]:
        """(name, verdict) of every run that has one of the figures, by name; the run of this page comes last."""
        earlier = {point.run: point.verdict for trend in self.figures for point in trend.points if not point.here}
        here = self.figures[0].points[-1]
        return (*sorted(earlier.items()), (here.run, here.verdict))

    def text_of(self, run: str) -> tuple[str, ...]:
        """The text of each figure in a run."""
        return tuple(next((p.text for p in trend.points if p.run == run), "–") for trend in self.figures)


_WORDS: dict[str | None, VerdictWord] = {
    "pass": "passed", "warn": "warned", "fail": "failed", "none": "no verdict", None: "not judged",
}  # fmt: skip


def load(run: RunDirectory, verdict: str | None) -> TrendView | None:
    """What the section shows; None when the run was published without earlier runs to compare with.

    Args:
        run: the run directory.
        verdict: that of the run itself.

    Raises:
        StoreError: `trends.json` is damaged.
    """
    try:
        data = (run.folder / TRENDS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {TRENDS_FILE} of {run.folder}: {error}") from error
    trends = read_trends(data)
    figures = []
    for trend in trends.figures:
        points = [
            TrendPointView(
                point.run,
                _WORDS[point.verdict.value if point.verdict else None],
                point.signed,
                False,
                point.value,
                point.low,
                point.high,
                figure(point.value, trend.unit),
            )
            for point in trend.points
        ]
        now = figure(trend.value, trend.unit)
        points.append(TrendPointView(trends.run, _WORDS[verdict], False, True, trend.value, trend.low, trend.high, now))
        figures.append(
            TrendFigure(trend.metric, trend.slice, trend.unit, tuple(points), _ends(trend.warn), _ends(trend.fail))
        )
    return TrendView(tuple(figures)) if figures else None


def section(view: TrendView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    charts = [small_chart(f"chart-trend-{index}", trend) for index, trend in enumerate(view.figures, 1)]
    keys = {
        "run": key(CIRCLE, "dot"), "signed": key(SQUARE, "dot"), "here": key(DIAMOND, "dot"),
        "hollow": key(CIRCLE, "dot hollow"),
    }  # fmt: skip
    return Markup(environment.get_template("verdict/trends.html").render(view=view, charts=charts, keys=keys))


def _ends(bound: Bound | None) -> tuple[float, ...]:
    return tuple(end for end in (bound.minimum, bound.maximum) if end is not None) if bound else ()
