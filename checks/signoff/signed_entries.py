"""Checks of a sign-off against the ledger: it is the newest version, and when each signature was added."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from corpus_audit.checks.signoff.dsse import Envelope
from corpus_audit.checks.signoff.ledger import GENESIS, Ledger
from corpus_audit.checks.signoff.signers import SKEW, Signers, compromised
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run.signoff import Refusal, Statement, moment_of


def check_entries(
    ledger: Ledger, statement: Statement, envelope: Envelope, envelope_digest: str, signers: Signers, at: datetime
) -> Mapping[str, datetime]:
    """Check a sign-off against the ledger; returns the time at which each key, by id, signed.

    Raises:
        VerificationError: the ledger has no entry for it, another position or other bytes, signatures that do not
            follow each other, or a time in the future.
    """
    position = statement.predicate.ledger
    entries = ledger.of_statement(hashlib.sha256(envelope.payload).hexdigest())
    if not entries:
        raise _refused("it has no entry for this sign-off")
    if (entries[0].sequence, entries[0].previous) != (position.sequence, position.previous):
        raise _refused("this sign-off was made at another position of the ledger")
    signed_at: dict[str, datetime] = {}
    before: tuple[str, ...] = ()
    for entry in entries:
        if entry.signers[:-1] != before or entry.run != statement.predicate.measured.run:
            raise _refused("its entries for this sign-off do not follow each other")
        if entry.moment > at + SKEW:
            raise VerificationError(Refusal.TIME_FUTURE, f"a signature is from the future: {entry.time}")
        if entry.moment < moment_of(statement.predicate.decision.time_created) - SKEW:
            raise _refused("a signature is older than the statement")
        before = entry.signers
        signed_at[entry.signers[-1]] = entry.moment
    if entries[-1].envelope != envelope_digest or before != signers.ids:
        raise _refused("its newest entry for this sign-off has another digest: this is an older or a changed version")
    return signed_at


def check_compromised(signers: Signers, ledger: Ledger | None, head: str | None, envelope_digest: str) -> None:
    """A key that was revoked as compromised counts only if an earlier published head covers the envelope.

    Raises:
        VerificationError: such a key signed, and no head is given, or the ledger up to the head does not contain the
            envelope, or the head is not older than the compromise.
    """
    keys = compromised(signers.keys)
    if not keys:
        return
    key = keys[0]
    if ledger is None or head is None:
        raise VerificationError(
            Refusal.KEY_COMPROMISED,
            f"the key {key.id} is compromised; give a ledger head that was published before that, with --head",
        )
    before = ledger.upto(head)
    if head == GENESIS or all(entry.envelope != envelope_digest for entry in before.entries):
        raise VerificationError(
            Refusal.KEY_COMPROMISED,
            f"the key {key.id} is compromised, and the published head does not cover this sign-off",
        )
    for key in keys:
        if key.revoked is not None and before.entries[-1].moment >= moment_of(key.revoked.when):
            raise VerificationError(
                Refusal.KEY_COMPROMISED, f"the key {key.id} is compromised, and the published head is not older"
            )


def _refused(problem: str) -> VerificationError:
    return VerificationError(Refusal.LEDGER_ENTRY, f"the ledger does not contain this sign-off: {problem}")
