"""Trends hold what was known when a run was published, of comparable runs alone."""

from pathlib import Path

from corpus_audit.checks.history.trends import MOST_FIGURES, MOST_RUNS, read_trends, trends_of
from corpus_audit.schemas.run.results import Bound, Reference, Status, Verdict
from corpus_audit.schemas.run.run_file import RunFile, read_run_file
from tests.checks.indexed_runs import make_run, sign
from tests.checks.report.judged_runs import judgement, results


def facts_of(run: Path) -> RunFile:
    return read_run_file(run)


def test_trends_of_comparable_runs(tmp_path: Path) -> None:
    figure = {"duplicate_share_documents": {"all": 0.01}}
    first = make_run(tmp_path, "20261101T060000Z", figure, judged=True)
    make_run(tmp_path, "20261102T060000Z", figure, tokenizer="other")
    make_run(tmp_path, "20261103T060000Z", figure)
    sign(tmp_path, "20261101T060000Z")
    result = trends_of(tmp_path, results((judgement("d", Status.FAIL),)), facts_of(first))
    assert result is not None and read_trends(result.to_json()) == result
    (trend,) = result.figures
    assert [(p.run, p.verdict, p.signed) for p in trend.points] == [
        ("20261101T060000Z", Verdict.FAIL, True), ("20261103T060000Z", None, False),
    ]  # fmt: skip
    assert (trend.value, trend.fail) == (0.0312, Bound(maximum=0.02))
    later = make_run(tmp_path, "20261201T060000Z", figure)
    assert trends_of(tmp_path, results((judgement("d", Status.FAIL),)), facts_of(later)) != result
    assert read_trends(result.to_json()) == result  # what was written stays


def test_no_earlier_run_no_trends(tmp_path: Path) -> None:
    run = make_run(tmp_path / "elsewhere", "20261101T060000Z", {})
    assert trends_of(tmp_path, results(), facts_of(run)) is None


def test_bounds_of_a_difference_are_none_of_the_value(tmp_path: Path) -> None:
    run = make_run(tmp_path, "20261101T060000Z", {"duplicate_share_documents": {"all": 0.01, "domain=a": 0.1}})
    judgements = (
        judgement("a", Status.WARN, reference=Reference(kind="pinned", run="x", value=0.1)),
        judgement("b", Status.FAIL, "domain=a", judged="low"),
    )
    result = trends_of(tmp_path, results(judgements), facts_of(run))
    assert result is not None
    assert [(t.slice, t.warn, t.fail) for t in result.figures] == [("domain=a", None, None), ("all", None, None)]


def test_sizes_are_bounded_and_failures_come_first(tmp_path: Path) -> None:
    figures = {"duplicate_share_documents": {f"domain={n}": 0.01 for n in range(40)}}
    for day in range(1, 26):
        run = make_run(tmp_path, f"202611{day:02d}T060000Z", figures)
    judgements = tuple(judgement("d", Status.FAIL if n == 33 else Status.PASS, f"domain={n}") for n in range(40))
    result = trends_of(tmp_path, results(judgements), facts_of(run))
    assert result is not None and len(result.figures) == MOST_FIGURES
    assert result.figures[0].slice == "domain=33"
    assert {len(trend.points) for trend in result.figures} == {MOST_RUNS}
    assert result.figures[0].points[-1].run == "20261125T060000Z"
