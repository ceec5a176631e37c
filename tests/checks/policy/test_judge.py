from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import Judgement, Reference, Results, Status, Verdict, read_results
from corpus_audit.schemas.tables.run_tables import SAME_DOCUMENTS
from tests.checks.policies import fact, facts, figure, metrics, policy, rule, waiver
from tests.run_files import record_of, run_json

TODAY = date(2026, 11, 25)


def judged(
    *rows: dict[str, Any],
    rules: list[dict[str, Any]] | None = None,
    references: References | None = None,
    run: dict[str, Any] | None = None,
    **more: Any,
) -> Results:
    rules = [rule()] if rules is None else rules
    return judge(policy(*rules, **more), metrics(*rows), run or facts(), references or References(), TODAY)


def of(results: Results, rule_id: str = "r") -> Judgement:
    (result,) = [entry for entry in results.judgements if entry.rule == rule_id]
    return result


def test_a_fact_within_its_bounds_passes() -> None:
    results = judged(fact())
    assert results.verdict is Verdict.PASS
    assert of(results).reason == "10 % is within the bounds." and of(results).next_step == ""
    assert read_results(results.to_json()) == results


@pytest.mark.parametrize(
    ("low", "high", "status", "reason"),
    [
        (0.1, 0.2, Status.PASS, "15 % [10, 20 %] is within the bounds."),
        (0.1, 0.3, Status.PASS, "15 % [10, 30 %] is within the bounds."),
        (0.1, 0.4, Status.WARN, "15 % [10, 40 %] may be above 30 %, where the rule warns."),
        (0.35, 0.5, Status.WARN, "15 % [35, 50 %] is above 30 %."),
        (0.1, 0.6, Status.INSUFFICIENT, "15 % [10, 60 %] may be above 50 %, or may not: not enough data to tell."
         " If the value stays, an n of about 1,700 would be enough (it is 1,000)."),
        (0.5, 0.6, Status.INSUFFICIENT, "15 % [50, 60 %] may be above 50 %, or may not: not enough data to tell."
         " If the value stays, an n of about 1,700 would be enough (it is 1,000)."),
        (0.51, 0.6, Status.FAIL, "15 % [51, 60 %] is above 50 %."),
        (None, 0.2, Status.INSUFFICIENT, "The figure has no 95 % interval here, and the rule judges by it."),
        (0.4, 0.2, Status.ERROR, "The lower bound lies above the upper one."),
    ],
)  # fmt: skip
def test_an_interval_has_three_answers(low: float | None, high: float, status: Status, reason: str) -> None:
    result = of(judged(figure(value=0.15, low=low, high=high), rules=[rule(warn={"maximum": 0.3})]))
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(("which", "status"), [("value", Status.WARN), ("low", Status.PASS), ("high", Status.FAIL)])
def test_a_named_figure_has_two(which: str, status: Status) -> None:
    rules = [rule(judged=which, warn={"maximum": 0.3})]
    assert of(judged(figure(value=0.4, low=0.2, high=0.6), rules=rules)).status is status


def test_a_minimum_is_judged_from_the_other_side() -> None:
    rules = [rule(fail={"minimum": 0.2})]
    assert of(judged(figure(value=0.15, low=0.1, high=0.19), rules=rules)).reason == "15 % [10, 19 %] is below 20 %."
    assert of(judged(figure(value=0.25, low=0.2, high=0.3), rules=rules)).status is Status.PASS
    assert of(judged(figure(value=0.25, low=0.1, high=0.3), rules=rules)).status is Status.INSUFFICIENT


NAN, INFINITE = float("nan"), float("inf")

