"""Verification of a sign-off, from the envelope's size to the verdict; the first failed check ends it.

The order of the checks: size, envelope, signatures by trusted keys of enough distinct people, payload type, statement,
times, approvals and roles, the verifier's list of policies, waivers, the ledger and with it every key's dates, the
files of the run, what the statement says of them, the sampling plan, the shards, and last the verdict, judged again. A
statement is not parsed before its signatures are verified. Nothing here needs an engine, Great Expectations or a
network.
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
from corpus_audit.checks.signoff.predicate import (
    check_verdict,
    first_difference,
    measure_run,
    signable_results,
    subjects,
)
from corpus_audit.checks.signoff.run_files import open_intact_run
from corpus_audit.checks.signoff.shard_location import ShardLocation
from corpus_audit.checks.signoff.shards import (
    check_no_extra_files,
    check_sizes,
    detection_probability,
    hash_shards,
    open_verified,
    sample_shards,
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
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.plurals import agree
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import AuditError, NotSignableError, NoVerdictError, VerificationError
from corpus_audit.schemas.run.results import Results
from corpus_audit.schemas.run.signoff import LEDGER, Plan, Refusal, Statement, read_statement
from corpus_audit.schemas.run.trust import Trust

_RUN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What to verify.

    Attributes:
        sample: number of shards to hash, selected at random; None for all, 0 for a job that reads through
            `Verified.open`. Sizes of all shards are always compared.
        detached: skip the ledger.
        head: a published ledger head, which the ledger must have had.
        at: the time at which the sign-off must be valid; now by default.
        plan: the sampling plan that a job is about to follow.
        corpus: the folder or URL of the shards; by default that of the run.
        output: the folder with runs and ledger; by default that of the sign-off.
        workers: number of shards hashed at once.
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
    """A verified sign-off.

    Attributes:
        statement: the signed statement.
        envelope: SHA-256 of the sign-off's file.
        author, approvers: the holders of the keys that signed.
        head: the ledger's head; None if the ledger was skipped.
        shards, corpus: the signed shards, and their folder or URL.
        hashed: number of shards that were hashed.
        detection: probability that hashing so many detects one changed shard.
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
    options: VerifyOptions | None = None,
    *,
    starting: Callable[[int, int], Callable[[int], None]] | None = None,
) -> Verified:
    """Verify a sign-off.

    Args:
        path: the sign-off.
        trust: the trust file: the keys whose signatures count.
        options: what to verify; everything by default.
        starting: called with the number and the bytes of the shards that will be hashed; returns a function that is
            called with the bytes of every chunk.

    Raises:
        VerificationError: a check failed; ``code`` says which.
    """
    options = options or VerifyOptions()
    at = options.at or datetime.now(UTC)
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
            f"the trust file does not allow the policy {signed.policy.name!r} ({signed.policy.digest.sha256[:16]}…)",
        )
    check_waivers(signed, at)
    output = (options.output or path.absolute().parent.parent).absolute()
    ledger = None if options.detached else read_ledger(output / LEDGER)
    if ledger is not None:
        if options.head is not None:
            ledger.upto(options.head)
        signed_at = check_entries(ledger, statement, envelope, envelope_digest, signers, at)
    else:
        signed_at = {}
    check_compromised(signers, ledger, options.head, envelope_digest)
    check_dates(signers, signed_at, at)
    run, results = _run(output, statement)
    if options.plan is not None:
        _check_plan(signed.plan, options.plan)
    shards, location, hashed = _check_shards(run, options, starting)
    try:
        check_verdict(run, results)
    except VerificationError:
        raise
    except AuditError as error:
        raise VerificationError(Refusal.VERDICT, f"the run cannot be judged again: {error}") from None
    return _verified(statement, envelope_digest, signers, ledger, shards, location, hashed, options, trust)


