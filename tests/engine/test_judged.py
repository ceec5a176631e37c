"""Whole runs with a policy: what is published, what the verdict is held to, and that it can be told again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.checks.policy.judge import recompute
from corpus_audit.checks.policy.starters import STARTERS, starter_text
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.runners.audit.outcome import AuditOutcome
from corpus_audit.runners.audit.run import run_audit
from corpus_audit.schemas.errors import ExitCode, SpecError
from corpus_audit.schemas.run.results import Status, Verdict, read_results
from corpus_audit.schemas.spec.audit_file import load_audit
from tests.checks.policies import rule
from tests.engine.runs import write_audit

pytestmark = pytest.mark.engine


def audited(folder: Path, bpe: Path, policy: str, **spec: Any) -> AuditOutcome:
    """Audit 1,200 short documents of two domains under a policy."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    with (folder / "data" / "part.jsonl").open("w", encoding="utf-8") as file:
        for number in range(1200):
            text = f"{number} " + "the quick brown fox " * (1 + number % 7)
            file.write(json.dumps({"id": f"d{number}", "text": text, "source": "ab"[number % 2]}) + "\n")
    (folder / "policy.yaml").write_text(policy, encoding="utf-8")
    fields = {"text": "text", "id": "id", "domain": "source"}
    given = {"document": fields, "policy": "policy.yaml"} | spec
    path = write_audit(folder, [folder / "data"], bpe, **given)
    return run_audit(load_audit(path), workers=2, board=Board())


def policy_of(*rules: dict[str, object], **more: object) -> str:
    return json.dumps({"name": "p", "version": "1", "rules": list(rules)} | more)


ENOUGH = rule("size", metric="documents", fail={"minimum": 1000})


@pytest.mark.parametrize("name", STARTERS)
def test_a_starter_policy_judges_a_first_run(tmp_path: Path, bpe: Path, name: str) -> None:
    outcome = audited(tmp_path, bpe, starter_text(name, baseline=False, benchmarks=False))
    assert outcome.results is not None and outcome.results.verdict in (Verdict.PASS, Verdict.WARN)
    statuses = {status for status in outcome.results.counts if status is not Status.WAIVED}
    assert statuses <= {Status.PASS, Status.WARN}


def test_what_is_published_says_the_same_again(tmp_path: Path, bpe: Path) -> None:
    outcome = audited(tmp_path, bpe, policy_of(ENOUGH, rule("few", metric="tokens", fail={"minimum": 1e12})))
    assert outcome.results is not None and outcome.results.verdict is Verdict.FAIL
    assert outcome.results.exit_code is ExitCode.FAIL
    run = outcome.run_dir
    stored = read_results((run / "results.json").read_bytes())
    assert stored == outcome.results == recompute(run)
    files = json.loads((run / "run.json").read_bytes())["files"]
    for name in ("results.json", "policy.yaml", "gx/suite.json", "gx/validation.json", "report.html"):
        assert files[name]["sha256"] == hashlib.sha256((run / name).read_bytes()).hexdigest()
    assert (run / "policy.yaml").read_bytes() == (tmp_path / "policy.yaml").read_bytes()
    validation = json.loads((run / "gx" / "validation.json").read_bytes())
    output = {entry["expectation_config"]["kwargs"]["policy_id"]: entry["success"] for entry in validation["results"]}
    assert output == {"size": True, "few": False}


def test_a_missing_export_is_reported_and_the_verdict_stands(
    tmp_path: Path, bpe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus_audit.checks.policy.great_expectations_export.TIMEOUT", 0.001)
    outcome = audited(tmp_path, bpe, policy_of(ENOUGH))
    assert outcome.results is not None and outcome.results.verdict is Verdict.PASS
    assert outcome.notes == (
        "The run has no folder gx, Great Expectations failed: it took longer than 0.001 s. Its verdict stands.",
    )
    assert outcome.results == recompute(outcome.run_dir) and not (outcome.run_dir / "gx").exists()


def test_a_failed_integrity_rule_leaves_no_verdict_whatever_the_policy_says(tmp_path: Path, bpe: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broken.jsonl").write_text('{"text": "a", "source": "a"}\n{"text": \n' * 200)
    outcome = audited(tmp_path, bpe, policy_of(ENOUGH))
    assert outcome.results is not None and outcome.results.verdict is Verdict.NONE
    assert outcome.exit_code is ExitCode.NO_VERDICT
    bad = [
        entry for entry in outcome.results.judgements if entry.kind == "integrity" and entry.status is not Status.PASS
    ]
    assert {entry.rule for entry in bad} == {"dead_letter_budget", "shard_loss"}


def test_a_wrong_policy_stops_before_anything_is_read(tmp_path: Path, bpe: Path) -> None:
    with pytest.raises(SpecError, match=r"policy\.yaml:1:"):
        audited(tmp_path, bpe, policy_of(rule(fail={"maximum": "low"})))
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("2*"))
