"""The export for users of Great Expectations: through itself, what cannot be judged never passes there either."""

from __future__ import annotations

import json
import socket
import sys
from datetime import date
from pathlib import Path
from typing import Any

import great_expectations as gx
import pytest

from corpus_audit.checks.policy import great_expectations_export, great_expectations_rules
from corpus_audit.checks.policy.great_expectations_export import GreatExpectationsExport
from corpus_audit.checks.policy.great_expectations_rules import Evaluation, evaluate
from corpus_audit.checks.policy.judge import References, judge, recompute
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.model import load_report
from corpus_audit.schemas.run.results import POLICY_FILE, RESULTS_FILE, Reference, Status, Verdict
from corpus_audit.schemas.run.run_file import read_run_file
from corpus_audit.schemas.spec.policy_file import LoadedPolicy
from tests.checks.policies import fact, facts, figure, metrics, policy, rule
from tests.checks.policy.test_judge import NOT_PASSING
from tests.checks.report.synthetic import build_run

TODAY = date(2026, 11, 25)


def statuses(evaluation: Evaluation) -> dict[str, dict[str, str]]:
    """Rule id -> slice -> status, as Great Expectations' own results say; of a rule that crashed, nothing."""
    return {
        one["expectation_config"]["kwargs"]["policy_id"]: {
            row["slice"]: row["status"] for row in one["result"].get("details", {}).get("slices", ())
        }
        for one in evaluation.validation["results"]
    }


@pytest.mark.parametrize("case", NOT_PASSING)
def test_what_cannot_be_judged_never_passes(case: str) -> None:
    rows, more, status, reason = NOT_PASSING[case]
    rules = policy(rule(**more))
    results = judge(rules, metrics(*rows), facts(), References(), TODAY)
    (judged,) = [one for one in results.judgements if one.rule == "r"]
    little = status is Status.INSUFFICIENT
    assert (judged.status, judged.reason) == (status, reason)
    assert results.verdict is (Verdict.WARN if little else Verdict.NONE)
    evaluation = evaluate(rules, metrics(*rows), {})
    (result,) = evaluation.validation["results"]
    (export_result,) = result["result"]["details"]["slices"]
    assert (export_result["status"], export_result["reason"]) == (status, reason)
    assert not result["success"] and not evaluation.validation["success"]


def test_rules_that_differ_only_in_id_are_both_judged() -> None:
    evaluation = evaluate(policy(rule("a"), rule("b")), metrics(fact(value=0.9)), {})
    assert statuses(evaluation) == {"a": {"all": Status.FAIL}, "b": {"all": Status.FAIL}}
    assert list(statuses(evaluation)) == ["a", "b"]


def test_a_rule_that_crashes_in_great_expectations_fails_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = great_expectations_rules.rule_judgements

    def crash(one: Any, *given: Any) -> Any:
        if one.id == "b":
            raise RuntimeError("out of luck")
        return real(one, *given)

    monkeypatch.setattr(great_expectations_rules, "rule_judgements", crash)
    evaluation = evaluate(policy(rule("a"), rule("b"), rule("c")), metrics(fact()), {})
    assert [one["success"] for one in evaluation.validation["results"]] == [True, False, True]
    assert statuses(evaluation)["b"] == {}
    crashed = evaluation.validation["results"][1]["exception_info"]
    assert crashed == {"raised_exception": True, "exception_message": "out of luck."}


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
    table = metrics(*(fact(slice_=name, value=0.9) for name in HOSTILE))
    results = judge(rules, table, facts(), references, TODAY)
    judged = {one.slice: one.status for one in results.judgements if one.rule == "r"}
    assert judged == dict.fromkeys(HOSTILE, Status.FAIL)
    assert statuses(evaluate(rules, table, references.figures)) == {"r": judged}


def test_the_suite_can_be_moved() -> None:
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


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'no such luck' >&2; exit 3", "no such luck"),
        ("exit 3", "it ended with code 3"),
        ("exec sleep 60", "sleep"),
    ],
)
def test_a_process_that_fails_or_is_slow_leaves_no_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, problem: str
) -> None:
    failing = tmp_path / "python"
    failing.write_text(f"#!/bin/sh\n{script}\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    if problem == "sleep":
        monkeypatch.setattr(great_expectations_export, "TIMEOUT", 0.2)
        problem = f"it took longer than {great_expectations_export.TIMEOUT:g} s"
    with GreatExpectationsExport() as export:
        export_result = export.write(policy(rule()), tmp_path, {})
    assert export_result == f"The run has no folder gx, Great Expectations failed: {problem}. Its verdict stands."
    assert not (tmp_path / "gx").exists()
    assert export._process is not None and export._process.poll() is not None


def test_a_process_that_cannot_be_started_leaves_no_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with GreatExpectationsExport() as export:
        assert "No such file or directory" in export.write(policy(rule()), tmp_path, {})


def test_an_answer_is_kept_for_the_same_rules_and_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requests: list[bytes] = []

    def answer(self: GreatExpectationsExport, request: bytes) -> bytes:
        requests.append(request)
        return json.dumps({"suite": {"number": len(requests)}, "validation": {}}).encode()

    monkeypatch.setattr(GreatExpectationsExport, "_answer", answer)

    def number(rules: LoadedPolicy, figures: bytes, references: dict[tuple[str, str], Reference]) -> int:
        run = tmp_path / str(len(list(tmp_path.iterdir())))
        (run / "tables").mkdir(parents=True)
        (run / "tables" / "metrics.parquet").write_bytes(figures)
        with GreatExpectationsExport(tmp_path / "kept", likely_kept=True) as export:
            assert export.write(rules, run, references) == ""
            assert export._process is None
        return int(json.loads((run / "gx" / "suite.json").read_bytes())["number"])

    reference = {("r", "all"): Reference(kind="pinned", value=0.5)}
    assert [number(policy(rule()), b"1", {}) for _ in range(2)] == [1, 1]
    assert number(policy(rule()), b"2", {}) == 2
    assert [number(policy(rule()), b"2", reference) for _ in range(2)] == [3, 3]
    assert number(policy(rule(), name="other"), b"2", reference) == 4
    assert number(policy(rule()), b"2", reference) == 3
    [kept] = [path for path in (tmp_path / "kept").iterdir() if b'"number":3' in path.read_bytes().replace(b" ", b"")]
    kept.write_bytes(b"{")
    assert number(policy(rule()), b"2", reference) == 5


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
    folder = build_run(tmp_path / "run")
    run = read_run_file(folder)
    rules = policy(rule(metric="duplicate_share_documents"), coverage={"whole": False})
    results = judge(rules, load_table(folder), run, References(), TODAY)
    (folder / RESULTS_FILE).write_bytes(results.to_json())
    (folder / POLICY_FILE).write_bytes(rules.data)
    with GreatExpectationsExport() as export:
        assert export.write(rules, folder, {}) == ""
    assert json.loads((folder / "gx" / "validation.json").read_bytes())["statistics"]["evaluated_expectations"] == 1
    assert "duplicate_share_documents" in render_html(load_report(folder))
    assert recompute(folder).to_json() == results.to_json()


def load_table(folder: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "tables" / "metrics.parquet")
