from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.report.charts.plots import LogAxis, spread_apart
from corpus_audit.checks.report.page.html import _environment
from corpus_audit.checks.report.sampling import charts as sampling_charts
from corpus_audit.checks.report.sampling import log_chart, section
from corpus_audit.checks.report.sampling.records import SamplingView
from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.checks.text.sentences import Name
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.checks.report.sampled_runs import SIX, many_domains, sampler_log, write_sampling
from tests.run_files import run_record

WRONG = (7, 8, 15)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return write_sampling(tmp_path_factory.mktemp("logged") / "run", log=sampler_log(wrong=WRONG, repeated=60))


@pytest.fixture(scope="module")
def view(run: RunDirectory) -> SamplingView:
    return loaded(run)


def loaded(run: RunDirectory) -> SamplingView:
    result = section.load(run)
    assert result is not None
    return result


def sentences(view: SamplingView) -> list[str]:
    return [
        "".join(part.text if isinstance(part, Name) else part for part in sentence)
        for finding in section.findings(view)
        for sentence in finding.sentences
    ]


def test_a_run_without_the_tables_has_no_section(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    assert section.load(RunDirectory(tmp_path, run_record())) is None


def test_the_view_holds_what_the_tables_say(view: SamplingView, run: RunDirectory) -> None:
    table = {row["strategy"]: row for row in run.table("sampling_strategies").to_pylist()}
    assert [row.name for row in view.strategies] == list(table)
    assert (view.budget, view.unique, view.domains) == (5_000_000, 1_000_000, 6)
    unimax = view.strategies[2]
    assert unimax.unallocated == int(table["unimax 4"]["unallocated"]) == 1_000_000
    assert unimax.reason == table["unimax 4"]["unallocated_reason"]
    assert view.strategies[0].unallocated == 0
    assert [row.name for row in view.listed] == list(SIX)


def test_curves_pass_through_the_audited_strategies(view: SamplingView) -> None:
    assert view.strategies[0].alpha == 1.0
    assert view.strategies[1].alpha == pytest.approx(0.3)
    assert view.strategies[2].alpha is None
    at = view.alphas.index(pytest.approx(0.3))
    for row in view.curves:
        proportional, warm = row.draws[0], row.draws[1]
        assert proportional is not None and warm is not None
        assert row.shares[0] == pytest.approx(proportional.share) == pytest.approx(row.unique / view.unique)
        assert row.shares[at] == pytest.approx(warm.share)
        assert row.epochs[at] == pytest.approx(warm.epochs)
        assert row.shares[-1] == pytest.approx(1 / 6)


def test_the_trap_is_reported_where_weights_are_of_documents(view: SamplingView) -> None:
    (trap,) = view.document_weights
    by_domain = {row.domain: row for row in trap.rows}
    # 2 books of 10,000 tokens at a weight of 0.1: 0.1 x 10,000 / (0.5 x 1,000 + 0.2 x 2,000 + 0.2 x 3,000 + 1,000).
    assert by_domain["books"].weight == pytest.approx(0.1)
    assert by_domain["books"].share == pytest.approx(1000 / 2500)
    assert by_domain["books"].misread == pytest.approx(0.1)
    assert set(by_domain) == {"web/common-crawl", "code/permissive", "papers", "books"}
    assert trap.distance == pytest.approx(0.34)
    assert any("34.0 %" in sentence for sentence in sentences(view))


def test_no_trap_without_weights_of_documents(tmp_path: Path) -> None:
    view = loaded(write_sampling(tmp_path / "run", strategies=("proportional", {"weights": dict.fromkeys(SIX, 1.0)})))
    assert view.document_weights == () and view.log is None
    assert "not weights of tokens" not in section.section(view, _environment())
    assert 'id="sampler"' not in section.section(view, _environment())


def test_windows_that_differ_are_those_that_were_wrong(view: SamplingView) -> None:
    assert view.log is not None
    assert [index for index, window in enumerate(view.log.windows) if window.differs] == list(WRONG)
    assert view.log.windows[7].both
    assert {series.domain for series in view.log.series} == set(SIX)
    assert view.log.series[0].points[7].differs
    output = " ".join(sentences(view))
    assert "3 of 20 windows" in output and "350–399" in output
    assert view.log.documents[0].document == "web/common-crawl:7" and view.log.unusual == 1


def test_a_sampler_that_does_as_intended_is_not_accused(tmp_path: Path) -> None:
    view = loaded(write_sampling(tmp_path / "run", log=sampler_log()))
    assert view.log is not None
    assert not any(window.differs or window.both for window in view.log.windows)
    output = " ".join(sentences(view))
    assert "does not differ significantly" in output and "unevenly" not in output and "so often" not in output


def test_a_log_too_small_to_test_says_so(tmp_path: Path) -> None:
    view = loaded(write_sampling(tmp_path / "run", log=sampler_log(rows=60)))
    assert view.log is not None and all(window.q is None for window in view.log.windows)
    assert any("could not be tested" in sentence for sentence in sentences(view))
    assert "too few" in section.summary_lines(view)[-1]
    assert "NaN" not in section.section(view, _environment())


def test_a_log_without_loss(tmp_path: Path) -> None:
    view = loaded(write_sampling(tmp_path / "run", log=sampler_log().drop_columns(["loss"])))
    assert view.log is not None
    assert ">Loss<" not in log_chart.windows(view.log)


def test_repeats_chart_tells_used_up_from_not(view: SamplingView, tmp_path: Path) -> None:
    few = loaded(write_sampling(tmp_path / "run", strategies=({"temperature": {"alpha": 0.3}},), budget=5e5))
    used = [draw.epochs is not None and draw.epochs >= 1 for row in few.repeats for draw in row.draws if draw]
    assert 0 < sum(used) < len(used)
    chart = ET.fromstring(str(sampling_charts.repeats(few)))
    kinds = [path.get("class") for path in chart.iter("path")]
    # One mark a domain for exhaustion, and one for the expected draws, which is always filled.
    assert kinds.count("dot hollow") == len(used) - sum(used)
    assert kinds.count("dot") == sum(used) + len(used)


def test_a_thousand_domains_stay_readable(tmp_path: Path) -> None:
    domains = many_domains(1000)
    view = loaded(write_sampling(tmp_path / "run", domains, ("proportional", {"temperature": {"alpha": 0.3}}), 1e9))
    assert len(view.curves) == 8 and view.band is not None and view.band.domains == 992
    assert len(view.repeats) <= 12 and len(view.listed) == 30
    assert view.listed[0].name == "site-0000.example.org" and view.listed[-1].name == "site-0999.example.org"
    inside = zip(view.band.epochs_low, view.band.epochs_high, strict=True)
    assert all(low <= high for low, high in inside)
    page = section.section(view, _environment())
    assert "992 other domains" in page and "970 further domains" in page
    assert len(page) < 200_000


def test_one_domain(tmp_path: Path) -> None:
    view = loaded(
        write_sampling(tmp_path / "run", {"only": (10, 1000)}, ("proportional", {"temperature": {"alpha": 0.5}}))
    )
    assert view.strategies[1].alpha is None
    assert "NaN" not in section.section(view, _environment())


def test_charts_are_well_formed_and_named(view: SamplingView) -> None:
    assert view.log is not None
    charts = [
        sampling_charts.effective_tokens(view),
        sampling_charts.against_temperature(view, "share"),
        sampling_charts.against_temperature(view, "epochs"),
        sampling_charts.repeats(view),
        *(sampling_charts.document_weights(trap, index) for index, trap in enumerate(view.document_weights)),
        log_chart.windows(view.log),
    ]
    names = set()
    for chart in charts:
        root = ET.fromstring(str(chart))
        title = root.find("title")
        assert title is not None and title.text and root.get("aria-labelledby") == title.get("id")
        names.add(title.get("id"))
    assert len(names) == len(charts)


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_text_from_the_corpus_does_nothing(view: SamplingView, payload: str) -> None:
    plain = section.section(with_every_text(view, "plain"), _environment())
    hostile = section.section(with_every_text(view, payload), _environment())
    for tag in ("<script", "<img", "<iframe", "<a ", "<meta", "<link", "<form", "<base", "<style", "<svg", "<section"):
        assert hostile.count(tag) == plain.count(tag), tag
    assert not any(character in hostile for character in "\x1b\x9b\u202e\u2066\u200b")


@pytest.mark.parametrize("payload", ["plain", *EVERY_PAYLOAD])
def test_summary_lines_fit(view: SamplingView, payload: str) -> None:
    lines = section.summary_lines(with_every_text(view, payload))
    assert 1 <= len(lines) <= 4
    assert all(cell_width(line) <= 68 and line.isprintable() for line in lines)


def test_the_same_run_gives_the_same_bytes(run: RunDirectory, view: SamplingView) -> None:
    again = loaded(RunDirectory(run.folder))
    assert again == view
    assert section.section(again, _environment()) == section.section(view, _environment())


def test_every_figure_of_the_windows_is_in_the_table(view: SamplingView, run: RunDirectory) -> None:
    rows = pq.read_table(run.folder / "tables" / "sampling_log_windows.parquet").to_pylist()
    joint = [row for row in rows if row["domain"] == "(all)"]
    assert view.log is not None
    assert [window.distance for window in view.log.windows] == [row["distance"] for row in joint]
    page = section.section(view, _environment())
    for row in joint:
        steps = f"{row['first_step']}–{row['last_step']}"
        assert (f'<th scope="row">{steps}</th>' in page) == (row["q"] <= 0.05 or row["both_move"])


def test_log_axis() -> None:
    axis = LogAxis(1.0, 1000.0)
    assert [axis.at(value) for value in (0.1, 1, 10, 1000, 1e6)] == pytest.approx([0, 0, 100 / 3, 100, 100])
    assert axis.ticks() == pytest.approx([1, 10, 100, 1000])
    for values in ([], [5.0], [1e-6, 1e12], [0.99, 1.01]):
        result = LogAxis.around(values)
        assert 2 <= len(result.ticks()) <= 8
        assert all(0 <= result.at(value) <= 100 for value in values)


def test_labels_are_spread_in_order() -> None:
    placed = spread_apart([10.0, 11.0, 90.0, 12.0], 10.0, 0.0, 100.0)
    assert placed == [10.0, 20.0, 90.0, 30.0]
    assert spread_apart([99.0, 98.0], 10.0, 0.0, 100.0) == [100.0, 90.0]
