"""The newest signed run of an output folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.checks.signoff.dsse import PAYLOAD_TYPE, read_envelope
from corpus_audit.checks.signoff.ledger import LedgerEntry, read_ledger
from corpus_audit.schemas.errors import StoreError, VerificationError
from corpus_audit.schemas.run.signoff import LEDGER, SIGNOFF_SUFFIX, SIGNOFFS, Statement, read_statement


@dataclass(frozen=True, slots=True)
class SignedRun:
    """A run with a complete sign-off.

    Attributes:
        folder: the run directory.
        envelope: SHA-256 of the sign-off's file.
        statement: what was signed.
    """

    folder: Path
    envelope: str
    statement: Statement


def last_signed(output: Path, before: str | None = None) -> SignedRun | None:
    """The newest run of an output folder, by the ledger, that has as many signatures as its policy requires, or None.

    Signatures are not verified, because that needs a trust file. A sign-off that only its author has signed does not
    count.

    Args:
        output: the output folder.
        before: name of a run that is left out, with every later one.

    Raises:
        StoreError: the ledger is damaged, or the newest sign-off is missing or differs from the ledger's: an older one
            must not be used in its place unnoticed.
    """
    path = output / LEDGER
    if not path.exists():
        return None
    try:
        ledger = read_ledger(path)
    except VerificationError as error:
        raise StoreError(f"the last signed run cannot be determined: {error}") from None
    newest = {entry.run: entry for entry in ledger.entries if before is None or entry.run < before}
    for entry in sorted(newest.values(), key=lambda entry: -int(entry.sequence)):
        signed = _signed(output, entry) if len(entry.signers) > 1 else None
        if signed is not None:
            return signed
    return None


def _signed(output: Path, entry: LedgerEntry) -> SignedRun | None:
    """The run of the newest entry of its sign-off; None while approvals are missing."""
    try:
        data = (output / SIGNOFFS / f"{entry.run}{SIGNOFF_SUFFIX}").read_bytes()
        envelope = read_envelope(data)
        statement = read_statement(envelope.payload)
    except (OSError, VerificationError):
        raise StoreError(f"the sign-off of run {entry.run} is missing or damaged") from None
    measured = statement.predicate.measured
    matches = hashlib.sha256(data).hexdigest() == entry.envelope and measured.run == entry.run
    if not matches or envelope.payload_type != PAYLOAD_TYPE:
        raise StoreError(f"the sign-off of run {entry.run} differs from the one in the ledger")
    if len(envelope.signatures) <= measured.required:
        return None
    return SignedRun(output / entry.run, entry.envelope, statement)
