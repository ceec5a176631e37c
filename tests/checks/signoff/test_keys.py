import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from corpus_audit.checks.signoff import trust_file
from corpus_audit.checks.signoff.keys import load_key, new_key
from corpus_audit.schemas.errors import SpecError, UsageError, VerificationError
from corpus_audit.schemas.run.trust import load_trust, valid_at

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PASSPHRASE = "correct horse battery"


def add(path, name="ana-1", public=bytes(32), **more):
    given = {"person": "ana", "pipeline": None, "email": None, "roles": ("data-owner",)}
    dates = {"valid_from": NOW, "valid_to": NOW + timedelta(days=365)}
    return trust_file.add_key(path, name=name, public=public, **(given | dates | more))


def test_a_key_comes_back_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "keys" / "ana.pem"
    public = new_key(path, PASSPHRASE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, PASSPHRASE).public_key().public_bytes_raw() == public
    assert public not in path.read_bytes()


def test_openssl_reads_the_key(tmp_path):
    path = tmp_path / "ana.pem"
    public = new_key(path, PASSPHRASE)
    command = ["openssl", "pkey", "-in", path, "-passin", f"pass:{PASSPHRASE}", "-pubout", "-outform", "DER"]
    assert subprocess.run(command, check=True, capture_output=True).stdout.endswith(public)


def test_keys_that_are_no_good_are_refused(tmp_path):
    path = tmp_path / "ana.pem"
    with pytest.raises(UsageError, match="at least 12"):
        new_key(path, "short")
    new_key(path, PASSPHRASE)
    with pytest.raises(UsageError, match="never overwritten"):
        new_key(path, PASSPHRASE)
    with pytest.raises(UsageError, match="passphrase is wrong"):
        load_key(path, "another passphrase")
    path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        load_key(path, PASSPHRASE)
    plain = tmp_path / "plain.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", plain], check=True, capture_output=True)
    plain.chmod(0o600)
    with pytest.raises(UsageError, match="not an encrypted"):
        load_key(plain, PASSPHRASE)
    rsa = tmp_path / "rsa.pem"
    command = ["openssl", "genpkey", "-algorithm", "rsa", "-aes256", "-pass", f"pass:{PASSPHRASE}", "-out", rsa]
    subprocess.run(command, check=True, capture_output=True)
    rsa.chmod(0o600)
    with pytest.raises(UsageError, match="not an Ed25519"):
        load_key(rsa, PASSPHRASE)


def test_trust_grows_and_keeps_its_comments(tmp_path):
    path = tmp_path / "trust.yaml"
    add(path, email="ana@example.org")
    path.write_text(path.read_text().replace("keys:", "# reviewed by bo\nkeys:"))
    add(path, "ana-2", bytes(31) + b"\x01", roles=("safety",))
    add(path, "ci", bytes(31) + b"\x02", person=None, pipeline="nightly", roles=())
    trust = trust_file.allow_policy(path, "cd" * 32, "pretraining")
    assert trust == load_trust(path) and "# reviewed by bo" in path.read_text()
    assert trust.person("ana").roles == ("data-owner", "safety") and trust.person("ana").is_called("ANA@example.org")
    assert [key.holder for key in trust.keys] == ["ana", "ana", "nightly"]
    assert trust_file.allow_policy(path, "cd" * 32, "again").policies == trust.policies


def test_revoked_keys_say_when_and_why(tmp_path):
    path = tmp_path / "trust.yaml"
    add(path)
    (key,) = trust_file.revoke_key(path, "ana-1", NOW + timedelta(days=1), "retired").keys
    assert valid_at(key, NOW) is None and valid_at(key, NOW + timedelta(days=1)) == "key_retired"
    assert valid_at(key, NOW - timedelta(days=1)) == "key_not_yet_valid"
    assert valid_at(key, NOW + timedelta(days=400)) == "key_expired"
    trust_file.revoke_key(path, "ana-1", NOW, "compromised")
    with pytest.raises(UsageError, match="compromised already"):
        trust_file.revoke_key(path, "ana-1", NOW, "retired")
    with pytest.raises(UsageError, match="no key 'bo'"):
        trust_file.revoke_key(path, "bo", NOW, "retired")


def test_one_key_under_two_names_is_refused(tmp_path):
    path = tmp_path / "trust.yaml"
    add(path)
    add(path, "ana-2", bytes(31) + b"\x01")
    path.write_text(path.read_text().replace((bytes(31) + b"\x01").hex(), bytes(32).hex()))
    with pytest.raises(VerificationError) as refused:
        load_trust(path)
    assert refused.value.code == "trust_key_twice"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("person: ana", "person: bo"), "not among the people"),
        (lambda text: text.replace("person: ana", "person: ana\n  pipeline: ci"), "a person or to a pipeline"),
        (lambda text: text.replace("valid_to", "valid_until"), "valid_to"),
        (lambda text: text.replace("2027-11-25", "2026-11-24"), "not after valid_from"),
        (lambda text: text.replace("2027-11-25", "2027-02-30"), "day is out of range"),
        (lambda text: text + "approvals: 0\n", "twice|stands|duplicate"),
        (lambda text: text.replace("approvals: 1", "approvals: 0"), "at least 1"),
    ],
)
def test_a_wrong_trust_file_is_refused(tmp_path, change, message):
    path = tmp_path / "trust.yaml"
    add(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(SpecError, match=message):
        load_trust(path)


def test_a_change_that_would_be_wrong_is_not_written(tmp_path):
    path = tmp_path / "trust.yaml"
    add(path)
    before = path.read_bytes()
    with pytest.raises(SpecError):
        add(path, public=bytes(31) + b"\x01")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
