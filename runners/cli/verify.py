"""``corpus-audit verify``: verify a sign-off before a training job starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.output import Session, emit_json, json_option, presentation
from corpus_audit.runners.cli.shared.signing import MOMENT, signoff_of, trust_option
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import ExitCode

if TYPE_CHECKING:
    from corpus_audit.checks.signoff import Verified


@click.command(short_help="Verify a sign-off and that the corpus is unchanged.")
@click.argument("signoff", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Hash every shard (the default).")
@click.option(
    "--sample", type=click.IntRange(min=0), metavar="K", help="Hash K random shards, and compare the sizes of all."
)
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), help="The sampling plan that the job will follow."
)
@click.option("--detached", is_flag=True, help="Verify without the ledger, and list what is then not verified.")
@click.option("--head", metavar="HEX", help="A ledger head that was published before; the ledger must contain it.")
@click.option("--at", type=MOMENT, help="Verify as of this time; by default now.")
@click.option("--corpus", help="Folder or URL of the shards, if they have moved.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of runs and ledger, if the sign-off has moved.")
@click.option("--workers", type=click.IntRange(min=1), help="Parallel hashing threads; by default one per core.")
@trust_option
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
@json_option
@click.pass_obj
def verify(
    session: Session,
    /,
    signoff: Path,
    full: bool,
    sample: int | None,
    plan_file: Path | None,
    detached: bool,
    head: str | None,
    at: datetime | None,
    corpus: str | None,
    output: Path | None,
    workers: int | None,
    trust_file: Path,
    quiet: bool,
    as_json: bool,
) -> int:
    """Verify SIGNOFF (or the sign-off of a run directory, output folder or audit.yaml).

    Verify prints one line: VERIFIED (exit code 0), or REFUSED with a fixed word for the reason (exit code 7). It hashes
    every shard and judges the run again from its tables and policy. Standard error lists what was not verified.
    """
    import os

    from corpus_audit.checks.signoff import VerifyOptions
    from corpus_audit.checks.signoff import verify as verify_signoff
    from corpus_audit.schemas.errors import UsageError, VerificationError
    from corpus_audit.schemas.run.signoff import Refusal, read_plan
    from corpus_audit.schemas.run.trust import load_trust

    if full and sample is not None:
        raise UsageError("--full and --sample exclude each other")
    path = signoff_of(signoff)
    try:
        trust = load_trust(trust_file)
        try:
            plan = None if plan_file is None else read_plan(plan_file.read_bytes())
        except OSError as error:
            raise VerificationError(Refusal.PLAN_UNREADABLE, f"cannot read {plan_file}: {error.strerror}") from None
        request = VerifyOptions(
            sample=sample,
            detached=detached,
            head=head,
            at=at,
            plan=plan,
            corpus=corpus,
            output=output,
            workers=workers or os.cpu_count() or 1,
        )
        with _Hashing(quiet) as hashing:
            session.leaving = hashing.stop
            verified = verify_signoff(path, trust, request, starting=hashing.begin)
    except VerificationError as error:
        return _refused(path, error, as_json)
    with presentation(session, f"the sign-off of {verified.statement.predicate.measured.run} is VERIFIED"):
        _verified(path, verified, as_json)
    return int(ExitCode.OK)


class _Hashing:
    """Progress of hashing on standard error, with rate and time left."""

    def __init__(self, quiet: bool) -> None:
        from corpus_audit.pipelines.progress.board import process_board
        from corpus_audit.runners.process.progress import ProgressReporter

        self._board = process_board()  # which a signal cancels
        self._board.reset()
        self._reporter = ProgressReporter(self._board, sys.stderr, quiet)

    def begin(self, shards: int, size: int) -> Callable[[int], None]:
        from corpus_audit.checks.text.numbers import plural

        self._board.begin_stage(f"hashing {plural(shards, 'shard')}", total_bytes=size)
        return self._board.advance

    def stop(self) -> None:
        """End the live line."""
        self._reporter.stop()

    def __enter__(self) -> _Hashing:
        self._board.begin_stage("verifying")
        self._reporter.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _refused(path: Path, error: Any, as_json: bool) -> int:
    from corpus_audit.checks.text.safe_text import safe_text

    code = ExitCode.VERIFICATION_FAILED
    if as_json:
        payload = {"verified": False, "signoff": str(path), "code": str(error.code), "error": str(error)}
        emit_json("verify", payload | {"exit_code": int(code)})
    else:
        write_out(f"REFUSED {error.code}: {safe_text(str(error), 1000)}")
    return int(code)


def _verified(path: Path, verified: Verified, as_json: bool) -> None:
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.checks.text.safe_text import safe_text

    signed, decision = verified.statement.predicate.measured, verified.statement.predicate.decision
    if as_json:
        emit_json(
            "verify",
            {
                "verified": True,
                "signoff": str(path),
                "run": signed.run,
                "verdict": signed.verdict,
                "snapshot": signed.corpus.snapshot,
                "envelope": verified.envelope,
                "author": verified.author,
                "approvers": list(verified.approvers),
                "valid_until": decision.valid_until,
                "shards": len(verified.shards),
                "hashed": verified.hashed,
                "detection_probability": verified.detection,
                "ledger_head": verified.head,
                "leaves_open": list(verified.leaves_open),
                "exit_code": 0,
            },
        )
        return
    approvers = ", ".join(verified.approvers)
    write_out(
        f"VERIFIED {safe_text(signed.run, 100)}: {signed.verdict.replace('_', ' ')} by "
        f"{safe_text(signed.policy.name, 60)} {safe_text(signed.policy.version, 20)}; {verified.hashed:,} of "
        f"{plural(len(verified.shards), 'shard')} hashed; author {verified.author}, approved by {approvers}; "
        f"valid until {decision.valid_until}"
    )
    for sentence in verified.leaves_open:
        note(f"left open: {sentence}")
