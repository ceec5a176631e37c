from math import log10
from xml.etree import ElementTree as ET

import pytest

from corpus_audit.checks.report.charts.svg import divided_bar, round_ticks
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.profile import charts
from corpus_audit.checks.report.profile.records import LengthPanel, LengthRow
from corpus_audit.checks.text import numbers


def marks(chart: str, kind: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(chart).iter() if element.get("class") == kind]


def number(element: ET.Element, name: str) -> float:
    return float((element.get(name) or "").rstrip("%"))


def test_share_bars_intervals_and_targets_are_on_one_scale(model: ReportModel) -> None:
    chart = charts.shares(model.domains, "tokens", 1)
    scale = number(marks(chart, "bar")[0], "width") / model.domains[0].tokens.share
    for row, bar, target in zip(model.domains, marks(chart, "bar"), marks(chart, "target"), strict=True):
        assert number(bar, "width") == pytest.approx(scale * row.tokens.share, abs=0.01)
        assert number(target, "x1") == pytest.approx(scale * (row.intended or 0), abs=0.01)
    whiskers = marks(chart, "whisker")[::3]
    for row, whisker in zip(model.domains, whiskers, strict=True):
        assert number(whisker, "x1") == pytest.approx(scale * (row.tokens.low or 0), abs=0.01)
        assert number(whisker, "x2") == pytest.approx(scale * (row.tokens.high or 0), abs=0.01)
        assert number(whisker, "x2") <= 100


def test_the_remainder_has_figures_and_no_bar(incomplete: ReportModel) -> None:
    chart = charts.shares(incomplete.domains, "tokens", 1)
    assert len(marks(chart, "bar")) == len(incomplete.domains) - 1
    assert len(marks(chart, "figure")) == len(incomplete.domains)


def test_the_median_stands_where_the_axis_says() -> None:
    row = LengthRow("a", False, 10, 100.0, (10.0, 50.0, 100.0, 200.0, 900.0, 1000.0), 1000, (0.0, 1.0, 0.0))
    chart = charts.lengths(LengthPanel("tokens", 10.0, 1000.0, (row,), 0))
    (median,) = marks(chart, "median")
    assert number(median, "x1") == pytest.approx(50.0)
    (whole,) = marks(chart, "range")
    assert number(whole, "x1") == 0.0
    assert number(whole, "x2") == pytest.approx(100 * (log10(900) - 1) / 2, abs=0.001)
    assert [tick.text for tick in marks(chart, "tick")] == ["10", "100", "1k"]


def test_a_divided_bar_is_full_and_hides_nothing(model: ReportModel) -> None:
    coverage = model.coverage.model_copy(update={"documents": 10**9, "filtered": 1, "dead_letters": 1})
    (_, rows) = charts.coverage_parts(coverage)[1]
    parts = list(ET.fromstring(divided_bar("rows", "Rows", rows)).iter("rect"))
    assert len(parts) == 3
    assert sum(number(part, "width") for part in parts) == pytest.approx(100, abs=0.01)
    assert min(number(part, "width") for part in parts) > 0.5


@pytest.mark.parametrize(("largest", "steps"), [(0.45, 6), (1.0, 6), (0.021, 6), (0.0004, 5), (0.0, 6)])
def test_axes_end_at_round_figures_above_the_largest(largest: float, steps: int) -> None:
    ticks = round_ticks(100 * largest)
    assert len(ticks) <= steps
    assert ticks[0] == 0
    assert ticks[-1] >= 100 * largest - 1e-9
    assert ticks[-1] <= max(100 * largest, 1e-9) * 2 or largest == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (99_999, "99,999"), (100_000, "100 k"), (1_238_000, "1.24 M"), (999_999, "1.00 M"), (4.2e12, "4.20 T")],
)
def test_compact(value: int, text: str) -> None:
    assert numbers.compact(int(value)) == text


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.123, 1, "12.3 %"),
        (0.0, 1, "0.0 %"),
        (1.0, 1, "100.0 %"),
        (0.00001, 1, "< 0.1 %"),
        (0.99999, 1, "> 99.9 %"),
        (0.5 + 0.1 + 0.1 + 0.3 - 2e-16, 1, "100.0 %"),
        (-0.02, 1, "−2.0 %"),
        (-0.00001, 1, "> −0.1 %"),
    ],
)
def test_percent(share: float, decimals: int, text: str) -> None:
    assert numbers.percent(share, decimals) == text


def test_points_are_signed_and_zero_is_not_negative() -> None:
    assert numbers.points(0.041) == "+4.1"
    assert numbers.points(-0.041) == "−4.1"
    assert numbers.points(-0.0001) == "+0.0"
    assert numbers.points_interval(-0.01, 0.02) == "[−1.0, +2.0]"
    assert numbers.points_interval(None, 0.02) == "–"


@pytest.mark.parametrize(("widths", "decimals"), [([], 1), ([0.02], 1), ([0.0008], 2), ([0.00002] * 3, 3), ([1e-9], 3)])
def test_decimals_follow_the_intervals(widths: list[float], decimals: int) -> None:
    assert numbers.share_decimals(widths) == decimals
