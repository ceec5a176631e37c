"""The newest signed run of an output folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from corpus_audit.checks.signoff.dsse import PAYLOAD_TYPE, read_envelope
from corpus_audit.checks.signoff.ledger import read_ledger
from corpus_audit.schemas.errors import StoreError, VerificationError
from corpus_audit.schemas.results import RESULTS_FILE, LastSigned, PastJudgement, Results, read_results
from corpus_audit.schemas.signoff import LEDGER, SIGNOFF_SUFFIX, SIGNOFFS, Statement, read_statement


@dataclass(frozen=True, slots=True)
class SignedRun:
    """A run with a complete sign-off.

    Attributes:
        folder: the run directory.
        envelope: SHA-256 of the sign-off's file.
        signed_at: when the last signature was added, by the ledger.
        statement: what was signed.
    """

    folder: Path
    envelope: str
    signed_at: datetime
    statement: Statement

    @property
    def results(self) -> Results:
        """The results that were signed.

        Raises:
            StoreError: they are gone or are not those.
        """
        path = self.folder / RESULTS_FILE
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} was signed and cannot be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != self.statement.digest_of(RESULTS_FILE):
            raise StoreError(f"{path} is not what was signed")
        return read_results(data, str(path))

    def facts(self) -> LastSigned:
        """What the results of a later run say of this one.

        Raises:
            StoreError: the results are gone or are not those that were signed.
        """
        measured = self.statement.predicate.measured
        return LastSigned(
            run=measured.run,
            envelope=self.envelope,
            snapshot=measured.corpus.snapshot,
            policy=measured.policy.digest.sha256,
            shards=int(measured.corpus.shards),
            documents=int(measured.corpus.documents),
            tokens=int(measured.corpus.tokens),
            judgements=tuple(
                PastJudgement(rule=j.rule, slice=j.slice, status=j.status, observed=j.observed)
                for j in self.results.judgements
            ),
        )


def last_signed(output: Path) -> SignedRun | None:
    """The run of an output folder that was signed last, with as many signatures as its policy asks for.

    The newest by the ledger whose sign-off is there, is the ledger's own and is whole in structure; signatures are not
    verified, because that takes a trust file. None if there is none.

    Raises:
        StoreError: there is a ledger and it is damaged.
    """
    path = output / LEDGER
    if not path.exists():
        return None
    try:
        ledger = read_ledger(path)
    except VerificationError as error:
        raise StoreError(f"the last signed run cannot be told: {error}") from None
    newest = {entry.statement: entry for entry in ledger.entries}
    for entry in sorted(newest.values(), key=lambda entry: -int(entry.sequence)):
        signoff = output / SIGNOFFS / f"{entry.run}{SIGNOFF_SUFFIX}"
        try:
            data = signoff.read_bytes()
            envelope = read_envelope(data)
            statement = read_statement(envelope.payload)
        except (OSError, VerificationError):
            continue
        measured = statement.predicate.measured
        complete = len(envelope.signatures) > measured.required
        is_the_ledgers = hashlib.sha256(data).hexdigest() == entry.envelope and measured.run == entry.run
        if complete and is_the_ledgers and envelope.payload_type == PAYLOAD_TYPE:
            return SignedRun(output / entry.run, entry.envelope, entry.moment, statement)
    return None