NOT_PASSING: dict[str, tuple[list[dict[str, Any]], dict[str, Any], Status, str]] = {
    "missing": ([fact("other")], {}, Status.MISSING, "The run has no figure at all of metric m."),
    "missing slice": (
        [fact()],
        {"slice": "domain=web"},
        Status.MISSING,
        "The run has no slice domain=web of metric m.",
    ),
    "empty pattern": (
        [fact(), fact(slice_="baseline=last,domain=web")],
        {"slice": "domain=*"},
        Status.MISSING,
        "The run has no slice domain=* of metric m.",
    ),
    "null": ([figure(value=None)], {}, Status.MISSING, "The figure has no value: no reason is recorded."),
    "ambiguous": (
        [fact(), fact(value=0.2)],
        {},
        Status.ERROR,
        "The metric is ambiguous: the run has 2 rows of it for this slice.",
    ),
    "NaN": ([fact(value=NAN)], {}, Status.ERROR, "The figure or one of its bounds is not a finite number."),
    "infinite": ([fact(value=-INFINITE)], {}, Status.ERROR, "The figure or one of its bounds is not a finite number."),
    "infinite bound": (
        [figure(low=-INFINITE, high=0.2)],
        {},
        Status.ERROR,
        "The figure or one of its bounds is not a finite number.",
    ),
    "no n": ([fact(n=0)], {}, Status.INSUFFICIENT, "n is 0; the rule needs 1."),
    "small n": ([fact(n=99)], {"minimum_n": 1000}, Status.INSUFFICIENT, "n is 99; the rule needs 1,000."),
    "absent reference": (
        [fact()],
        {"reference": {"kind": "last_signed", "compare": "difference"}},
        Status.MISSING,
        "What it is compared with is absent.",
    ),
}


@pytest.mark.parametrize("case", NOT_PASSING)
def test_what_cannot_be_judged_never_passes(case: str) -> None:
    rows, more, status, reason = NOT_PASSING[case]
    results = judged(*rows, rules=[rule(**more)])
    assert (of(results).status, of(results).reason) == (status, reason)
    little = status is Status.INSUFFICIENT  # which warns unless the policy says otherwise
    assert results.verdict is (Verdict.WARN if little else Verdict.NONE)
    assert results.exit_code == (0 if little else 4)
    assert read_results(results.to_json()) == results


def test_rules_that_differ_only_in_id_are_both_judged() -> None:
    results = judged(fact(value=0.9), rules=[rule("a"), rule("b")])
    assert [entry.rule for entry in results.judgements if entry.status is Status.FAIL] == ["a", "b"]


def test_a_pattern_judges_every_slice_that_it_names() -> None:
    rows = [fact(slice_=f"domain={name}", value=value) for name, value in (("a", 0.1), ("b,domain=c", 0.9))]
    results = judged(fact(), *rows, rules=[rule(slice="domain=*")])
    assert [(entry.slice, entry.status.value) for entry in results.judgements if entry.rule == "r"] == [
        ("domain=a", "pass"),
        ("domain=b,domain=c", "fail"),
    ]


@pytest.mark.parametrize(
    ("compare", "status"), [("difference", Status.PASS), ("ratio", Status.FAIL), ("spread", Status.FAIL)]
)
def test_a_reference_is_compared_with_as_the_rule_says(compare: str, status: Status) -> None:
    kind = "band" if compare == "spread" else "pinned"
    more: dict[str, Any] = {"reference": {"kind": kind, "compare": compare}}
    more["reference"] |= {"run": "first"} if kind == "pinned" else {}
    more["fail"], high = {"maximum": 1.5}, 0.3 if kind == "band" else 0.2
    reference = Reference(kind=kind, run="first", value=0.2, low=0.2, high=high, compare=compare)  # type: ignore[arg-type]
    result = of(judged(fact(value=0.4), rules=[rule(**more)], references=References({("r", "all"): reference})))
    assert result.status is status and result.reference == reference
    assert result.observed == pytest.approx({"difference": 0.2, "ratio": 2.0, "spread": 2.0}[compare])


def test_the_interval_of_a_difference_has_the_uncertainty_of_both() -> None:
    reference = Reference(kind="pinned", run="first", value=0.2, low=0.16, high=0.23, compare="difference")
    rules = [rule(reference={"kind": "pinned", "run": "first", "compare": "difference"}, fail={"maximum": 0.16})]
    row = figure(value=0.3, low=0.26, high=0.33)
    # 0.1 + hypot(0.03, 0.04) = 0.15 above, 0.1 - hypot(0.04, 0.03) = 0.05 below
    result = of(judged(row, rules=rules, references=References({("r", "all"): reference})))
    assert result.reason == "10 % [5, 15 %] is within the bounds."


