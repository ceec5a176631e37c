"""What a sign-off has to withstand: one attack for every reason for which it is refused, each with its own code."""

import json
import subprocess
from datetime import timedelta

import pytest

from corpus_audit.checks.signoff import trust_file
from corpus_audit.checks.signoff.dsse import read_envelope
from corpus_audit.checks.signoff.ledger import append, new_entry, read_ledger
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run.signoff import Refusal, read_plan
from tests.checks.signoff.attacks import ATTACKS, edit_trust, flip, ledger_lines, refusal, retire
from tests.checks.signoff.world import LATER, NOW, SHARDS, STRATEGY, build_world, sign_world


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return sign_world(build_world(tmp_path_factory.mktemp("signed") / "world"))


@pytest.fixture
def world(original, tmp_path):
    return original.copy(tmp_path / "world")


@pytest.mark.parametrize(
    ("code", "attack"), [pytest.param(*item[1:], id=item[0].replace(" ", "-")) for item in ATTACKS]
)
def test_attacks_are_refused_each_with_its_code(world, code, attack):
    assert world.verify().approvers == ("bo", "cy")
    attack(world)
    assert refusal(world) == code


def test_what_the_caller_requires_is_compared_with_the_sign_off(world, tmp_path):
    head = world.verify().head
    plan = read_plan(world.signed.with_name("20261125T120000Z.plan.json").read_bytes())
    assert plan.strategy == STRATEGY and world.verify(plan=plan, head=head).leaves_open == ()
    more = plan.model_copy(update={"tokens": "2000000.0"})
    assert refusal(world, plan=more) == "plan_mismatch"
    assert refusal(world, head="0" * 63 + "1") == "ledger_head"
    assert refusal(world, at=NOW + timedelta(days=45)) == "waiver_expired"
    assert refusal(world, at=NOW + timedelta(days=91)) == "time_expired"
    assert refusal(world, at=NOW - timedelta(days=1)) == "time_future"
    with pytest.raises(VerificationError) as refused:
        read_plan(b'{"schema":"corpus-audit/plan/1","strategy":"x"}')
    assert refused.value.code == "plan_unreadable"
    world.options.clear()
    world.rewrite("timings.json", b"{}")
    assert refusal(world) == "corpus_unknown"


def test_files_that_the_audit_would_not_read_are_no_shards(world):
    (world.corpus / "web/notes.txt").write_text("x")
    (world.corpus / "deeper" / "still").mkdir(parents=True)
    (world.corpus / "deeper" / "still" / "e.jsonl").write_text("{}")
    assert world.verify().hashed == 3


def test_where_shards_cannot_be_listed_that_is_left_open(world):
    world.rewrite("timings.json", json.dumps({"corpus": str(world.corpus)}).encode())
    (world.corpus / "web/d.jsonl").write_bytes(b"{}")
    assert any("take the names of shards from the manifest" in sentence for sentence in world.verify().leaves_open)


def test_a_waiver_of_somebody_unknown_is_left_open(world):
    edit_trust(world, "email: ana@example.org", "email: other@example.org")
    assert any("is not in the trust file" in sentence for sentence in world.verify().leaves_open)


def test_a_plan_is_required_and_none_was_signed(tmp_path):
    world = build_world(tmp_path)
    for name in ("nightly", "bo", "cy"):
        world.sign(name)
    plan = sign_world(build_world(tmp_path / "other")).signed.with_name("20261125T120000Z.plan.json")
    assert refusal(world, plan=read_plan(plan.read_bytes())) == "plan_absent"


def test_every_refusal_has_an_attack():
    tested_below = {"plan_mismatch", "plan_absent", "plan_unreadable", "ledger_head", "corpus_unknown"}
    assert {code.value for _, code, _ in ATTACKS} | tested_below == {code.value for code in Refusal}
    assert len(ATTACKS) >= 60


def test_a_compromised_key_counts_where_a_head_was_published_before(world):
    head = read_ledger(world.ledger).head
    trust_file.revoke_key(world.trust, "bo-1", LATER, "compromised")
    assert refusal(world) == "key_compromised"
    assert world.verify(head=head).head == head
    assert refusal(world, detached=True) == "key_compromised"
    before = read_ledger(world.ledger).entries[1].digest
    assert refusal(world, head=before) == "key_compromised"
    edit_trust(world, "when: '2026-11-25T13:00:00Z'", "when: '2026-11-25T12:01:30Z'")
    assert refusal(world, head=head) == "key_compromised"


def test_a_retired_key_still_counts_for_what_it_signed(world):
    retire(world, LATER)
    assert world.verify().approvers == ("bo", "cy")
    assert refusal(world, detached=True) == "key_retired"


def test_a_pipeline_is_no_person(world):
    payload = read_envelope(world.signed.read_bytes()).payload
    edit_trust(world, "approvals: 1", "approvals: 2")
    world.forge(payload, ("nightly", "bo"))
    assert refusal(world) == "signature_threshold"


def test_a_truncated_ledger_is_found_against_the_head_only(world):
    """An entry followed and was cut off: the sign-off before it still verifies, and a published head shows it."""
    ledger = read_ledger(world.ledger)
    entry = new_entry(ledger, moment=NOW, run="later", statement="1" * 64, envelope="2" * 64, signers=["3" * 64])
    published = append(world.ledger, ledger, entry).head
    assert world.verify(head=published).head == published
    ledger_lines(world, lambda lines: lines[:-1])
    assert any("cut off" in sentence for sentence in world.verify().leaves_open)
    assert refusal(world, head=published) == "ledger_head"


def test_a_sample_says_what_it_would_find(world):
    verified = world.verify(sample=1)
    assert verified.hashed == 1 and verified.detection == pytest.approx(1 / 3)
    assert any("2 of 3 shards" in sentence for sentence in verified.leaves_open)
    flip(world.corpus / "code/a.jsonl")
    result = sum(1 for _ in range(60) if _refused(world))
    assert 5 < result < 40
    assert refusal(world, sample=3) == "shard_changed"


def _refused(world):
    try:
        world.verify(sample=1)
    except VerificationError:
        return True
    return False


def test_detached_says_what_it_leaves_open(world):
    world.ledger.unlink()
    verified = world.verify(detached=True)
    assert verified.head is None and any("without the ledger" in sentence for sentence in verified.leaves_open)


def test_the_manifest_is_one_of_coreutils(original):
    manifest = original.run / "MANIFEST.sha256"
    done = subprocess.run(
        ["sha256sum", "-c", manifest], cwd=original.corpus, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.count(": OK") == len(SHARDS)
