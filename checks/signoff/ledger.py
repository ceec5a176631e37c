"""The ledger: one line per signature, each with the digest of the line before, so that edits and gaps are detected.

A ledger alone does not show that its end was cut off. Its head, the digest of the last line, shows it if it was
published where the owner of the ledger cannot change it (a git tag, a paper, a mail).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from corpus_audit.pipelines.storage.atomic import atomic_write
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.signoff import Count, Digest, Refusal, StatementPart, Time, moment_of, time_text

GENESIS = "0" * 64
"""The ``previous`` of the first entry."""

MAX_BYTES = 256 * 2**20
"""A larger ledger is not read: its chain is checked in memory, from the first entry on."""


class LedgerEntry(StatementPart):
    """An entry of the ledger: a signature was added to a sign-off.

    Attributes:
        sequence, previous: its number from 0, and the digest of the line before.
        time: when the signature was added, by the signer's clock.
        run, statement, envelope: the run, SHA-256 of the payload, and of the envelope's file with this signature.
        signers: key ids of all signatures, in order; the last one is new.
        self_: SHA-256 of the entry without this field: a changed bit shows, in the last line too.
    """

    schema_: Literal["corpus-audit/ledger/1"] = Field(default="corpus-audit/ledger/1", alias="schema")
    sequence: Count
    previous: Digest
    time: Time
    run: str
    statement: Digest
    envelope: Digest
    signers: Annotated[tuple[Digest, ...], Field(min_length=1)]
    self_: Digest = Field(alias="self")

    def line(self) -> bytes:
        """The entry's bytes in the file, with the line end."""
        return strict_json.dumps(self.model_dump(mode="json", by_alias=True)) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the line: ``previous`` of the next entry, or the head if there is none."""
        return hashlib.sha256(self.line()).hexdigest()

    @property
    def moment(self) -> datetime:
        """When the signature was added."""
        return moment_of(self.time)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger whose chain was checked."""

    entries: tuple[LedgerEntry, ...] = ()

    @property
    def head(self) -> str:
        """Digest of the last line; that of an empty ledger is `GENESIS`."""
        return self.entries[-1].digest if self.entries else GENESIS

    def of_statement(self, statement: str) -> tuple[LedgerEntry, ...]:
        """Entries of a statement, oldest first."""
        return tuple(entry for entry in self.entries if entry.statement == statement)

    def upto(self, head: str) -> Ledger:
        """The ledger as it was when ``head`` was its head.

        Raises:
            VerificationError: it never was; the ledger was cut off before that entry, or is another ledger.
        """
        if head == GENESIS:
            return Ledger()
        for entry in self.entries:
            if entry.digest == head:
                return Ledger(self.entries[: int(entry.sequence) + 1])
        raise VerificationError(
            Refusal.LEDGER_HEAD,
            f"no entry of the ledger has the published head {head}: the ledger was cut off or replaced",
        )


def new_entry(
    ledger: Ledger, *, moment: datetime, run: str, statement: str, envelope: str, signers: Sequence[str]
) -> LedgerEntry:
    """The entry that comes next."""
    fields = {
        "schema": "corpus-audit/ledger/1",
        "sequence": str(len(ledger.entries)),
        "previous": ledger.head,
        "time": time_text(moment),
        "run": run,
        "statement": statement,
        "envelope": envelope,
        "signers": list(signers),
    }
    return LedgerEntry.model_validate_json(strict_json.dumps(fields | {"self": _self_digest(fields)}))


def _self_digest(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(strict_json.dumps(fields)).hexdigest()


def append(path: Path, ledger: Ledger, entry: LedgerEntry) -> Ledger:
    """Add an entry and replace the file that ``ledger`` was read from, atomically; returns the new ledger.

    The caller must have held the output folder's lock since it read the ledger.
    """
    # The whole file is replaced, no line appended: a kill in mid-write would leave half a line, which breaks the chain.
    extended = Ledger((*ledger.entries, entry))
    atomic_write(path, b"".join(entry.line() for entry in extended.entries))
    return extended


def read_ledger(path: Path) -> Ledger:
    """Read a ledger and check every line.

    Raises:
        VerificationError: it is missing, or a line is not an entry, was changed, or does not follow the one before.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise VerificationError(Refusal.LEDGER_MISSING, f"there is no ledger {path}") from None
    except OSError as error:
        raise VerificationError(Refusal.LEDGER_MISSING, f"cannot read the ledger {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise VerificationError(
            Refusal.LEDGER_FORMAT, f"{path} has more than {MAX_BYTES:,} bytes, which is too large to read"
        )
    return parse_ledger(data, str(path))


def parse_ledger(data: bytes, source: str) -> Ledger:
    """A ledger from its bytes.

    Raises:
        VerificationError: as `read_ledger`.
    """
    entries: list[LedgerEntry] = []
    previous = GENESIS
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        entry = _parse_entry(line, f"{source}, line {number}")
        if int(entry.sequence) != number - 1 or entry.previous != previous:
            raise VerificationError(
                Refusal.LEDGER_CHAIN,
                f"{source}, line {number}: it does not follow the line before; a line was changed, moved or removed",
            )
        entries.append(entry)
        previous = hashlib.sha256(line).hexdigest()
    return Ledger(tuple(entries))


def _parse_entry(line: bytes, location: str) -> LedgerEntry:
    try:
        value = strict_json.loads(line)
        entry = LedgerEntry.model_validate_json(strict_json.dumps(value))
        moment_of(entry.time)
    except (strict_json.StrictJsonError, ValidationError, ValueError):
        raise VerificationError(Refusal.LEDGER_FORMAT, f"{location}: this is not a ledger entry") from None
    # Canonical bytes only: the digest of a line would else depend on how a tool spaces its JSON.
    if entry.line() != line:
        raise VerificationError(Refusal.LEDGER_FORMAT, f"{location}: the entry is not written as this tool writes it")
    if _self_digest({key: field for key, field in value.items() if key != "self"}) != entry.self_:
        raise VerificationError(Refusal.LEDGER_FORMAT, f"{location}: the entry was changed: its digest does not match")
    return entry