def _check_shards(
    run: RunDirectory, options: VerifyOptions, starting: Callable[[int, int], Callable[[int], None]] | None
) -> tuple[tuple[SignedShard, ...], ShardLocation, int]:
    """Check the shards: their sizes, that there are no others, and the digests of all or of a sample.

    Returns:
        The signed shards, where they are, and how many were hashed.
    """
    shards = signed_shards(run)
    location = ShardLocation.of(run, options.corpus)
    corpus = location.corpus
    try:
        check_sizes(shards, corpus)
    except VerificationError as error:
        if error.code is not Refusal.SHARD_MISSING or options.corpus is not None:
            raise
        hint = f"{error}; if the corpus was moved, give its folder with --corpus"
        raise VerificationError(Refusal.SHARD_MISSING, hint) from None
    if location.snapshot is not None:
        images = run.facts.spec.get("document", {}).get("image") is not None
        check_no_extra_files(shards, corpus, location.snapshot, _unread(run), images)
    selected = shards if options.sample is None else sample_shards(shards, options.sample)
    progress = starting(len(selected), sum(shard.size for shard in selected)) if starting else lambda _: None
    hash_shards(selected, corpus, options.workers, progress)
    return shards, location, len(selected)


def _verified(
    statement: Statement,
    envelope: str,
    signers: Signers,
    ledger: Ledger | None,
    shards: tuple[SignedShard, ...],
    location: ShardLocation,
    hashed: int,
    options: VerifyOptions,
    trust: Trust,
) -> Verified:
    author = statement.predicate.decision.author
    open_questions = []
    if ledger is None:
        open_questions.append(
            "without the ledger it is unknown when each signature was made, whether the sign-off is in the ledger, and "
            "whether this is an older version of it"
        )
    elif options.head is None:
        open_questions.append(
            "that the ledger was cut off after this sign-off can only be detected with a published head (--head)"
        )
    detection = detection_probability(len(shards), hashed, 1)
    if hashed < len(shards):
        skipped = len(shards) - hashed
        open_questions.append(
            f"{skipped:,} of {plural(len(shards), 'shard')} {agree(skipped, 'was', 'were')} not hashed; one "
            f"changed shard is detected with probability {detection:.3f}"
        )
    if location.snapshot is None:
        open_questions.append(
            "there may be unsigned files among the shards: take the names of shards from the manifest"
        )
    for waiver in statement.predicate.measured.waivers:
        if not any(person.is_called(waiver.owner) for person in trust.people):
            open_questions.append(
                f"{waiver.owner}, who asked for the waiver {waiver.id}, is not in the trust file: an approver may be "
                "the same person"
            )
    if statement.predicate.measured.plan is not None and options.plan is None:
        open_questions.append("a sampling plan is signed and was not compared with that of the job (--plan)")
    return Verified(
        statement=statement,
        envelope=envelope,
        author=author,
        approvers=tuple(sorted(signers.approvers(author))),
        head=None if ledger is None else ledger.head,
        shards=shards,
        corpus=location.corpus,
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
    """The signed run and its results, after a check of its files against `run.json` and the statement."""
    signed = statement.predicate.measured
    if not _RUN_NAME.fullmatch(signed.run):
        raise VerificationError(Refusal.STATEMENT_FORMAT, f"{signed.run!a} is not the name of a run")
    run, digest = open_intact_run(output / signed.run, statement.digest_of("run.json"))
    try:
        results = signable_results(run)
        if statement.subject != subjects(run, digest):
            _mismatch("subject")
        different = first_difference(signed, measure_run(run, results, signed.plan.strategy if signed.plan else None))
    except (NotSignableError, NoVerdictError) as error:
        raise VerificationError(Refusal.VERDICT, str(error)) from None
    except VerificationError:
        raise
    except (AuditError, KeyError, TypeError, ValueError) as error:
        raise VerificationError(Refusal.RUN_RESULTS, f"{signed.run} cannot be read: {error}") from None
    if different:
        _mismatch(different)
    return run, results


def _mismatch(field: str) -> NoReturn:
    raise VerificationError(Refusal.STATEMENT_MISMATCH, f"the statement does not match the run in: {field}")


def _unread(run: RunDirectory) -> dict[str, str]:
    """The files that the audit listed but did not read: name -> reason."""
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
