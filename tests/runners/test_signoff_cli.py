import json
import socket

import click
import pytest

from corpus_audit.runners.cli import approve
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests.checks.signoff.world import HEADLINE, RUN, STRATEGY, build_world, sign_world

PASSPHRASE = "correct horse battery"


@pytest.fixture
def run_cli(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORPUS_AUDIT_PASSPHRASE", PASSPHRASE)
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _no_socket)
    monkeypatch.setattr(socket, "getaddrinfo", _no_socket)

    def run(*arguments):
        code = run_command([str(entry) for entry in arguments], Session())
        out, err = capsys.readouterr()
        return code, out, err

    return run


def _no_socket(*given, **more):
    raise AssertionError("a socket was opened")


def prepared(run_cli, tmp_path, **more):
    """A judged run, and keys made by the command."""
    world = build_world(tmp_path / "world", **more)
    world.trust.unlink()
    for name, more in (
        ("ci", ("--pipeline", "nightly")),
        ("bo", ("--person", "bo", "--role", "research-lead")),
        ("cy", ("--person", "cy", "--email", "cy@example.org")),
        ("ana", ("--person", "ana", "--email", "ana@example.org")),
    ):
        code, out, _ = run_cli("keys", "new", name, *more, "--out", f"{name}.pem", "--trust", "trust.yaml")
        assert code == 0 and "until" in out
    return world


def test_from_keys_to_a_refused_shard(run_cli, tmp_path):
    world = prepared(run_cli, tmp_path)
    assert run_cli("keys", "allow", world.run / "policy.yaml")[0] == 0
    code, out, err = run_cli("keys", "list")
    assert code == 0 and "bo (research-lead)" in out and "nightly (pipeline)" in out and "policy" in out
    code, out, _ = run_cli(
        "approve", world.run, "--key", "ci.pem", "--yes", "--strategy", STRATEGY, "--use", "training"
    )
    assert code == 0 and "Still missing: 2 more approvals with the role research-lead" in out
    assert "W-1: duplicates (all) is 60 %" in out and max(map(len, out.split("\n\n")[0].splitlines())) <= 80
    code, out, _ = run_cli("verify", world.run)
    assert code == 7 and out.startswith("REFUSED signature_threshold: ")
    assert "1 more approval" in run_cli("approve", world.output, "--key", "cy.pem", "--yes")[1]
    code, out, _ = run_cli("approve", world.run, "--key", "bo.pem", "--yes", "--json")
    given = json.loads(out)
    assert given["schema"] == "corpus-audit/approve/1" and given["approvers"] == ["bo", "cy"]
    assert given["approvals_missing"] == 0
    code, out, err = run_cli("verify", world.signed)
    assert code == 0 and out.startswith(f"VERIFIED {RUN}: PASSED WITH WAIVERS by test 1; 3 of 3 shards hashed")
    assert len(out.splitlines()) == 1 and "left open: " in err
    code, out, err = run_cli("verify", world.run, "--plan", given["plan"], "--head", given["ledger_head"])
    assert code == 0 and err == ""
    code, out, _ = run_cli("verify", world.run, "--sample", "1", "--json")
    assert json.loads(out)["detection_probability"] == pytest.approx(1 / 3)
    code, out, _ = run_cli("ledger", world.output)
    assert code == 0 and out.splitlines()[-1] == f"head {given['ledger_head']}" and "approval 2" in out
    path = world.corpus / "web/b.jsonl"
    path.write_bytes(path.read_bytes().replace(b"hello", b"hellp", 1))
    code, out, _ = run_cli("verify", world.run)
    assert code == 7 and out.startswith("REFUSED shard_changed: shard web/b.jsonl") and len(out.splitlines()) == 1
    code, out, _ = run_cli("verify", world.run, "--json")
    assert code == 7 and json.loads(out)["code"] == "shard_changed" and json.loads(out)["verified"] is False


