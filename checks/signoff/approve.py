"""Signing: the author writes the statement, approvers sign the same bytes, every signature gets a line in the ledger.

The caller must hold the output folder's lock from `open_pending` until `sign` has returned.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corpus_audit.checks.signoff.dsse import PAYLOAD_TYPE, Envelope, key_id, read_envelope, sign
from corpus_audit.checks.signoff.ledger import Ledger, append, new_entry, read_ledger
from corpus_audit.checks.signoff.predicate import (
    check_verdict,
    first_difference,
    measure_run,
    signable_results,
    subjects,
)
from corpus_audit.checks.signoff.run_files import open_intact_run
from corpus_audit.checks.signoff.signers import (
    NO_SIGNERS,
    Signers,
    check_no_waiver_of,
    check_waivers,
    check_window,
    missing_roles,
    signers_of,
)
from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import UsageError, VerificationError
from corpus_audit.schemas.run.results import Results
from corpus_audit.schemas.run.signoff import (
    LEDGER,
    PLAN_SUFFIX,
    PREDICATE_TYPE,
    SIGNOFF_SUFFIX,
    SIGNOFFS,
    STATEMENT_TYPE,
    Decision,
    LedgerPlace,
    Measured,
    Predicate,
    Refusal,
    Statement,
    read_statement,
    time_text,
)
from corpus_audit.schemas.run.trust import Trust, TrustedKey, valid_at

VALID_DAYS = 90
"""Days for which a sign-off is valid unless its author says otherwise."""


@dataclass(frozen=True, slots=True)
class AuthorDecision:
    """What the author of a sign-off decides: its intended use, limitations and validity in days."""

    intended_use: str = ""
    limitations: tuple[str, ...] = ()
    valid_days: int = VALID_DAYS


@dataclass(frozen=True, slots=True)
class PendingSignoff:
    """A run that can be signed, and its signatures so far.

    Attributes:
        output: the output folder.
        path: path of the sign-off, which may not exist yet.
        run, run_digest, results, measured: what a signer reads and signs; the digest is that of `run.json`.
        trust, ledger: the trust file, and the ledger as it was read.
        envelope, statement: the sign-off so far; None before the author signs.
        signers: the keys that signed it.
    """

    output: Path
    path: Path
    run: RunDirectory
    run_digest: str
    results: Results
    measured: Measured
    trust: Trust
    ledger: Ledger
    envelope: Envelope | None = None
    statement: Statement | None = None
    signers: Signers = NO_SIGNERS

    @property
    def missing(self) -> int:
        """Number of approvals that are still needed; the author's signature is not one."""
        needed = max(self.measured.required, self.trust.approvals)
        author = self.statement.predicate.decision.author if self.statement else ""
        return max(needed - len(self.signers.approvers(author)), 0)

    @property
    def missing_roles(self) -> list[str]:
        """Roles that no approver has so far."""
        author = self.statement.predicate.decision.author if self.statement else ""
        return missing_roles(self.measured, self.signers.approvers(author), self.trust)

    @property
    def plan_file(self) -> Path | None:
        """Path of a copy of the signed plan, for the training job; None if no plan is bound."""
        return None if self.measured.plan is None else self.path.with_name(f"{self.measured.run}{PLAN_SUFFIX}")


def signoff_path(output: Path, run: str) -> Path:
    """Path of the sign-off of a run."""
    return output / SIGNOFFS / f"{run}{SIGNOFF_SUFFIX}"


def open_pending(folder: Path, trust: Trust, moment: datetime, strategy: str | None = None) -> PendingSignoff:
    """Check a run before it is signed: its files, its verdict, and the sign-off so far.

    Args:
        folder: the run directory.
        trust: the trust file: the keys whose signatures count.
        moment: the current time.
        strategy: the sampling strategy whose plan a new sign-off binds.

    Raises:
        NotSignableError, NoVerdictError: the audit failed, or has no verdict.
        VerificationError: the run, the ledger or the sign-off so far is damaged, or does not match the run.
        UsageError: the sign-off exists and binds another plan than ``strategy``.
    """
    folder = folder.resolve()
    run, run_digest = open_intact_run(folder)
    if run.facts.run != folder.name:
        raise UsageError(f"{folder} is the run {run.facts.run}: a run directory must keep its name")
    results = signable_results(run)
    check_verdict(run, results)
    output = folder.parent
    path = signoff_path(output, folder.name)
    ledger = read_ledger(output / LEDGER) if (output / LEDGER).exists() else Ledger()
    pending = PendingSignoff(output, path, run, run_digest, results, measure_run(run, results, strategy), trust, ledger)
    if not path.exists():
        check_waivers(pending.measured, moment)
        return pending
    data = path.read_bytes()
    envelope = read_envelope(data)
    signers = signers_of(envelope, trust)
    statement = read_statement(envelope.payload)
    bound = statement.predicate.measured.plan
    if strategy is not None and (bound is None or bound.strategy != strategy):
        raise UsageError(f"{path} is already signed and binds {bound.strategy if bound else 'no plan'}")
    measured = measure_run(run, results, bound.strategy if bound else None)
    different = first_difference(statement.predicate.measured, measured)
    if different or statement.subject != subjects(run, run_digest):
        raise VerificationError(Refusal.STATEMENT_MISMATCH, f"{path} does not match the run ({different or 'subject'})")
    check_window(statement, moment)
    check_waivers(measured, moment)
    pending = replace(pending, measured=measured, envelope=envelope, statement=statement, signers=signers)
    return _with_entry(pending, hashlib.sha256(data).hexdigest(), moment)


