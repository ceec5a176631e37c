"""Statuses, certainty and exit codes: what fails with certainty fails; only what was not measured has no verdict."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from corpus_audit.checks.policy.empty_figures import too_little_to_test
from corpus_audit.checks.policy.judge import References, judge
from corpus_audit.checks.report.verdict.section import headline, view_of
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.results import Reference, Results, Status, Verdict, read_results
from tests.checks.policies import facts, figure, metrics, policy, rule, waiver
from tests.run_files import record_of, run_json

TODAY = date(2026, 11, 25)
FEW = "too few documents in the current snapshot that can be exchanged: their tokens are spread as over 1.2 groups"
DRIFT = "drift_jsd_excess"


def drift(id_: str, **more: Any) -> dict[str, Any]:
    return rule(id_, metric=DRIFT, slice=f"baseline={id_}", fail={"maximum": 0.01}) | more


def row(id_: str, value: float | None, low: float | None, high: float | None, reason: str | None = None) -> Any:
    given = figure(DRIFT, f"baseline={id_}", value, 9, low, high, "bits")
    return given | {"reason": reason}


ROWS = {
    "pass": row("pass", 0.001, 0.0, 0.002),
    "fail": row("fail", 0.05, 0.04, 0.06),
    "unsure": row("unsure", 0.008, 0.004, 0.012),
    "untested": row("untested", None, None, None, FEW),
    "unmeasured": row("unmeasured", None, None, None, "both hold 3 documents, and neither run measured their tokens"),
}

TABLE: list[tuple[tuple[str, ...], str, Verdict, int]] = [
    # rules                              insufficient  verdict        exit code
    (("pass",), "warn", Verdict.PASS, 0),
    (("fail",), "warn", Verdict.FAIL, 1),
    (("unsure",), "pass", Verdict.PASS, 0),
    (("unsure",), "warn", Verdict.WARN, 0),
    (("unsure",), "none", Verdict.NONE, 4),
    (("untested",), "pass", Verdict.PASS, 0),
    (("untested",), "warn", Verdict.WARN, 0),
    (("untested",), "none", Verdict.NONE, 4),
    (("unmeasured",), "pass", Verdict.NONE, 4),
    (("absent",), "pass", Verdict.NONE, 4),
    (("pass", "unmeasured"), "warn", Verdict.NONE, 4),
    (("fail", "unmeasured"), "warn", Verdict.FAIL, 1),
    (("fail", "unsure"), "none", Verdict.FAIL, 1),
    (("fail", "absent", "untested"), "none", Verdict.FAIL, 1),
    (("pass", "unsure", "untested"), "warn", Verdict.WARN, 0),
]


def judged(rules: list[dict[str, Any]], run: Any = None, **more: Any) -> Results:
    return judge(policy(*rules, **more), metrics(*ROWS.values()), run or facts(), References(), TODAY)


@pytest.mark.parametrize(("rules", "insufficient", "verdict", "code"), TABLE)
def test_statuses_certainty_and_exit_codes(
    rules: tuple[str, ...], insufficient: str, verdict: Verdict, code: int
) -> None:
    for results in (
        judged([drift(id_) for id_ in rules], insufficient=insufficient),
        judged([drift(id_, insufficient=insufficient) for id_ in rules]),
    ):
        assert (results.verdict, int(results.exit_code)) == (verdict, code)
        assert read_results(results.to_json()) == results


def test_what_was_too_little_to_test_says_why_and_what_would_be_enough() -> None:
    results = judged([drift("untested"), drift("unsure"), drift("unmeasured")])
    reasons = {entry.rule: (entry.status, entry.reason) for entry in results.judgements if entry.kind == "rule"}
    assert reasons["untested"] == (Status.INSUFFICIENT, f"Not enough data to test: {FEW}.")
    assert reasons["unsure"] == (
        Status.INSUFFICIENT,
        "0.008 [0.004, 0.012] may be above 0.01, or may not: not enough data to tell. If the value stays, an n of "
        "about 36 would be enough (it is 9).",
    )
    assert reasons["unmeasured"][0] is Status.MISSING


def test_a_failure_is_the_headline_and_what_has_no_verdict_is_named(tmp_path: Any) -> None:
    results = judged([drift("fail"), drift("absent"), drift("unsure")])
    view = view_of(results, RunDirectory(tmp_path, facts()))
    assert view.verdict == "fail"
    assert headline(view) == (
        "Of 11 judgements, 1 fails, 1 was not measured, 1 does not have enough data, 8 pass. "
        "Without a verdict besides: absent."
    )


@pytest.mark.parametrize("broken", ["status", "sampled", "manifest"])
def test_a_broken_run_has_no_verdict_but_a_sample_that_fails_does(broken: str) -> None:
    run, more, verdict = run_json(), {}, Verdict.FAIL
    if broken == "status":
        run["integrity"][0] |= {"status": "fail", "detail": "1 of 2 shards could not be read"}
        verdict = Verdict.NONE
    elif broken == "sampled":
        run["coverage"]["splits_counted"] = 3
    else:
        more = {"coverage": {"manifest": True}}
    assert judged([drift("fail")], record_of(run), **more).verdict is verdict
    assert judged([drift("pass")], record_of(run), **more).verdict is Verdict.NONE


@pytest.mark.parametrize(
    ("id_", "insufficient", "maximum", "state", "verdict"),
    [
        ("unsure", "none", 0.009, "used", Verdict.WARN),
        ("unsure", "none", 0.007, "void", Verdict.NONE),
        ("untested", "none", 0.009, "used", Verdict.WARN),
        ("untested", "warn", 0.009, "used", Verdict.WARN),
        ("untested", "pass", 0.009, "unused", Verdict.WARN),
        ("fail", "none", 0.06, "used", Verdict.WARN),
        ("unmeasured", "none", 0.009, "unused", Verdict.NONE),
    ],
)
def test_waivers_cover_failures_and_too_little_data_but_nothing_unmeasured(
    id_: str, insufficient: str, maximum: float, state: str, verdict: Verdict
) -> None:
    accepted = waiver(rule=id_, slice=f"baseline={id_}", holds_while={"maximum": maximum})
    results = judged([drift(id_, insufficient=insufficient)], waivers=[accepted])
    assert (results.waivers[0].state, results.verdict) == (state, verdict)


def test_a_band_comes_with_time_and_a_signed_run_does_not() -> None:
    spec: dict[str, Any] = {"kind": "band", "compare": "spread"}
    few = Reference(kind="band", compare="spread", runs=2, reason="2 comparable runs.", too_few_runs=True)
    rules = policy(drift("pass", reference=spec, judged="value"))
    for reference, status in ((few, Status.INSUFFICIENT), (None, Status.MISSING)):
        known = {("pass", "baseline=pass"): reference} if reference else {}
        results = judge(rules, metrics(ROWS["pass"]), facts(), References(known), TODAY)
        assert results.judgements[-1].status is status


@pytest.mark.parametrize(
    ("before", "now", "status"), [(0.0, 0.0, Status.INSUFFICIENT), (0.0, 0.1, Status.ERROR), (0.1, 0.0, Status.PASS)]
)
def test_a_ratio_to_nothing_never_passes(before: float, now: float, status: Status) -> None:
    spec = {"kind": "pinned", "run": "first", "compare": "ratio"}
    reference = Reference(kind="pinned", run="first", value=before, low=before, high=before, compare="ratio")
    rules = policy(rule(metric="duplicate_share_documents", reference=spec, fail={"maximum": 2.0}))
    rows = metrics(figure("duplicate_share_documents", value=now, low=now, high=now))
    results = judge(rules, rows, facts(), References({("r", "all"): reference}), TODAY)
    assert results.judgements[-1].status is status


@pytest.mark.parametrize(
    ("reason", "slice_", "little"),
    [
        (FEW, "baseline=a", True),
        (f"{FEW}; too few edited documents: their changes are spread as over 1.0 groups", "baseline=a", True),
        ("a side has too few images", "baseline=a", True),
        ("both hold the same images, or a side has too few", "baseline=a,domain=cats", True),
        ("fewer than 20 unshared documents on a side (9 and 0)", "baseline=a", True),
        ("no planted item is testable; no decoy is testable", "rule=gpt3", True),
        ("no planted item is testable; no threshold is set", "rule=llama3", False),
        ("the current snapshot holds no tokens", "baseline=a", False),
        ("the current snapshot holds no tokens", "baseline=a,domain=web", True),
        ("there are no tokens here", "all", False),
        ("there are no tokens here", "domain=web", True),
        ("the figure could not be made", "domain=web", False),
        (None, "domain=web", False),
        ("", "domain=web", False),
    ],
)
def test_only_known_reasons_mean_too_little_data(reason: str | None, slice_: str, little: bool) -> None:
    assert too_little_to_test(reason, slice_) is little
