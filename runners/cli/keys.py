"""``corpus-audit keys``: keys of people and pipelines, and the trust file that says which of them count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.signing import MOMENT, passphrase_from, passphrase_option, trust_option
from corpus_audit.runners.cli.shared.streams import note, write_out


@click.group(short_help="Make, list and revoke the keys that sign.")
def keys() -> None:
    """Make, list and revoke the keys that sign, and say which policies count.

    The trust file holds public keys only. It belongs to whoever verifies, under review, apart from the runs.
    """


@keys.command(short_help="Make a key and add it to the trust file.")
@click.argument("name")
@click.option("--person", help="Whose it is.")
@click.option("--pipeline", help="Or the pipeline whose it is: it can be the author of a sign-off, not approve.")
@click.option("--email", help="What policies call the person as the owner of a waiver.")
@click.option("--role", "roles", multiple=True, help="A role of the person, such as data-owner; may be repeated.")
@click.option("--days", type=click.IntRange(1, 3660), default=365, show_default=True, help="For how long it is valid.")
@click.option("--out", type=click.Path(path_type=Path), help="The private key's file; ~/.config/corpus-audit/NAME.pem.")
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
    """Make the key NAME, encrypted with a passphrase, and add its public half to the trust file.

    A trust file is begun if there is none. The private key's file can be read by its owner only.
    """
    from corpus_audit.checks.signoff.dsse import key_id
    from corpus_audit.checks.signoff.keys import new_key
    from corpus_audit.checks.signoff.trust_file import add_key
    from corpus_audit.schemas.errors import UsageError

    if (person is None) == (pipeline is None):
        raise UsageError("whose key is it? give --person or --pipeline")
    if pipeline is not None and (email or roles):
        raise UsageError("a pipeline has no address and no roles: it does not approve")
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
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if as_json:
        emit_json("key", {"key": name, "id": key_id(public), "file": str(path), "trust": str(trust_file)})
    else:
        write_out(f"{name}: {path}")
        write_out(f"public half {public.hex()} is in {trust_file}, until {now + timedelta(days=days):%Y-%m-%d}")


@keys.command("list", short_help="List who may sign, and which policies count.")
@trust_option
@json_option
def list_(trust_file: Path, as_json: bool) -> None:
    """List who may sign, for how long and in which role, and which policies count."""
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
    note(f"{trust.approvals} approvals at least, whatever a policy says")


@keys.command(short_help="Say that a key counts no more.")
@click.argument("name")
@click.option(
    "--why",
    type=click.Choice(["retired", "compromised"]),
    required=True,
    help="retired: what it signed before stands. compromised: nothing stands but what a published head shows.",
)
@click.option("--when", type=MOMENT, help="Since when; now by default.")
@trust_option
@json_option
def revoke(name: str, why: str, when: datetime | None, trust_file: Path, as_json: bool) -> None:
    """Say in the trust file that the key NAME counts no more."""
    from corpus_audit.checks.signoff.trust_file import revoke_key
    from corpus_audit.schemas.run.signoff import time_text

    moment = when or datetime.now(UTC)
    revoke_key(trust_file, name, moment, why)
    if as_json:
        emit_json("key-revoked", {"key": name, "why": why, "when": time_text(moment), "trust": str(trust_file)})
    else:
        write_out(f"{name} is revoked as {why} since {time_text(moment)}; give {trust_file} to everybody who verifies")


@keys.command(short_help="Let a policy's verdicts count.")
@click.argument("policy", type=click.Path(path_type=Path))
@trust_option
@json_option
def allow(policy: Path, trust_file: Path, as_json: bool) -> None:
    """Put the digest of POLICY on the trust file's list: sign-offs by another policy, however signed, are refused."""
    from corpus_audit.checks.signoff.trust_file import allow_policy
    from corpus_audit.schemas.spec.policy_file import load_policy

    loaded = load_policy(policy)
    allow_policy(trust_file, loaded.sha256, loaded.policy.name)
    if as_json:
        emit_json("policy-allowed", {"policy": str(policy), "sha256": loaded.sha256, "trust": str(trust_file)})
    else:
        write_out(f"{policy} ({loaded.sha256[:16]}…) may judge, says {trust_file}")
