"""Verification of a sign-off, from the envelope's size to the verdict; the first thing that does not hold ends it.

The order: size, envelope, signatures by trusted keys of enough distinct people, payload type, statement, times,
approvals and roles, the verifier's list of policies, waivers, the ledger and with it every key's dates, the files of
the run, what the statement says of them, the sampling plan, the shards, and last the verdict, judged again. A statement
is not parsed before its signatures hold. Nothing here needs an engine, Great Expectations or a network.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from corpus_audit.checks.signoff.dsse import MAX_BYTES, PAYLOAD_TYPE, read_envelope
from corpus_audit.checks.signoff.ledger import Ledger, read_ledger
from corpus_audit.checks.signoff.manifest import SignedShard, signed_shards
from corpus_audit.checks.signoff.measured import (
    check_verdict,
    first_difference,
    measured,
    signable_results,
    subjects,
)
from corpus_audit.checks.signoff.run_files import open_intact_run
from corpus_audit.checks.signoff.shards import (
    check_nothing_more,
    check_sizes,
    detection_probability,
    hash_shards,
    open_verified,
    sample_of,
)
from corpus_audit.checks.signoff.signed_entries import check_compromised, check_entries
from corpus_audit.checks.signoff.signers import (
    Signers,
    check_approvals,
    check_dates,
    check_enough,
    check_waivers,
    check_window,
    signers_of,
)
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import AuditError, NotSignableError, NoVerdictError, VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.results import Results
from corpus_audit.schemas.run.signoff import LEDGER, Plan, Refusal, Statement, read_statement
from corpus_audit.schemas.run.trust import Trust
from corpus_audit.schemas.spec.audit import SnapshotSpec

_RUN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


@dataclass(frozen=True, slots=True)
class Asked:
    """How much is to be verified.

    Attributes:
        sample: shards to hash, chosen at random; all by default, and none with 0 for a job that reads through
            `Verified.open`. Sizes of all shards are always compared.
        detached: leave the ledger out.
        head: a ledger head that was published; the ledger must have had it.
        at: the moment for which the sign-off has to hold; now by default.
        plan: the sampling plan that a job is about to follow.
        corpus: the folder or URL of the shards; by default where the run found them.
        output: the folder with runs and ledger; by default that of the sign-off's own folder.
        workers: shards hashed at once.
    """

    sample: int | None = None
    detached: bool = False
    head: str | None = None
    at: datetime | None = None
    plan: Plan | None = None
    corpus: str | None = None
    output: Path | None = None
    workers: int = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Verified:
    """A sign-off that holds.

    Attributes:
        statement: what was signed.
        envelope: SHA-256 of the sign-off's file.
        author, approvers: who signed.
        head: the ledger's head; None where the ledger was left out.
        shards, corpus: the signed shards, and where they are; hashed: how many were hashed now.
        detection: chance that hashing so many finds one changed shard.
        leaves_open: what was not verified, in sentences.
    """

    statement: Statement
    envelope: str
    author: str
    approvers: tuple[str, ...]
    head: str | None
    shards: tuple[SignedShard, ...]
    corpus: str
    hashed: int
    detection: float
    leaves_open: tuple[str, ...]

    def open(self, name: str) -> io.BufferedReader:
        """Open a signed shard by its name in the manifest; see `open_verified` for what is guaranteed.

        Raises:
            VerificationError: there is no such shard, or its bytes are not those that were signed.
        """
        shard = next((shard for shard in self.shards if shard.name == name), None)
        if shard is None:
            raise VerificationError(Refusal.SHARD_MISSING, f"no shard {name!r} was signed")
        return open_verified(shard, self.corpus)


def verify(
    path: Path,
    trust: Trust,
    asked: Asked | None = None,
    *,
    starting: Callable[[int, int], Callable[[int], None]] | None = None,
) -> Verified:
    """Verify a sign-off.

    Args:
        path: the sign-off.
        trust: whose signatures count.
        asked: how much is to be verified.
        starting: told the number and bytes of the shards that will be hashed; returns what is told of every chunk.

    Raises:
        VerificationError: it does not hold; ``code`` says which check refused it.
    """
    asked = asked or Asked()
    at = asked.at or datetime.now(UTC)
    data = _read(path)
    envelope = read_envelope(data)
    envelope_digest = hashlib.sha256(data).hexdigest()
    signers = signers_of(envelope, trust)
    check_enough(signers, trust.approvals)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise VerificationError(Refusal.PAYLOAD_TYPE, f"the payload is of the type {envelope.payload_type[:80]!a}")
    statement = read_statement(envelope.payload)
    signed = statement.predicate.measured
    check_window(statement, at)
    check_approvals(statement, signers, trust)
    if signed.policy.digest.sha256 not in {policy.sha256 for policy in trust.policies}:
        raise VerificationError(
            Refusal.POLICY_NOT_ALLOWED,
            f"the policy {signed.policy.name!r} ({signed.policy.digest.sha256[:16]}…) is not on the trust file's list",
        )
    check_waivers(signed, at)
    output = (asked.output or path.absolute().parent.parent).absolute()
    ledger = None if asked.detached else read_ledger(output / LEDGER)
    if ledger is not None:
        if asked.head is not None:
            ledger.upto(asked.head)
        signed_at = check_entries(ledger, statement, envelope, envelope_digest, signers, at)
    else:
        signed_at = {}
    check_compromised(signers, ledger, asked.head, envelope_digest)
    check_dates(signers, signed_at, at)
    run, results = _run(output, statement)
    if asked.plan is not None:
        _check_plan(signed.plan, asked.plan)
    shards = signed_shards(run)
    place = _Place.of(run, asked.corpus)
    corpus = place.corpus
    try:
        check_sizes(shards, corpus)
    except VerificationError as error:
        if error.code is not Refusal.SHARD_MISSING or asked.corpus is not None:
            raise
        hint = f"{error}; if the corpus was moved, name its folder with --corpus"
        raise VerificationError(Refusal.SHARD_MISSING, hint) from None
    if place.snapshot is not None:
        check_nothing_more(shards, corpus, place.snapshot, _unread(run))
    chosen = shards if asked.sample is None else sample_of(shards, asked.sample)
    progress = starting(len(chosen), sum(shard.size for shard in chosen)) if starting else lambda _: None
    hash_shards(chosen, corpus, asked.workers, progress)
    try:
        check_verdict(run, results)
    except VerificationError:
        raise
    except AuditError as error:
        raise VerificationError(Refusal.VERDICT, f"the run cannot be judged again: {error}") from None
    return _verified(statement, envelope_digest, signers, ledger, shards, place, len(chosen), asked, trust)


def _verified(
    statement: Statement,
    envelope: str,
    signers: Signers,
    ledger: Ledger | None,
    shards: tuple[SignedShard, ...],
    place: _Place,
    hashed: int,
    asked: Asked,
    trust: Trust,
) -> Verified:
    author = statement.predicate.decision.author
    open_questions = []
    if ledger is None:
        open_questions.append(
            "without the ledger it is not known when each signature was made, whether the sign-off was entered at all, "
            "or whether it was exchanged for an older version of itself"
        )
    elif asked.head is None:
        open_questions.append("a ledger that was cut off after this sign-off is only found against a published head")
    detection = detection_probability(len(shards), hashed, 1)
    if hashed < len(shards):
        open_questions.append(
            f"{len(shards) - hashed:,} of {len(shards):,} shards were not hashed; one changed shard is found with "
            f"probability {detection:.3f}"
        )
    if place.snapshot is None:
        open_questions.append("files that were not signed may lie among the shards: take their names from the manifest")
    for waiver in statement.predicate.measured.waivers:
        if not any(person.is_called(waiver.owner) for person in trust.people):
            open_questions.append(
                f"{waiver.owner}, who asked for the waiver {waiver.id}, is nobody of the trust file: an approver may "
                "be the same person"
            )
    if statement.predicate.measured.plan is not None and asked.plan is None:
        open_questions.append("a sampling plan is signed, and was not compared with what the job will do (--plan)")
    return Verified(
        statement=statement,
        envelope=envelope,
        author=author,
        approvers=tuple(sorted(signers.approvers(author))),
        head=None if ledger is None else ledger.head,
        shards=shards,
        corpus=place.corpus,
        hashed=hashed,
        detection=detection,
        leaves_open=tuple(open_questions),
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise VerificationError(
            Refusal.SIGNOFF_UNREADABLE, f"cannot read the sign-off {path}: {error.strerror}"
        ) from None


def _run(output: Path, statement: Statement) -> tuple[RunDirectory, Results]:
    """The run that was signed, its files intact and as the statement says."""
    signed = statement.predicate.measured
    if not _RUN_NAME.fullmatch(signed.run):
        raise VerificationError(Refusal.STATEMENT_FORMAT, f"{signed.run!a} is not the name of a run")
    run, digest = open_intact_run(output / signed.run, statement.digest_of("run.json"))
    try:
        results = signable_results(run)
        if statement.subject != subjects(run, digest):
            _mismatch("subject")
        different = first_difference(signed, measured(run, results, signed.plan.strategy if signed.plan else None))
    except (NotSignableError, NoVerdictError) as error:
        raise VerificationError(Refusal.VERDICT, str(error)) from None
    except VerificationError:
        raise
    except (AuditError, KeyError, TypeError, ValueError) as error:
        raise VerificationError(Refusal.RUN_RESULTS, f"{signed.run} cannot be read: {error}") from None
    if different:
        _mismatch(different)
    return run, results


def _mismatch(what: str) -> NoReturn:
    raise VerificationError(Refusal.STATEMENT_MISMATCH, f"the statement and the run say different things of: {what}")


def _unread(run: RunDirectory) -> dict[str, str]:
    """The files that the audit saw and did not read: name -> reason."""
    if "tables/unread_files.parquet" not in run.facts.files:
        return {}
    table = run.table("unread_files")
    return dict(zip(table["file"].to_pylist(), table["reason"].to_pylist(), strict=True))


def _check_plan(signed: Plan | None, given: Plan) -> None:
    if signed is None:
        raise VerificationError(Refusal.PLAN_ABSENT, "no sampling plan was signed")
    for name in Plan.model_fields:
        if getattr(signed, name) != getattr(given, name):
            raise VerificationError(
                Refusal.PLAN_MISMATCH, f"the sampling plan differs from the one that was signed in: {name.strip('_')}"
            )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the shards are, and how the audit listed them; None where that cannot be told for another place."""

    corpus: str
    snapshot: SnapshotSpec | None

    @classmethod
    def of(cls, run: RunDirectory, moved: str | None) -> _Place:
        """By what the run says, for shards that may have moved since."""
        found = strict_json.loads((run.folder / "timings.json").read_bytes())
        before = found.get("corpus")
        if not isinstance(before, str) or not before:
            if moved is None:
                raise VerificationError(
                    Refusal.CORPUS_UNKNOWN,
                    "the run does not say where its shards were; name their folder with --corpus",
                )
            return cls(moved.rstrip("/"), None)
        corpus = (moved or before).rstrip("/")
        paths = [str(path) for path in found.get("paths", ())]
        ignore = [str(pattern) for pattern in found.get("ignore", ())]
        below = [path for path in paths if path == before or path.startswith(f"{before}/")]
        if not paths or (moved is not None and below != paths):
            return cls(corpus, None)
        there = tuple(f"{corpus}{path[len(before) :]}" for path in paths) if moved is not None else tuple(paths)
        ignored = tuple(
            f"{corpus}{pattern[len(before) :]}" if pattern.startswith(f"{before}/") else pattern for pattern in ignore
        )
        format_ = run.facts.spec.get("snapshot", {}).get("format", "auto")
        return cls(corpus, SnapshotSpec(paths=there, format=format_, ignore=ignored))
