"""Every way in which nothing can be judged, through Great Expectations itself."""

from __future__ import annotations

import importlib
import json
import socket
import sys
from datetime import date
from pathlib import Path
from typing import Any

import great_expectations as gx
import pytest

from corpus_audit.checks.policy import great_expectations_rules, second_opinion
from corpus_audit.checks.policy.great_expectations_rules import evaluate
from corpus_audit.checks.policy.judge import References, SecondOpinion, judge, recompute
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.model import load_report
from corpus_audit.schemas.run.results import POLICY_FILE, RESULTS_FILE, Reference, Results, Status, Verdict
from corpus_audit.schemas.run.run_file import read_run_file
from corpus_audit.schemas.spec.policy_file import LoadedPolicy
from tests.checks.policies import fact, facts, figure, metrics, policy, rule, waiver
from tests.checks.policy.test_judge import NOT_PASSING
from tests.checks.report.synthetic import build_run

TODAY = date(2026, 11, 25)


def through_gx(rules: LoadedPolicy, *rows: dict[str, Any], references: References | None = None) -> Results:
    known = references or References()
    table = metrics(*rows)
    opinions = evaluate(rules, table, known.figures).opinions
    return judge(rules, table, facts(), known, TODAY, opinions)


@pytest.mark.parametrize("case", NOT_PASSING)
def test_what_cannot_be_judged_never_passes(case: str) -> None:
    rows, more, status, reason = NOT_PASSING[case]
    rules = policy(rule(**more))
    results = through_gx(rules, *rows)
    (found,) = [one for one in results.judgements if one.rule == "r"]
    # An ``error`` could be a disagreement: the reason says that it is not.
    assert (found.status, found.reason, results.verdict) == (status, reason, Verdict.NONE)
    (opinion,) = evaluate(rules, metrics(*rows), {}).opinions.values()
    assert set(opinion.statuses.values()) == {status}


def test_rules_that_differ_only_in_id_are_both_judged() -> None:
    found = evaluate(policy(rule("a"), rule("b")), metrics(fact(value=0.9)), {})
    assert {id_: dict(one.statuses) for id_, one in found.opinions.items()} == {
        "a": {"all": Status.FAIL},
        "b": {"all": Status.FAIL},
    }
    assert [one["expectation_config"]["kwargs"]["policy_id"] for one in found.validation["results"]] == ["a", "b"]


def test_a_crashed_check_is_an_error_of_its_rule_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = great_expectations_rules.rule_judgements

    def crash(one: Any, *given: Any) -> Any:
        if one.id == "b":
            raise RuntimeError("out of luck")
        return real(one, *given)

    monkeypatch.setattr(great_expectations_rules, "rule_judgements", crash)
    results = through_gx(policy(rule("a"), rule("b"), rule("c")), fact())
    assert [(one.rule, one.status.value) for one in results.judgements if one.kind == "rule"] == [
        ("a", "pass"), ("b", "error"), ("c", "pass"),
    ]  # fmt: skip
    assert next(one for one in results.judgements if one.rule == "b").reason == "The check crashed: out of luck."
    assert results.verdict is Verdict.NONE


@pytest.mark.parametrize(
    ("opinions", "reason"),
    [
        ({}, "Great Expectations returned no result for the rule."),
        ({"r": SecondOpinion({"all": Status.WARN})}, "Great Expectations says warn here, the evaluator pass."),
        ({"r": SecondOpinion({})}, "Great Expectations judged other slices than these."),
        (
            {"r": SecondOpinion({"all": Status.PASS, "domain=a": Status.PASS})},
            "Great Expectations judged other slices than these.",
        ),
    ],
)
def test_two_evaluators_that_differ_are_an_error(opinions: dict[str, SecondOpinion], reason: str) -> None:
    results = judge(policy(rule()), metrics(fact()), facts(), References(), TODAY, opinions)
    (found,) = [one for one in results.judgements if one.rule == "r"]
    assert (found.status, found.reason) == (Status.ERROR, reason)


def test_a_waiver_covers_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = policy(rule(), waivers=[waiver()])
    results = judge(rules, metrics(fact(value=0.7)), facts(), References(), TODAY, {})
    assert results.verdict is Verdict.NONE and results.waivers[0].state == "unused"


HOSTILE = (
    "domain=$PARAMETER",
    "domain=${HOME}",
    "domain=<img src=x onerror=alert(1)>",
    "domain=*",
    "domain=a,domain=b",
)


def test_slices_are_text_and_nothing_else() -> None:
    rules = policy(rule(slice="domain=*", reference={"kind": "last_signed", "compare": "difference"}))
    reference = Reference(kind="last_signed", run="x", compare="difference", value=0.1, low=0.1, high=0.1)
    references = References({("r", name): reference for name in HOSTILE})
    results = through_gx(rules, *(fact(slice_=name, value=0.9) for name in HOSTILE), references=references)
    found = {one.slice: one.status for one in results.judgements if one.rule == "r"}
    assert found == dict.fromkeys(HOSTILE, Status.FAIL)


def test_the_suite_can_be_taken_elsewhere() -> None:
    rules = policy(rule("b"), rule("a", metric="other", judged="value", warn={"minimum": 0.2}))
    table = metrics(fact(), figure("other", value=0.3))
    first, again = evaluate(rules, table, {}), evaluate(rules, table, {})
    assert (first.suite, first.validation) == (again.suite, again.validation)
    text = json.dumps(first.suite)
    suite = gx.ExpectationSuite(**json.loads(text))
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("m")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table.to_pandas()})
    result = batch.validate(suite)
    assert result.success and len(result.results) == 2


def test_a_process_that_fails_leaves_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    asked = second_opinion.ask(policy(rule()), tmp_path, {})
    assert asked.opinions["r"].error == "Great Expectations could not be run: no such luck."
    asked.write(tmp_path)
    assert not (tmp_path / "gx").exists()
    results = judge(policy(rule()), metrics(fact()), facts(), References(), TODAY, asked.opinions)
    assert results.verdict is Verdict.NONE


NO_SOCKETS = """\
import socket
def refuse(*given, **more):
    raise SystemExit("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Check and report, in this process and in the one that Great Expectations has."""
    (tmp_path / "sitecustomize.py").write_text(NO_SOCKETS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def refuse(*given: Any, **more: Any) -> None:
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    importlib.reload(second_opinion)
    folder = build_run(tmp_path / "run")
    run = read_run_file(folder)
    rules = policy(rule(metric="duplicate_share_documents"), coverage={"whole": False})
    asked = second_opinion.ask(rules, folder, {})
    assert asked.opinions["r"].statuses, asked.opinions
    table = load_table(folder)
    results = judge(rules, table, run, References(), TODAY, asked.opinions)
    (folder / RESULTS_FILE).write_bytes(results.to_json())
    (folder / POLICY_FILE).write_bytes(rules.data)
    asked.write(folder)
    assert json.loads((folder / "gx" / "validation.json").read_bytes())["statistics"]["evaluated_expectations"] == 1
    assert "duplicate_share_documents" in render_html(load_report(folder))
    assert recompute(folder).to_json() == results.to_json()


def load_table(folder: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "tables" / "metrics.parquet")
