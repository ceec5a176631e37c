"""An audit that names an investigation: its findings are judged with the corpus, signed and verified with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corpus_audit.checks.signoff import VerifyOptions, trust_file, verify
from corpus_audit.checks.signoff.approve import AuthorDecision, open_pending, sign_pending, signoff_path
from corpus_audit.pipelines.progress.board import Board
from corpus_audit.runners.audit.outcome import AuditOutcome
from corpus_audit.runners.audit.run import run_audit
from corpus_audit.schemas.errors import StoreError, UsageError, VerificationError
from corpus_audit.schemas.run.results import Status, Verdict
from corpus_audit.schemas.run.trust import load_trust
from corpus_audit.schemas.spec.audit_file import load_audit
from tests.checks.policies import rule
from tests.checks.signoff.world import key
from tests.engine.runs import write_audit
from tests.runners.test_judged_investigations import write_investigation

pytestmark = pytest.mark.engine

SPIKE = {"metric": "investigation_finding", "slice": "finding=now.spike.400"}


def audited(folder: Path, bpe: Path, *rules: dict[str, Any], if_changed: bool = False) -> AuditOutcome:
    (folder / "data").mkdir(exist_ok=True)
    lines = [json.dumps({"text": f"{number} the quick brown fox", "source": "ab"[number % 2]}) for number in range(400)]
    (folder / "data" / "part.jsonl").write_text("\n".join(lines) + "\n")
    size = rule("size", metric="documents", fail={"minimum": 100})
    policy = {"name": "p", "version": "1", "rules": [size, *rules], "approvals": {"required": 1}}
    (folder / "policy.yaml").write_text(json.dumps(policy))
    spec = {"document": {"text": "text", "domain": "source"}, "policy": "policy.yaml"}
    path = write_audit(folder, [folder / "data"], bpe, **spec, investigation="teams/investigations")
    return run_audit(load_audit(path), workers=1, board=Board(), if_changed=if_changed)


def test_findings_are_judged_signed_and_verified_with_the_corpus(tmp_path: Path, bpe: Path) -> None:
    with pytest.raises(UsageError, match="holds no published investigation"):
        audited(tmp_path, bpe)
    output = write_investigation(tmp_path / "teams")
    failed = audited(tmp_path, bpe, rule("spike", **SPIKE, fail={"maximum": 0}))
    assert failed.results is not None and failed.results.verdict is Verdict.FAIL
    judgement = failed.results.judgements[-1]
    assert (judgement.rule, judgement.status, judgement.value) == ("spike", Status.FAIL, 1)
    assert "investigation_dead_letters" in {entry.metric for entry in failed.results.not_judged}

    passed = audited(tmp_path, bpe, rule("spike", **SPIKE, fail={"maximum": 1}))
    run = passed.run_dir
    record = json.loads((run / "run.json").read_text())
    assert {"investigation/findings.json", "investigation/investigation.json"} <= set(record["files"])
    now = datetime.now(UTC).replace(microsecond=0)
    trust, window = tmp_path / "trust.yaml", {"valid_from": now - timedelta(days=1), "valid_to": now + timedelta(9)}
    for name, person, pipeline in (("nightly", None, "nightly"), ("bo", "bo", None)):
        public = key(name).public_key().public_bytes_raw()
        trust_file.add_key(
            trust, name=name, public=public, person=person, pipeline=pipeline, email=None, roles=(), **window
        )
    trust_file.allow_policy(trust, record["files"]["policy.yaml"]["sha256"], "test")
    for name, decision in (("nightly", AuthorDecision("training")), ("bo", None)):
        sign_pending(open_pending(run, load_trust(trust), now), key(name), now, decision)
    path = signoff_path(tmp_path / "runs", run.name)
    verified = verify(path, load_trust(trust), VerifyOptions(at=now + timedelta(hours=1)))
    assert verified.statement.predicate.measured.run == run.name
    copy = run / "investigation" / "findings.json"
    copy.write_text(copy.read_text().replace('"shown"', '"not shown"', 1))
    with pytest.raises(VerificationError, match=r"investigation/findings\.json was changed after the run"):
        verify(path, load_trust(trust), VerifyOptions(at=now + timedelta(hours=1)))

    copy.write_text(copy.read_text().replace('"not shown"', '"shown"', 1))
    assert audited(tmp_path, bpe, rule("spike", **SPIKE, fail={"maximum": 1}), if_changed=True).unchanged
    newest = output / (output / "LATEST").read_text().strip()
    facts = newest / "investigation.json"
    facts.write_text(facts.read_text().replace('"what happened"', '"what else happened"'))
    assert not audited(tmp_path, bpe, rule("spike", **SPIKE, fail={"maximum": 1}), if_changed=True).unchanged
    (newest / "report.html").write_text("changed")
    with pytest.raises(StoreError, match=r"not as it was published: report\.html"):
        audited(tmp_path, bpe)
