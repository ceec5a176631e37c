"""By which figure a rule judges: a census by its value, samples, estimates and tests of drift by their intervals."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from corpus_audit.checks.policy.basis import Judging
from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.policy.metric_catalogue import KNOWN
from corpus_audit.schemas.run.results import FORMAT_1, Judgement, Reference, Status, Verdict, read_results
from corpus_audit.schemas.run.run_file import RunFile
from tests.checks.policies import facts, figure, metrics, policy, rule
from tests.run_files import record_of, run_json

TODAY = date(2026, 11, 25)
WHOLE = facts()


def sampled() -> RunFile:
    run = run_json()
    run["coverage"] |= {"sample_share": 0.5, "splits_counted": 2}
    return record_of(run)


def judge_row(row: dict[str, Any], run: RunFile = WHOLE, **more: Any) -> Judgement:
    more = {"metric": row["metric"], "fail": {"maximum": 0.10}} | more
    return judge(policy(rule(**more)), metrics(row), run, References(), TODAY).judgements[-1]


COPIES = figure("duplicate_share_documents", value=739 / 7239, n=7239, low=0.0861, high=0.118)


def test_copies_that_were_all_counted_are_judged_by_their_number() -> None:
    judged = judge_row(COPIES)
    assert (judged.status, judged.reason) == (Status.FAIL, "10.2 % is above 10 %.")
    assert (judged.judged, judged.judged_because) == (
        "value",
        "a fact of a corpus that was read whole, so it has no sampling error",
    )
    assert judged.observed == judged.judged_value == judged.value == 739 / 7239
    assert (judged.low, judged.high) == (0.0861, 0.118)
    within = judge_row(COPIES, fail={"maximum": 0.11})
    assert (within.status, within.reason) == (Status.PASS, "10.2 % is within the bounds.")


def test_the_same_copies_in_a_sample_are_judged_by_their_interval() -> None:
    judged = judge_row(COPIES, sampled())
    assert (judged.status, judged.judged, judged.judged_because) == (
        Status.INSUFFICIENT,
        "interval",
        "only a sample of the corpus was read",
    )
    assert judged.reason.startswith("10.2 % [8.61, 11.8 %] may be above 10 %, or may not: not enough data to tell.")
    assert judged.observed == 739 / 7239 and judged.judged_value is None


@pytest.mark.parametrize(
    ("metric", "because"),
    [
        ("near_duplicate_rate_within", "an estimate from a sample that the audit draws"),
        ("semantic_share", "an estimate from a sample that the audit draws"),
        ("drift_jsd_excess", "a test whether the snapshots differ by more than chance"),
    ],
)
def test_estimates_and_tests_are_judged_by_their_interval_in_a_census_too(metric: str, because: str) -> None:
    judged = judge_row(COPIES | {"metric": metric})
    assert (judged.status, judged.judged, judged.judged_because) == (Status.INSUFFICIENT, "interval", because)


@pytest.mark.parametrize(
    ("which", "status", "judged_value", "reason"),
    [
        ("value", Status.FAIL, 739 / 7239, "10.2 % is above 10 %."),
        ("low", Status.PASS, 0.0861, "10.2 % was observed; the lower bound 8.61 % is within the bounds."),
        ("high", Status.FAIL, 0.118, "10.2 % was observed; the upper bound 11.8 % is above 10 %."),
    ],
)
def test_a_rule_that_names_a_figure_gets_it_and_the_observed_value_stays_the_observed_one(
    which: str, status: Status, judged_value: float, reason: str
) -> None:
    judged = judge_row(COPIES, judged=which)
    assert (judged.status, judged.judged_value, judged.reason) == (status, judged_value, reason)
    assert judged.observed == 739 / 7239 and judged.judged_because == "the rule says so"
    assert judge_row(COPIES, judged="interval").status is Status.INSUFFICIENT


def test_a_difference_of_two_facts_is_a_fact() -> None:
    reference = Reference(kind="pinned", run="first", value=0.05, low=0.02, high=0.08, compare="difference")
    spec = {"kind": "pinned", "run": "first", "compare": "difference"}
    rules = policy(rule(metric=COPIES["metric"], fail={"maximum": 0.05}, reference=spec))
    results = judge(rules, metrics(COPIES), WHOLE, References({("r", "all"): reference}), TODAY)
    assert results.judgements[-1].reason == "5.21 % is above 5 %."


def test_every_metric_says_what_it_is() -> None:
    kinds = {name: metric.kind for name, metric in KNOWN.items()}
    facts_ = {"duplicate_share_documents", "contamination_share", "domain_share_tokens", "dead_letter_share",
              "length_p50_tokens", "removed_share", "domain_share_change_tokens", "tokens"}  # fmt: skip
    assert {kinds[name] for name in facts_} == {"fact"}
    assert {name for name, kind in kinds.items() if kind == "estimate"} == {
        "contamination_false_positive_rate", "near_duplicate_rate_across", "near_duplicate_rate_baseline",
        "near_duplicate_rate_within", "semantic_false_positive_rate", "semantic_share",
    }  # fmt: skip
    assert {kinds[name] for name in ("drift_jsd_excess", "drift_p", "drift_classifier_auc")} == {"drift"}


def test_a_test_without_any_interval_is_no_verdict_and_names_the_key() -> None:
    judged = judge_row(figure("drift_jsd", slice_="baseline=a", value=0.2, unit="bits"), slice="baseline=a")
    assert judged.status is Status.ERROR
    assert judged.reason == "drift_jsd has no 95 % interval; say 'judged: value' in the rule."


def test_results_of_earlier_releases_are_read_and_judged_again_as_they_were() -> None:
    rules = policy(
        rule("a", metric=COPIES["metric"], fail={"maximum": 0.10}),
        rule("b", metric=COPIES["metric"], fail={"maximum": 0.09}, judged="value"),
        rule("c", metric=COPIES["metric"], fail={"maximum": 0.09}, judged="low"),
    )
    results = judge(rules, metrics(COPIES), WHOLE, References(), TODAY, FORMAT_1)
    assert results.verdict is Verdict.NONE  # which hid the failure of b
    judged = {each.rule: each for each in results.judgements if each.kind == "rule"}
    assert (judged["a"].status, judged["a"].judged) == (Status.INSUFFICIENT, "interval")
    assert (judged["b"].status, judged["c"].status) == (Status.FAIL, Status.PASS)
    assert judged["c"].observed == 0.0861 and judged["c"].judged_value is None
    assert read_results(results.to_json()) == results
    assert judge(rules, metrics(COPIES), WHOLE, References(), TODAY).verdict is Verdict.FAIL
    assert Judging(version=FORMAT_1).effect(rules.policy.rules[0]) == "none"