def sign_pending(
    pending: PendingSignoff, key: Ed25519PrivateKey, moment: datetime, decision: AuthorDecision | None
) -> PendingSignoff:
    """Add a signature and return the new state; the first signature is the author's, who writes the statement.

    Raises:
        UsageError: the key is not trusted or not valid now, has signed, or may not sign this run; or ``decision`` is
            given by somebody who is not the author.
    """
    trusted = signing_key(pending.trust, key, moment)
    if pending.statement is None:
        statement = _statement(pending, trusted.holder, moment, decision or AuthorDecision())
        envelope = Envelope(PAYLOAD_TYPE, statement.to_json(), ())
    else:
        if decision is not None:
            raise UsageError(
                "the author has written the statement; an approver signs it as it is, without use, limitations or days"
            )
        statement, envelope = pending.statement, pending.envelope or Envelope("", b"", ())
        _may_approve(pending, statement, trusted)
    signed = Envelope(
        envelope.payload_type,
        envelope.payload,
        (*envelope.signatures, sign(envelope.payload_type, envelope.payload, key)),
    )
    data = signed.to_json()
    # The sign-off is written before its ledger entry: if the process is killed in between, the entry is missing, which
    # no verifier accepts and the next `open_pending` repairs.
    atomic_write(pending.path, data)
    if pending.measured.plan is not None and pending.plan_file is not None:
        atomic_write(pending.plan_file, pending.measured.plan.to_json())
    after = replace(pending, envelope=signed, statement=statement, signers=Signers((*pending.signers.keys, trusted)))
    return _with_entry(after, hashlib.sha256(data).hexdigest(), moment)


def signing_key(trust: Trust, key: Ed25519PrivateKey, moment: datetime) -> TrustedKey:
    """The trust file's entry of a private key.

    Raises:
        UsageError: the key is not in the trust file, is revoked or is not valid now.
    """
    public = key.public_key().public_bytes_raw()
    trusted = trust.key_of(public)
    if trusted is None:
        raise UsageError(
            f"the key {key_id(public)[:16]} is not in the trust file, so nobody would accept its signature"
        )
    if trusted.revoked is not None or valid_at(trusted, moment) is not None:
        raise UsageError(f"the key {trusted.id} is revoked or not valid now, so its signature would not count")
    return trusted


def _may_approve(pending: PendingSignoff, statement: Statement, key: TrustedKey) -> None:
    author = statement.predicate.decision.author
    if key in pending.signers.keys:
        raise UsageError(f"{key.holder} has already signed with the key {key.id}")
    if key.person is None:
        raise UsageError(f"{key.holder} is a pipeline: it can be the author of a sign-off, but only people approve")
    if key.person == author:
        raise UsageError(f"{author} is the author and cannot approve as well")
    if key.person in pending.signers.people:
        raise UsageError(f"{key.person} has already approved with another key")
    check_no_waiver_of(pending.measured, pending.trust, key.person)


def _statement(pending: PendingSignoff, author: str, moment: datetime, decision: AuthorDecision) -> Statement:
    return Statement(
        _type=STATEMENT_TYPE,
        subject=subjects(pending.run, pending.run_digest),
        predicate_type=PREDICATE_TYPE,
        predicate=Predicate(
            measured=pending.measured,
            decision=Decision(
                author=author,
                intended_use=decision.intended_use,
                limitations=decision.limitations,
                time_created=time_text(moment),
                valid_until=time_text(moment + timedelta(days=decision.valid_days)),
            ),
            ledger=LedgerPlace(sequence=str(len(pending.ledger.entries)), previous=pending.ledger.head),
        ),
    )


def _with_entry(pending: PendingSignoff, digest: str, moment: datetime) -> PendingSignoff:
    """Add the ledger entry of the newest signature, unless it is there; a killed process may not have written it.

    Raises:
        VerificationError: the ledger has another entry at its position.
    """
    assert pending.envelope is not None and pending.statement is not None
    statement = hashlib.sha256(pending.envelope.payload).hexdigest()
    entries = pending.ledger.of_statement(statement)
    if entries and entries[-1].envelope == digest:
        return pending
    before = entries[-1].signers if entries else ()
    position = pending.statement.predicate.ledger
    follows = entries or (position.previous == pending.ledger.head)
    if not follows or before != pending.signers.ids[:-1]:
        raise VerificationError(
            Refusal.LEDGER_ENTRY,
            f"{pending.path} is not in the ledger and does not follow its entries; move it away to start again",
        )
    entry = new_entry(
        pending.ledger,
        moment=moment,
        run=pending.measured.run,
        statement=statement,
        envelope=digest,
        signers=pending.signers.ids,
    )
    return replace(pending, ledger=append(pending.output / LEDGER, pending.ledger, entry))
