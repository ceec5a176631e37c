"""``policy check|diff|explain``, ``check`` and the JSON Schema, as a user meets them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests.checks.policies import rule, waiver
from tests.checks.report.synthetic import build_run


def write(path: Path, *rules: dict[str, object], **more: object) -> Path:
    path.write_text(json.dumps({"name": "p", "version": "1", "rules": list(rules)} | more, indent=1))
    return path


DUPLICATES = rule("dup", metric="duplicate_share_documents", judged="value", fail={"maximum": 0.0001})


def run(*arguments: object) -> int:
    return run_command([str(argument) for argument in arguments], Session())


def test_check_says_what_is_wrong_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "policy.yaml"
    bad.write_text(
        "name: p\nversion: 1\nrules:\n- {id: r, title: T, fail: {maximum: 1}, owner: o, rationale: R,\n"
        "   metric: duplicate_share_document}\n"
    )
    assert run("policy", "check", bad) == 2
    assert f"{bad}:5:12: there is no metric 'duplicate_share_document' (did you mean" in capsys.readouterr().err
    assert run("policy", "check", write(tmp_path / "good.yaml", DUPLICATES)) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'good.yaml'}: 1 rule, 0 waivers; sha256 ")


def test_check_says_what_is_doubtful(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = (
        rule("r", metric="drift_jsd", slice="baseline=*"),
        rule("s", metric="tokens", slice="domain=*"),
        rule("t", metric="drift_jsd_excess", slice="baseline=*"),
    )
    old = waiver(created="2024-11-01", expires="2024-11-30", slice="baseline=x")
    path = write(tmp_path / "p.yaml", *rules, waivers=[old])
    folder = build_run(tmp_path / "run")
    assert run("policy", "check", path, "--run", folder, "--json") == 0
    result = json.loads(capsys.readouterr().out)["doubts"]
    phrases = (
        "drift_jsd has no interval",
        "'domain=*' will name none",
        "the run has no slice 'baseline=*' of drift_jsd_ex",
        "waiver W-1 expired on 2024-11-30",
    )
    for text in phrases:
        assert any(text in line for line in result), (text, result)


def test_diff_says_what_is_weaker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = write(tmp_path / "a", rule()), write(tmp_path / "b", rule(fail={"maximum": 0.9}))
    assert run("policy", "diff", before, after) == 0
    assert capsys.readouterr().out == "weaker    r: fails above 0.9 instead of above 0.5\n"
    assert run("policy", "diff", before, before, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "corpus-audit/policy-diff/1", "changes": []}


def test_explain_puts_rules_into_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "policy.yaml", DUPLICATES | {"warn": {"maximum": 0.00005}, "minimum_n": 10})
    folder = build_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert run("policy", "explain", "dup", "--run", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(line.strip() for line in lines)
    assert "Looks at: documents that repeat a text of their domain (duplicate_share_documents)." in text
    assert "Fails if the value is above 0.01 %. Warns if the value is above 0.005 %. Needs n of at least 10." in text
    assert "FAIL all: " in text
    assert run("policy", "explain", "metrics") == 0
    assert "drift_jsd_excess  [bits]" in capsys.readouterr().out
    assert run("policy", "explain", "policy.yaml", "nothing") == 2


@pytest.mark.slow
def test_check_judges_a_finished_run_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_run(tmp_path / "run")
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}
    strict = write(tmp_path / "p.yaml", DUPLICATES, coverage={"whole": False})
    code = run("check", folder, "--policy", strict, "--json")
    result = json.loads(capsys.readouterr().out)
    # The synthetic run names none of the integrity rules that a real one has, so there is no verdict.
    statuses = {entry["rule"]: entry["status"] for entry in result["not_passed"]}
    assert statuses["dup"] == "fail" and result["verdict"] in ("fail", "none")
    assert code == result["exit_code"] == {"fail": 1, "none": 4}[result["verdict"]]
    assert run("check", folder, "--policy", strict) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Verdict     ") and all(len(line) <= 80 for line in lines)
    assert any(line.startswith("✗ fail      Rule dup: ") for line in lines)
    after = {path: hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_the_schema_of_policies_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema", "policy") == 0
    assert "rules" in json.loads(capsys.readouterr().out)["properties"]


def test_check_with_a_run_proposes_rules_for_what_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = write(tmp_path / "p.yaml", rule("size", metric="tokens", fail={"minimum": 1})), tmp_path / "run"
    build_run(folder)
    assert run("policy", "check", path, "--run", folder) == 0
    text = capsys.readouterr().out
    assert "Measured in the run, and no rule judges it:" in text and "  - id: duplicates\n" in text
    assert run("policy", "check", path, "--run", folder, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert "duplicate_share_documents" in {entry["metric"] for entry in result["not_judged"]}
    pasted = tmp_path / "pasted.yaml"
    pasted.write_text(f"name: p\nversion: 1\nrules:\n{result['proposed_rules']}")
    assert run("policy", "check", pasted, "--run", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["not_judged"] == []


def test_suggest_needs_five_runs_and_prints_rules_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for day in range(4):
        build_run(tmp_path / "runs" / f"2026110{day + 1}T060000Z")
    assert run("policy", "suggest", tmp_path / "runs") == 2
    assert "has 4 runs to learn from, and suggesting bounds needs at least 5" in capsys.readouterr().err
    assert run("policy", "suggest", tmp_path / "runs", "--metric", "duplicates") == 2
    capsys.readouterr()
    build_run(tmp_path / "runs" / "20261105T060000Z")
    assert run("policy", "suggest", tmp_path / "runs") == 0
    shown = capsys.readouterr()
    assert shown.out == "" and "documents of all: more than half of 5 runs say" in shown.err
