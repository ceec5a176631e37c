"""``corpus-audit keys``: manage signing keys, and the trust file that lists accepted keys and policies."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.signing import MOMENT, passphrase_from, passphrase_option, trust_option
from corpus_audit.runners.cli.shared.streams import note, write_out


@click.group(short_help="Create, list and revoke signing keys.")
def keys() -> None:
    """Create, list and revoke signing keys, and list the policies that are accepted.

    The trust file holds public keys only. Keep it with those who verify, under review and separate from the runs.
    """


@keys.command(short_help="Create a key and add it to the trust file.")
@click.argument("name")
@click.option("--person", help="The person who owns the key.")
@click.option("--pipeline", help="The pipeline that owns the key; it can author a sign-off but not approve one.")
@click.option("--email", help="Address of the person, as in policies that name the owner of a waiver.")
@click.option("--role", "roles", multiple=True, help="A role of the person, such as data-owner; may be repeated.")
@click.option(
    "--days", type=click.IntRange(1, 3660), default=365, show_default=True, help="Validity of the key in days."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File of the private key; by default ~/.config/corpus-audit/NAME.pem.",
)
@passphrase_option
@trust_option
@json_option
def new(
    name: str,
    person: str | None,
    pipeline: str | None,
    email: str | None,
    roles: tuple[str, ...],
    days: int,
    out: Path | None,
    passphrase_file: Path | None,
    trust_file: Path,
    as_json: bool,
) -> None:
    """Create the key NAME, encrypted with a passphrase, and add its public half to the trust file.

    The trust file is created if there is none. Only you can read the file of the private key.
    """
    from corpus_audit.checks.signoff.dsse import key_id
    from corpus_audit.checks.signoff.keys import new_key
    from corpus_audit.checks.signoff.trust_file import add_key
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.run.trust import IDENTIFIER

    if (person is None) == (pipeline is None):
        raise UsageError("the key has no owner: give either --person or --pipeline")
    for what, value in (("NAME", name), ("--person", person), ("--pipeline", pipeline)):
        if value is not None and not re.match(IDENTIFIER, value):
            raise UsageError(
                f"{what} is {value!r}: ids are at most 100 letters, digits and . _ @ + -, the first a letter or digit"
            )
    if pipeline is not None and (email or roles):
        raise UsageError("--email and --role are for people: a pipeline does not approve")
    path = out or Path.home() / ".config" / "corpus-audit" / f"{name}.pem"
    public = new_key(path, passphrase_from(passphrase_file, f"the new key {name}", confirm=True))
    now = datetime.now(UTC)
    try:
        add_key(
            trust_file,
            name=name,
            public=public,
            person=person,
            pipeline=pipeline,
            email=email,
            roles=roles,
            valid_from=now,
            valid_to=now + timedelta(days=days),
        )
    except BaseException:  # no private key is left whose public half is not in the trust file
        path.unlink(missing_ok=True)
        raise
    if as_json:
        emit_json("key", {"key": name, "id": key_id(public), "file": str(path), "trust": str(trust_file)})
    else:
        write_out(f"{name}: {path}")
        write_out(
            f"public half {public.hex()} added to {trust_file}, valid until {now + timedelta(days=days):%Y-%m-%d}"
        )


@keys.command("list", short_help="List keys and accepted policies.")
@trust_option
@json_option
def list_(trust_file: Path, as_json: bool) -> None:
    """List the keys with their owners, roles and validity, and the accepted policies."""
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.checks.text.safe_text import safe_text
    from corpus_audit.schemas.run.trust import load_trust, valid_at

    trust = load_trust(trust_file)
    now = datetime.now(UTC)
    states = {}
    for key in trust.keys:
        refusal = valid_at(key, now)
        compromised = key.revoked is not None and key.revoked.why == "compromised"
        states[key.id] = "compromised" if compromised else "valid" if refusal is None else refusal.value[4:]
    if as_json:
        shown = [key.model_dump(mode="json") | {"state": states[key.id]} for key in trust.keys]
        emit_json("keys", trust.model_dump(mode="json") | {"keys": shown})
        return
    for key in trust.keys:
        person = trust.person(key.holder)
        roles = f" ({', '.join(person.roles)})" if person and person.roles else "" if person else " (pipeline)"
        write_out(
            f"{key.id:16} {states[key.id].replace('_', ' '):14} until {key.valid_to[:10]}  "
            f"{safe_text(key.holder + roles, 100)}"
        )
    for policy in trust.policies:
        write_out(f"policy {policy.sha256[:16]}…  {safe_text(policy.name, 100)}")
    note(f"at least {plural(trust.approvals, 'approval')}, also if a policy requires fewer")


@keys.command(short_help="Revoke a key.")
@click.argument("name")
@click.option(
    "--why",
    type=click.Choice(["retired", "compromised"]),
    required=True,
    help="retired: earlier signatures stay valid. compromised: only those that a published ledger head proves to be "
    "earlier.",
)
@click.option("--when", type=MOMENT, help="Time of the revocation; by default now.")
@trust_option
@json_option
def revoke(name: str, why: str, when: datetime | None, trust_file: Path, as_json: bool) -> None:
    """Revoke the key NAME in the trust file."""
    from corpus_audit.checks.signoff.trust_file import revoke_key
    from corpus_audit.schemas.run.signoff import time_text

    moment = when or datetime.now(UTC)
    revoke_key(trust_file, name, moment, why)
    if as_json:
        emit_json("key-revoked", {"key": name, "why": why, "when": time_text(moment), "trust": str(trust_file)})
    else:
        write_out(f"{name} is revoked as {why} since {time_text(moment)}; give {trust_file} to everyone who verifies")


@keys.command(short_help="Accept the verdicts of a policy.")
@click.argument("policy", type=click.Path(path_type=Path))
@trust_option
@json_option
def allow(policy: Path, trust_file: Path, as_json: bool) -> None:
    """Add the digest of POLICY to the trust file; sign-offs under any other policy are refused."""
    from corpus_audit.checks.signoff.trust_file import allow_policy
    from corpus_audit.schemas.spec.policy_file import load_policy

    loaded = load_policy(policy)
    allow_policy(trust_file, loaded.sha256, loaded.policy.name)
    if as_json:
        emit_json("policy-allowed", {"policy": str(policy), "sha256": loaded.sha256, "trust": str(trust_file)})
    else:
        write_out(f"{policy} ({loaded.sha256[:16]}…) is accepted by {trust_file}")
