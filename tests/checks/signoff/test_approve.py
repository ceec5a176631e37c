"""Who can sign a run, which run can be signed, and a signature whose ledger entry was not written."""

import json

import pytest

from corpus_audit.checks.signoff.approve import AuthorDecision
from corpus_audit.schemas.errors import NotSignableError, NoVerdictError, UsageError, VerificationError
from corpus_audit.schemas.run import strict_json
from tests.checks.signoff.test_verification import flip, refusal
from tests.checks.signoff.world import STRATEGY, build_world, sign_world


def test_roles_of_author_and_approver(tmp_path):
    world = build_world(tmp_path)
    pending = world.sign("nightly", decision=AuthorDecision("training"), strategy=STRATEGY)
    assert (pending.missing, pending.missing_roles) == (2, ["research-lead"])
    with pytest.raises(VerificationError, match="asked for the waiver"):
        world.sign("ana")
    with pytest.raises(UsageError, match="already signed"):
        world.sign("nightly")
    with pytest.raises(UsageError, match="signs it as it is"):
        world.sign("cy", decision=AuthorDecision("more"))
    with pytest.raises(UsageError, match="not in the trust file"):
        world.sign("mallory")
    with pytest.raises(UsageError, match="binds temperature"):
        world.sign("cy", strategy="proportional")
    assert world.sign("cy").missing == 1
    after = world.sign("bo")
    assert (after.missing, after.missing_roles) == (0, [])
    assert world.verify().author == "nightly"


def test_a_person_who_is_the_author_does_not_approve(tmp_path):
    world = build_world(tmp_path)
    world.sign("bo")
    with pytest.raises(UsageError, match="already signed"):
        world.sign("bo")
    world.sign("cy")
    assert refusal(world) == "signature_threshold"


def test_a_pipeline_does_not_approve(tmp_path):
    world = build_world(tmp_path)
    world.sign("bo")
    with pytest.raises(UsageError, match="only people approve"):
        world.sign("nightly")


def test_a_failed_run_is_not_signed(tmp_path):
    with pytest.raises(NotSignableError, match="duplicates") as refused:
        build_world(tmp_path, waived=False).sign("nightly")
    assert refused.value.exit_code == 1


@pytest.mark.parametrize("status", ["insufficient", "missing", "error"])
def test_a_run_without_verdict_is_not_signed(tmp_path, status):
    world = sign_world(build_world(tmp_path))
    value = json.loads((world.run / "results.json").read_bytes())
    value["judgements"][-1]["status"] = status
    counts = {"pass": len(value["judgements"]) - 2, "waived": 1, status: 1}
    world.rewrite("results.json", strict_json.dumps(value | {"verdict": "none", "counts": counts}, indent=1))
    assert refusal(world) == "verdict"
    world.signed.unlink()
    with pytest.raises(NoVerdictError) as refused:
        world.sign("nightly")
    assert refused.value.exit_code == 4


def test_a_run_that_was_not_judged_is_not_signed(tmp_path):
    world = build_world(tmp_path)
    (world.run / "results.json").unlink()
    known = json.loads((world.run / "run.json").read_bytes())
    del known["files"]["results.json"]
    (world.run / "run.json").write_bytes(json.dumps(known).encode())
    with pytest.raises(NoVerdictError, match="was not judged"):
        world.sign("nightly")


def test_a_damaged_run_is_not_signed(tmp_path):
    world = build_world(tmp_path)
    flip(world.run / "tables" / "metrics.parquet")
    with pytest.raises(VerificationError):
        world.sign("nightly")
    assert not world.signed.exists() and not world.ledger.exists()


def test_a_kill_between_sign_off_and_ledger_is_made_good(tmp_path):
    world = build_world(tmp_path)
    world.sign("nightly")
    world.sign("bo")
    before = world.ledger.read_bytes()
    world.sign("cy")
    world.ledger.write_bytes(before)
    assert refusal(world) == "ledger_entry"
    with pytest.raises(UsageError, match="already signed"):
        world.sign("cy")
    assert world.verify().approvers == ("bo", "cy")