def test_what_no_rule_judges_is_asked_about(run_cli, tmp_path, monkeypatch):
    world = prepared(run_cli, tmp_path, compared=True)
    assert run_cli("keys", "allow", world.run / "policy.yaml")[0] == 0
    monkeypatch.setattr(approve, "is_terminal", lambda _: True)
    questions = []

    def confirm(question, **_):
        questions.append(question)
        raise click.Abort

    monkeypatch.setattr(click, "confirm", confirm)
    code, out, _ = run_cli("approve", world.run, "--key", "ci.pem")
    assert code != 0
    shown = " ".join(out.split())
    assert f"Drift {HEADLINE}" in shown
    assert "Not judged documents that the baseline does not have: 9 of 150 (6 %), baseline=last" in shown
    assert questions == ["No rule judges 1 figure (above, Not judged). Sign this all the same?"]
    assert not list(world.output.glob("signoffs/*"))


def test_a_revoked_key(run_cli, tmp_path):
    world = sign_world(build_world(tmp_path / "world"))
    code, out, _ = run_cli("keys", "revoke", "bo-1", "--why", "compromised", "--trust", world.trust)
    assert code == 0 and "compromised" in out
    assert "compromised" in run_cli("keys", "list", "--trust", world.trust)[1]
    code, out, _ = run_cli("verify", world.signed, "--trust", world.trust, "--at", "2026-11-25T13:00:00Z")
    assert code == 7 and out.startswith("REFUSED key_compromised")


def test_a_cut_ledger(run_cli, tmp_path):
    world = sign_world(build_world(tmp_path / "world"))
    head = json.loads(run_cli("ledger", world.output, "--json")[1])["head"]
    lines = world.ledger.read_bytes().splitlines(keepends=True)
    world.ledger.write_bytes(b"".join(lines[:2]))
    code, out, _ = run_cli("ledger", world.output, "--head", head)
    assert code == 7 and out.startswith("REFUSED ledger_head")
    world.ledger.write_bytes(b"".join(reversed(lines)))
    code, out, _ = run_cli("ledger", world.output, "--json")
    assert code == 7 and json.loads(out)["code"] == "ledger_chain"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["approve", "world/runs", "--key", "ci.pem"], 2, "no terminal"),
        (["approve", "world/runs", "--key", "none.pem", "--yes"], 2, "cannot read the key"),
        (["approve", "nowhere", "--key", "ci.pem", "--yes"], 2, "nowhere"),
        (["verify", "world/runs", "--full", "--sample", "1"], 2, "exclude"),
        (["verify", "world/runs", "--trust", "none.yaml"], 2, "keys new"),
        (["verify", "world/runs", "--at", "soon"], 2, "not a time"),
        (["verify", "none.json"], 7, "signoff_unreadable"),
        (["keys", "new", "x", "--out", "x.pem"], 2, "--person or --pipeline"),
        (["keys", "new", "x", "--person", "Jo Doe", "--out", "x.pem"], 2, "--person is 'Jo Doe': ids are"),
        (["keys", "new", "ci", "--person", "al", "--out", "x.pem"], 2, "the same key id"),
        (["keys", "revoke", "none", "--why", "retired"], 2, "no key"),
        (["ledger", "world/runs"], 7, "ledger_missing"),
    ],
)
def test_mistakes_are_reported(run_cli, tmp_path, arguments, code, message):
    prepared(run_cli, tmp_path)
    given, out, err = run_cli(*arguments)
    assert given == code and message in out + err
    assert not (tmp_path / "x.pem").exists()


def test_a_passphrase_from_a_file(run_cli, tmp_path, monkeypatch):
    prepared(run_cli, tmp_path)
    monkeypatch.delenv("CORPUS_AUDIT_PASSPHRASE")
    code, _, err = run_cli("approve", "world/runs", "--key", "ci.pem", "--yes")
    assert code == 2 and "no passphrase" in err
    (tmp_path / "word").write_text(PASSPHRASE + "\n")
    assert run_cli("approve", "world/runs", "--key", "ci.pem", "--yes", "--passphrase-file", "word")[0] == 0
    (tmp_path / "word").write_text("another passphrase\n")
    code, _, err = run_cli("approve", "world/runs", "--key", "bo.pem", "--yes", "--passphrase-file", "word")
    assert code == 2 and "passphrase is wrong" in err