@pytest.mark.parametrize(
    ("more", "state", "status", "verdict"),
    [
        ({}, "used", Status.WAIVED, Verdict.WARN),
        ({"holds_while": {"maximum": 0.6}}, "void", Status.FAIL, Verdict.FAIL),
        ({"expires": "2026-11-24"}, "expired", Status.FAIL, Verdict.FAIL),
        ({"expires": "2026-11-25"}, "used", Status.WAIVED, Verdict.WARN),
        ({"created": "2026-11-26"}, "void", Status.FAIL, Verdict.FAIL),
    ],
)
def test_a_waiver_holds_for_a_time_and_a_range(
    more: dict[str, Any], state: str, status: Status, verdict: Verdict
) -> None:
    results = judged(fact(value=0.7), waivers=[waiver(**more)])
    assert (results.waivers[0].state, of(results).status, results.verdict) == (state, status, verdict)
    assert of(results).waiver == ("W-1" if state == "used" else None)


def test_a_waiver_under_which_nothing_fails_warns() -> None:
    results = judged(fact(), waivers=[waiver()])
    assert results.waivers[0].state == "unused" and results.verdict is Verdict.WARN
    assert of(results, "waiver:W-1").reason == (
        "Waiver W-1 covers nothing: no failure, and no lack of data. It is for rule r."
    )


@pytest.mark.parametrize("row", [fact("other"), fact(value=float("nan"))])
def test_a_waiver_covers_no_missing_figure_and_no_error(row: dict[str, Any]) -> None:
    results = judged(row, waivers=[waiver()])
    assert results.verdict is Verdict.NONE and results.waivers[0].state == "unused"


@pytest.mark.parametrize("broken", ["status", "absent", "incomplete", "sampled", "manifest", "benchmarks"])
def test_a_broken_promise_means_no_verdict(broken: str) -> None:
    run, more = run_json(), {}
    if broken == "status":
        run["integrity"][0] |= {"status": "fail", "detail": "1 of 2 shards could not be read"}
    elif broken == "absent":
        del run["integrity"][0]
    elif broken == "incomplete":
        run["complete"] = False
    elif broken == "sampled":
        run["coverage"]["splits_counted"] = 3
    elif broken == "manifest":
        more = {"coverage": {"manifest": True}}
    else:
        run["spec"]["benchmarks"] = [{"name": "exam"}]
    results = judged(fact(), run=record_of(run), **more)
    assert results.verdict is Verdict.NONE
    (open_,) = [entry for entry in results.judgements if entry.status is not Status.PASS]
    assert open_.kind == "integrity" and open_.reason.endswith(".")


def test_a_table_that_is_none_of_metrics_is_refused() -> None:
    with pytest.raises(StoreError, match="no column n of type int64"):
        judge(policy(rule()), metrics(fact()).drop_columns(["n"]), facts(), References(), TODAY)


def test_figures_of_the_same_documents_need_no_number_of_them() -> None:
    rules = [rule(minimum_n=1000)]
    assert of(judged(fact(value=0.0, n=7), rules=rules)).status is Status.INSUFFICIENT
    assert of(judged(fact(value=0.0, n=7) | {"reason": SAME_DOCUMENTS}, rules=rules)).status is Status.PASS
    assert of(judged(fact(value=0.9, n=7) | {"reason": SAME_DOCUMENTS}, rules=rules)).status is Status.FAIL


def test_a_figure_without_a_value_says_why_and_tables_without_reasons_are_read() -> None:
    row = figure(value=None) | {"reason": "the baseline holds no tokens"}
    assert of(judged(row)).reason == "The figure has no value: the baseline holds no tokens."
    earlier = metrics(fact()).drop_columns(["reason"])
    results = judge(policy(rule()), earlier, facts(), References(), date(2026, 11, 25))
    assert results.judgements[-1].status is Status.PASS
