"""Attacks on a sign-off: one at least for every reason for which it is refused, and what making them takes."""

import base64
import hashlib
import json
import shutil
from datetime import timedelta

import pytest

from corpus_audit.checks.signoff import trust_file
from corpus_audit.checks.signoff.dsse import Envelope, read_envelope
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.signoff import Refusal
from tests.checks.signoff.world import LATER, NOW, SHARDS


def refusal(world, **options):
    """The code with which a verification is refused."""
    with pytest.raises(VerificationError) as refused:
        world.verify(**options)
    assert refused.value.exit_code == 7 and str(refused.value)
    return refused.value.code


def envelope(world):
    return json.loads(world.signed.read_bytes())


def rewrap(world, change):
    value = envelope(world)
    change(value)
    world.signed.write_bytes(json.dumps(value).encode())


def flip(path, at=None, bit=0):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1 << bit
    path.write_bytes(bytes(data))


def edit_trust(world, old, new):
    text = world.trust.read_text()
    assert old in text
    world.trust.write_text(text.replace(old, new))


def ledger_lines(world, change):
    world.ledger.write_bytes(b"".join(change(world.ledger.read_bytes().splitlines(keepends=True))))


def set_(*path, to):
    def change(value):
        for name in path[:-1]:
            value = value[name]
        value[path[-1]] = to

    return change


MEASURED, DECISION = ("predicate", "measured"), ("predicate", "decision")


def flipped_payload(world):
    def change(value):
        payload = bytearray(base64.b64decode(value["payload"]))
        payload[40] ^= 4
        value["payload"] = base64.b64encode(payload).decode()

    rewrap(world, change)


