from pathlib import Path

import pytest

from corpus_audit.checks.report.page.html import _environment, render_html
from corpus_audit.checks.report.page.model import ReportModel, load_report
from corpus_audit.checks.report.verdict import trends as trend_section
from corpus_audit.checks.report.verdict.trends import TrendView
from corpus_audit.schemas.errors import StoreError
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.checks.report.judged_runs import write_results
from tests.checks.report.synthetic import build_run
from tests.checks.report.test_report_page import PLAIN, Page
from tests.checks.report.trend_runs import trends, write_trends


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> ReportModel:
    run = write_results(build_run(tmp_path_factory.mktemp("trends") / "run", ["one", "two"]))
    return load_report(write_trends(run))


@pytest.fixture(scope="module")
def view(judged: ReportModel) -> TrendView:
    assert judged.trends is not None
    return judged.trends


def page_of(view: TrendView) -> Page:
    return Page(str(trend_section.section(view, _environment())))


def test_without_earlier_runs_there_is_no_section(model: ReportModel) -> None:
    assert model.trends is None and 'id="trends"' not in render_html(model)


def test_every_figure_has_a_chart_with_a_title_and_its_values_in_the_table(view: TrendView) -> None:
    page = page_of(view)
    assert page.elements["title"] == len(view.figures) == 3
    text = "".join(page.text)
    assert "metric_0, domain=web/common-crawl, over 7 runs: 1 % in 20261101T060000Z, 1.77 % now" in text
    for run in range(1, 7):
        assert f"202611{run:02d}T060000Z" in text
    assert view.runs[-1] == ("20261122-7f3a91c2", "failed")
    assert view.text_of("20261102T060000Z") == ("1.1 %", "–", "3.3 %")
    assert page.elements["th"] == page.attributes["th@scope"]


def test_marks_tell_runs_apart_without_colour(view: TrendView) -> None:
    from corpus_audit.checks.report.charts.plots import MARKS

    paths = [value for tag, name, value in page_of(view).values if (tag, name) == ("path", "d")]
    assert paths.count(MARKS[2]) == 3 + 1  # this run, and its key
    assert paths.count(MARKS[1]) == 2 * 3 + 1  # every third of six runs is signed
    kinds = [value for tag, name, value in page_of(view).values if (tag, name) == ("path", "class")]
    # Of each figure's seven marks, two have passed and one was not judged; a figure that has no value has no mark.
    assert kinds.count("dot") == 3 * 3 + 3 and kinds.count("dot hollow") == 3 * 4 - 1 + 1


def test_only_bounds_within_reach_are_drawn(view: TrendView) -> None:
    lines = [value for tag, name, value in page_of(view).values if (tag, name) == ("line", "class")]
    assert lines.count("dashed") >= 2  # warns at 2 %; one is the key
    assert lines.count("dashed strong") == 1  # fails at 90 %: the key alone


def test_a_figure_with_one_earlier_run_and_one_without_spread(tmp_path: Path) -> None:
    run = write_results(build_run(tmp_path / "run", ["one"]))
    single = trends(runs=1, figures=1)
    flat = single.figures[0].model_copy(update={"value": 0.01, "low": 0.01, "high": 0.01, "warn": None, "fail": None})
    flat = flat.model_copy(update={"points": (single.figures[0].points[0].model_copy(update={"low": None}),)})
    text = render_html(load_report(write_trends(run, single.model_copy(update={"figures": (flat,)}))))
    assert "over 2 runs" in text and "nan" not in text.lower().split("provenance")[0]


def test_damaged_trends_are_an_error(tmp_path: Path) -> None:
    run = write_trends(write_results(build_run(tmp_path / "run", ["one"])))
    path = run / "trends.json"
    path.write_bytes(path.read_bytes().replace(b"trends/1", b"trends/9"))
    with pytest.raises(StoreError, match=r"trends\.json cannot be read"):
        load_report(run)


def test_the_page_has_the_section_after_the_judgements(judged: ReportModel) -> None:
    page = Page(render_html(judged))
    identities = [value for _, name, value in page.values if name == "id"]
    assert identities.index("since-signed") < identities.index("trends") < identities.index("domains")
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_hostile_text_is_inert(view: TrendView, payload: str) -> None:
    benign = page_of(with_every_text(view, PLAIN))
    text = str(trend_section.section(with_every_text(view, payload), _environment()))
    attacked = Page(text)
    assert (attacked.elements, attacked.attributes) == (benign.elements, benign.attributes)
    assert {value for _, _, value in attacked.values} <= {value for _, _, value in benign.values}
    assert [c for c in text if not c.isprintable() and c not in "\n\u00a0"] == []
