from dataclasses import replace
from pathlib import Path

import pytest

from corpus_audit.checks.report.page.html import _environment, render_html
from corpus_audit.checks.report.page.model import ReportModel, load_report
from corpus_audit.checks.report.page.terminal import render_summary
from corpus_audit.checks.report.verdict import section
from corpus_audit.checks.report.verdict.records import VerdictView
from corpus_audit.checks.text import wording
from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.checks.text.sentences import Name
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import Bound, Status
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.checks.report.judged_runs import JUDGEMENTS, judgement, results, write_results
from tests.checks.report.synthetic import build_run
from tests.checks.report.test_report_page import PLAIN, Page


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> ReportModel:
    return load_report(write_results(build_run(tmp_path_factory.mktemp("judged") / "run")))


@pytest.fixture(scope="module")
def view(judged: ReportModel) -> VerdictView:
    assert judged.verdict is not None
    return judged.verdict


def text_of(view: VerdictView) -> str:
    return "".join(Page(str(section.section(view, _environment()))).text)


def test_a_run_that_was_not_judged_has_no_section(model: ReportModel) -> None:
    assert model.verdict is None
    assert 'id="verdict"' not in render_html(model)


def test_damaged_results_are_an_error(tmp_path: Path) -> None:
    run = write_results(build_run(tmp_path / "run", ["one"]))
    path = run / "results.json"
    path.write_bytes(path.read_bytes().replace(b'"verdict": "fail"', b'"verdict": "pass"'))
    with pytest.raises(StoreError, match="verdict does not follow"):
        load_report(run)


def test_what_does_not_pass_comes_first(view: VerdictView) -> None:
    assert [row.status for row in view.judgements] == [
        "fail", "insufficient", "waived", "warn", "pass", "pass", "pass",
    ]  # fmt: skip
    assert view.judgements[4].integrity
    assert len(view.not_passing) == 4 and view.verdict == "fail"


def test_every_judgement_has_all_that_a_signer_asks(view: VerdictView) -> None:
    output = text_of(view)
    for phrase in (
        "Duplicates", "domain=web/common-crawl", "3.12 %", "[3.04, 3.2 %]", "400,000", "at most 2 %",
        "3.1 % is more than 2 %.", "data@example.org", "Deduplicate the domain and run the audit again.",
        "lower bound", "0.000213", "last signed run 20261001T000000Z: 0.0001", "needs 1,000", "Waiver W-1",
        "at least 1,000", "2 approvals", "data-owner", "2026-11-24",
    ):  # fmt: skip
        assert phrase in output, phrase


def test_changes_since_the_last_sign_off(view: VerdictView) -> None:
    assert view.since is not None
    assert [(row.rule, row.before, row.status) for row in view.since.changed] == [("duplicates", "pass", "fail")]
    assert view.since.removed == (("gone", "all"),) and view.since.added == len(JUDGEMENTS) - 2
    assert view.since.same_policy and not view.since.same_snapshot
    assert [change.what for change in view.since.totals] == ["shards", "documents", "tokens"]
    assert "was pass" in text_of(view)


def test_without_a_sign_off_it_says_so(tmp_path: Path) -> None:
    run = write_results(build_run(tmp_path / "run", ["one"]), results(last=None))
    result = load_report(run).verdict
    assert result is not None and result.since is None
    assert "no comparable signed run" in text_of(result)


def test_passes_beyond_the_limit_are_counted_and_failures_are_all_shown(tmp_path: Path) -> None:
    many = tuple(judgement("a", Status.PASS, f"domain={n}") for n in range(400))
    many += tuple(judgement("b", Status.FAIL, f"domain={n}") for n in range(350))
    result = load_report(write_results(build_run(tmp_path / "run", ["one"]), results(many))).verdict
    assert result is not None
    assert result.hidden == 400 - section.LISTED_PASSES and len(result.not_passing) == 350
    assert "100 further judgements pass" in text_of(result)


def test_the_verdict_stands_first(judged: ReportModel) -> None:
    page = "".join(Page(render_html(judged)).text)
    assert page.index("Failed") < page.index("Summary") < page.index("Every judgement, with the observed figure")
    assert page.index("Every judgement, with") < page.index("Domains")
    assert "this page describes the corpus and judges nothing" not in page.replace("\n", " ")
    lines = render_summary(judged, "report.html").splitlines()
    assert lines[0].endswith("✗ FAIL") and any(line.startswith("Verdict") for line in lines)
    assert max(cell_width(line) for line in lines) <= 80


@pytest.mark.parametrize(
    ("statuses", "mark"),
    [((Status.PASS,), "✓ PASS"), ((Status.WARN,), "! WARN"), ((Status.FAIL, Status.WARN), "✗ FAIL")],
)
def test_the_summary_shows_each_verdict(judged: ReportModel, statuses: tuple[Status, ...], mark: str) -> None:
    name = section.WORDS
    verdicts = {"✓ PASS": "pass", "! WARN": "warn", "✗ FAIL": "fail"}
    shown = replace(judged, verdict=replace(judged.verdict, verdict=verdicts[mark]))  # type: ignore[type-var]
    assert render_summary(shown, "r").splitlines()[0].endswith(mark)
    assert name[verdicts[mark]][2] in render_html(shown)  # type: ignore[index]


def test_findings_name_what_does_not_pass(view: VerdictView) -> None:
    (finding,) = section.findings(view)
    output = ["".join(p.text if isinstance(p, Name) else p for p in s) for s in finding.sentences]
    assert output[0].startswith("Failed under policy pretraining 3. Of 7 judgements, 1 fails, 1 does not have ")
    assert output[0].endswith("Without a verdict besides: few.")
    assert output[1] == "Fails: Duplicates of domain=web/common-crawl – 3.1 % is more than 2 %."
    assert output[-1] == "Since the last signed run, 20261001T000000Z, 1 judgement changed."


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_hostile_text_is_inert(view: VerdictView, payload: str) -> None:
    benign = Page(str(section.section(with_every_text(view, PLAIN), _environment())))
    text = str(section.section(with_every_text(view, payload), _environment()))
    attacked = Page(text)
    assert (attacked.elements, attacked.attributes) == (benign.elements, benign.attributes)
    assert {value for _, _, value in attacked.values} <= {value for _, _, value in benign.values}
    assert [c for c in text if not c.isprintable() and c not in "\n\u00a0"] == []


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.05, "share", "5 %"), (1.0, "share", "100 %"), (0.99951, "share", "99.951 %"), (-0.031, "share", "−3.1 %"),
        (400000.0, "documents", "400,000"), (0.000213, "bits", "0.000213"), (None, "share", "–"),
        (1e300, "tokens", "1e+300"),
    ],
)  # fmt: skip
def test_figures_are_in_their_unit(value: float | None, unit: str, shown: str) -> None:
    assert wording.figure(value, unit) == shown


def test_bounds_in_words() -> None:
    assert wording.bound_text(Bound(minimum=0.1, maximum=0.2), "share") == "10 % to 20 %"
    assert wording.bound_text(Bound(minimum=3.0), "documents") == "at least 3"
    assert wording.bound_text(Bound(), "share") == "" == wording.bound_text(None, "share")