def loose_base64(world):
    """The 64 bytes of a signature end in two characters of which the last has four free bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def change(value):
        sig = value["signatures"][0]["sig"]
        other = sig[:-3] + alphabet[alphabet.index(sig[-3]) ^ 1] + "=="
        assert base64.b64decode(other) == base64.b64decode(sig)
        value["signatures"][0]["sig"] = other

    rewrap(world, change)


def twice_in_payload(world):
    payload = read_envelope(world.signed.read_bytes()).payload
    world.forge(payload.replace(b'"_type"', b'"_type":"x","_type"', 1))


def weaker_policy(world):
    """A policy with looser bounds, judged, signed and entered by the right people."""
    text = (world.run / "policy.yaml").read_bytes().replace(b'"maximum": 0.5', b'"maximum": 0.9')
    digest = hashlib.sha256(text).hexdigest()
    world.rewrite("policy.yaml", text, set_(*MEASURED, "policy", "digest", "sha256", to=digest))


def other_runs_results(world):
    data = (world.run / "results.json").read_bytes().replace(b'"run": "20261125', b'"run": "20261124', 1)
    world.rewrite("results.json", data)


def foreign_run_file(world):
    """`run.json` with a key that no version wrote; its new digest is in the statement, and everybody signed."""
    path = world.run / "run.json"
    path.write_bytes(strict_json.dumps(json.loads(path.read_bytes()) | {"x": 1}))
    world.rewrite("timings.json", (world.run / "timings.json").read_bytes())


def better_results(world):
    """The waived failure written as a pass: digests, statement and signatures all agree with it."""
    value = json.loads((world.run / "results.json").read_bytes())
    for entry in value["judgements"]:
        entry["status"] = "pass"
    value |= {"verdict": "pass", "counts": {"pass": len(value["judgements"])}, "waivers": []}

    def change(statement):
        statement["predicate"]["measured"] |= {"verdict": "PASSED", "counts": value["counts"], "waivers": []}

    world.rewrite("results.json", strict_json.dumps(value, indent=1), change)


def swapped_shards(world):
    """Two shards trade names in the manifest."""
    lines = (world.run / "MANIFEST.sha256").read_text().splitlines()
    (a, first), (b, second) = (line.split("  ") for line in lines[:2])
    world.rewrite("MANIFEST.sha256", "\n".join([f"{b}  {first}", f"{a}  {second}", *lines[2:], ""]).encode())


def unsafe_manifest(world):
    text = (world.run / "MANIFEST.sha256").read_text()
    world.rewrite("MANIFEST.sha256", text.replace("code/a.jsonl", "../a.jsonl").encode())


def signed_again_elsewhere(world):
    """The entry that began it is taken out and the rest chained anew: it stands at another place of the ledger."""
    world.restate(set_("predicate", "ledger", "sequence", to="1"))


def older_version(world):
    """The sign-off as it was before its last signature: what stands there is whole, but it is not the newest."""
    value = read_envelope(world.signed.read_bytes())
    world.signed.write_bytes(Envelope(value.payload_type, value.payload, value.signatures[:-1]).to_json())


def retire(world, moment):
    trust_file.revoke_key(world.trust, "bo-1", moment, "retired")


ATTACKS = [
    ("no sign-off", Refusal.SIGNOFF_UNREADABLE, lambda w: w.signed.unlink()),
    ("eleven megabytes", Refusal.ENVELOPE_SIZE, lambda w: w.signed.write_bytes(b" " * 11 * 2**20)),
    ("a key of the envelope twice", Refusal.ENVELOPE_JSON,
     lambda w: w.signed.write_bytes(w.signed.read_bytes().replace(b'{"payload"', b'{"payload":"","payload"', 1))),
    ("no signature", Refusal.ENVELOPE_FORMAT, lambda w: rewrap(w, set_("signatures", to=[]))),
    ("base64 with another spelling", Refusal.ENVELOPE_BASE64, loose_base64),
    ("one key under two names", Refusal.TRUST_KEY_TWICE, lambda w: w.trust.write_text(
        w.trust.read_text().replace(w.trust.read_text().split("public: ")[2][:64],
                                    w.trust.read_text().split("public: ")[1][:64]))),
    ("a payload bit flipped", Refusal.SIGNATURE_UNKNOWN, flipped_payload),
    ("a signature bit flipped", Refusal.SIGNATURE_UNKNOWN, lambda w: rewrap(w, set_(
        "signatures", 0, "sig", to=base64.b64encode(bytes(64)).decode()))),
    ("an unknown key signed", Refusal.SIGNATURE_UNKNOWN,
     lambda w: w.forge(read_envelope(w.signed.read_bytes()).payload, ("nightly", "bo", "mallory"))),
    ("a key id that lies does not help", Refusal.SIGNATURE_UNKNOWN, lambda w: (
        w.forge(read_envelope(w.signed.read_bytes()).payload, ("nightly", "bo", "mallory")),
        rewrap(w, set_("signatures", 2, "keyid", to=envelope(w)["signatures"][1]["keyid"])))),
    ("one signature twice", Refusal.SIGNATURE_REPEATED,
     lambda w: rewrap(w, lambda v: v["signatures"].append(v["signatures"][1]))),
    ("one approval of two", Refusal.SIGNATURE_THRESHOLD,
     lambda w: w.forge(read_envelope(w.signed.read_bytes()).payload, ("nightly", "bo"))),
    ("nobody but the pipeline", Refusal.SIGNATURE_THRESHOLD,
     lambda w: w.forge(read_envelope(w.signed.read_bytes()).payload, ("nightly",))),
    ("the author approves", Refusal.SIGNATURE_THRESHOLD,
     lambda w: w.restate(set_(*DECISION, "author", to="bo"), signers=("bo", "cy"))),
    ("the trust file asks for more", Refusal.SIGNATURE_THRESHOLD,
     lambda w: edit_trust(w, "approvals: 1", "approvals: 3")),
    ("another payload type", Refusal.PAYLOAD_TYPE,
     lambda w: w.forge(read_envelope(w.signed.read_bytes()).payload, kind="application/json")),
    ("a key of the statement twice", Refusal.STATEMENT_JSON, twice_in_payload),
    ("another statement type", Refusal.STATEMENT_TYPE,
     lambda w: w.restate(set_("_type", to="https://in-toto.io/Statement/v0.1"))),
    ("another predicate", Refusal.PREDICATE_TYPE,
     lambda w: w.restate(set_("predicateType", to="https://in-toto.io/attestation/test-result/v0.1"))),
    ("a field that nobody knows", Refusal.STATEMENT_FORMAT, lambda w: w.restate(set_(*DECISION, "also", to="x"))),
    ("a time that does not exist", Refusal.STATEMENT_FORMAT,
     lambda w: w.restate(set_(*DECISION, "validUntil", to="2027-02-30T00:00:00Z"))),
    ("a run's name that leaves the folder", Refusal.STATEMENT_FORMAT,
     lambda w: w.forge(strict_json.dumps(w.statement()).replace(b"20261125T120000Z", b"../x"), run="../x")),
    ("a statement from the future", Refusal.TIME_FUTURE,
     lambda w: w.restate(set_(*DECISION, "timeCreated", to="2026-11-26T00:00:00Z"))),
    ("a signature from the future", Refusal.TIME_FUTURE, lambda w: w.forge(
        read_envelope(w.signed.read_bytes()).payload, moments=(NOW, NOW, LATER + timedelta(hours=1)))),
    ("a sign-off that has run out", Refusal.TIME_EXPIRED,
     lambda w: w.restate(set_(*DECISION, "validUntil", to="2026-11-25T12:30:00Z"))),
    ("a key from before its time", Refusal.KEY_NOT_YET_VALID,
     lambda w: edit_trust(w, "2026-11-15T12:00:00Z", "2026-11-25T12:30:00Z")),
    ("a key after its time", Refusal.KEY_EXPIRED,
     lambda w: edit_trust(w, "valid_to: '2027-11-25T12:00:00Z'", "valid_to: '2026-11-25T11:00:00Z'")),
    ("a key that was retired before it signed", Refusal.KEY_RETIRED, lambda w: retire(w, NOW)),
    ("a key that was compromised later", Refusal.KEY_COMPROMISED,
     lambda w: trust_file.revoke_key(w.trust, "bo-1", LATER, "compromised")),
    ("an author who did not sign", Refusal.AUTHOR_UNSIGNED, lambda w: w.restate(set_(*DECISION, "author", to="ana"))),
    ("who asked for the waiver approves", Refusal.WAIVER_OWNER_APPROVES,
     lambda w: w.forge(read_envelope(w.signed.read_bytes()).payload, ("nightly", "bo", "ana"))),
    ("nobody of a role that is needed", Refusal.ROLE_MISSING,
     lambda w: edit_trust(w, "[research-lead]", "[intern]")),
    ("a weaker policy, correctly signed", Refusal.POLICY_NOT_ALLOWED, weaker_policy),
    ("a policy that was taken off the list", Refusal.POLICY_NOT_ALLOWED,
     lambda w: edit_trust(w, "sha256: ", "sha256: " + "ab" * 32 + " # ")),
    ("a waiver that has run out", Refusal.WAIVER_EXPIRED,
     lambda w: w.restate(set_(*MEASURED, "waivers", 0, "expires", to="2026-11-24"))),
    ("a value worse than the waiver holds for", Refusal.WAIVER_VOID,
     lambda w: w.restate(set_(*MEASURED, "waivers", 0, "observed", to=0.95))),
    ("no ledger", Refusal.LEDGER_MISSING, lambda w: w.ledger.unlink()),
    ("a ledger entry edited", Refusal.LEDGER_FORMAT,
     lambda w: ledger_lines(w, lambda lines: [lines[0].replace(b"T12:00", b"T11:00"), *lines[1:]])),
    ("a reordered ledger", Refusal.LEDGER_CHAIN,
     lambda w: ledger_lines(w, lambda lines: [lines[1], lines[0], *lines[2:]])),
    ("a hole in the ledger", Refusal.LEDGER_CHAIN, lambda w: ledger_lines(w, lambda lines: [lines[0], *lines[2:]])),
    ("a truncated ledger", Refusal.LEDGER_ENTRY, lambda w: ledger_lines(w, lambda lines: lines[:-1])),
    ("an empty ledger", Refusal.LEDGER_ENTRY, lambda w: ledger_lines(w, lambda lines: [])),
    ("made at another place of the ledger", Refusal.LEDGER_ENTRY, signed_again_elsewhere),
    ("an older version of itself", Refusal.SIGNATURE_THRESHOLD, older_version),
    ("signatures in another order", Refusal.LEDGER_ENTRY, lambda w: rewrap(w, lambda v: v["signatures"].reverse())),
    ("changed results", Refusal.RUN_FILES, lambda w: flip(w.run / "results.json")),
    ("changed figures", Refusal.RUN_FILES, lambda w: flip(w.run / "tables" / "metrics.parquet")),
    ("changed timings", Refusal.RUN_FILES, lambda w: flip(w.run / "timings.json")),
    ("a changed report", Refusal.RUN_FILES, lambda w: flip(w.run / "report.html")),
    ("a changed manifest", Refusal.RUN_FILES, lambda w: flip(w.run / "MANIFEST.sha256")),
    ("an edited policy", Refusal.RUN_FILES, lambda w: flip(w.run / "policy.yaml")),
    ("a file that is gone", Refusal.RUN_FILES, lambda w: (w.run / "report.html").unlink()),
    ("a file too many", Refusal.RUN_FILES, lambda w: (w.run / "tables" / "more.parquet").write_bytes(b"")),
    ("a link in the run", Refusal.RUN_FILES, lambda w: (w.run / "link").symlink_to(w.trust)),
    ("the run is gone", Refusal.RUN_FILES, lambda w: shutil.rmtree(w.run)),
    ("another run.json", Refusal.RUN_DIGEST, lambda w: flip(w.run / "run.json")),
    ("a run.json of no known version, and everybody signed", Refusal.RUN_FILES, foreign_run_file),
    ("results of another run", Refusal.RUN_RESULTS, other_runs_results),
    ("a statement that says more documents", Refusal.STATEMENT_MISMATCH,
     lambda w: w.restate(set_(*MEASURED, "corpus", "documents", to="151"))),
    ("a statement with another Merkle root", Refusal.STATEMENT_MISMATCH,
     lambda w: w.restate(set_(*MEASURED, "corpus", "merkle", "root", to="0" * 64))),
    ("a statement of another policy file", Refusal.STATEMENT_MISMATCH,
     lambda w: w.restate(set_("subject", 3, "digest", "sha256", to="0" * 64))),
    ("a statement that asks for fewer approvals", Refusal.STATEMENT_MISMATCH,
     lambda w: w.restate(set_(*MEASURED, "required", to=1))),
    ("a statement that leaves the waiver out", Refusal.STATEMENT_MISMATCH,
     lambda w: w.restate(set_(*MEASURED, "waivers", to=[]))),
    ("weights of the plan, signed and not the run's", Refusal.STATEMENT_MISMATCH,
     lambda w: w.restate(set_(*MEASURED, "plan", "domains", 0, "weight", to="0.75"))),
    ("two shards trade names", Refusal.MANIFEST, swapped_shards),
    ("a manifest that leaves the folder", Refusal.MANIFEST, unsafe_manifest),
    ("a shard that is gone", Refusal.SHARD_MISSING, lambda w: (w.corpus / "web/b.jsonl").unlink()),
    ("a bit of a shard", Refusal.SHARD_CHANGED, lambda w: flip(w.corpus / "web/b.jsonl")),
    ("a shard that grew", Refusal.SHARD_CHANGED,
     lambda w: (w.corpus / "web/b.jsonl").write_bytes(SHARDS["web/b.jsonl"] + b"\n")),
    ("a shard that was cut", Refusal.SHARD_CHANGED,
     lambda w: (w.corpus / "web/b.jsonl").write_bytes(SHARDS["web/b.jsonl"][:-1])),
    ("a shard more", Refusal.SHARD_EXTRA, lambda w: (w.corpus / "web/d.jsonl").write_bytes(b"{}")),
    ("two shards trade bytes", Refusal.SHARD_CHANGED, lambda w: (
        (w.corpus / "web/b.jsonl").write_bytes(SHARDS["web/c.jsonl"]),
        (w.corpus / "web/c.jsonl").write_bytes(SHARDS["web/b.jsonl"]))),
    ("results made better, and everybody signed", Refusal.VERDICT, better_results),
]  # fmt: skip
