"""``corpus-audit verify``: the line of a training job's start-up script."""

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


@click.command(short_help="Verify a sign-off, and that the corpus is the one that was signed.")
@click.argument("signoff", type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Hash every shard; this is the default.")
@click.option(
    "--sample", type=click.IntRange(min=0), metavar="K", help="Hash K shards chosen at random; all sizes are compared."
)
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), help="The sampling plan that the job will follow."
)
@click.option("--detached", is_flag=True, help="Verify without the ledger, and say what that leaves open.")
@click.option("--head", metavar="HEX", help="A ledger head that was published; the ledger must have had it.")
@click.option("--at", type=MOMENT, help="For which moment; now by default.")
@click.option("--corpus", help="Folder or URL of the shards, if they moved.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder of runs and ledger, if the sign-off moved.")
@click.option("--workers", type=click.IntRange(min=1), help="Shards hashed at once; the cores of this machine.")
@trust_option
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
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

    Prints one line, VERIFIED or REFUSED with a stable word for the reason, and ends with exit code 0 or 7. Every shard
    is hashed, and the verdict judged again from tables and policy. What was not verified is said on standard error.
    """
    import os

    from corpus_audit.checks.signoff import Asked
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
        asked = Asked(
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
            verified = verify_signoff(path, trust, asked, starting=hashing.begin)
    except VerificationError as error:
        return _refused(path, error, as_json)
    with presentation(session, f"the sign-off of {verified.statement.predicate.measured.run} is VERIFIED"):
        _verified(path, verified, as_json)
    return int(ExitCode.OK)


class _Hashing:
    """Progress of hashing on standard error: rate and time left."""

    def __init__(self, quiet: bool) -> None:
        from corpus_audit.pipelines.progress.board import process_board
        from corpus_audit.runners.process.progress import ProgressReporter

        self._board = process_board()  # which a signal cancels
        self._board.reset()
        self._reporter = ProgressReporter(self._board, sys.stderr, quiet)

    def begin(self, shards: int, size: int) -> Callable[[int], None]:
        self._board.begin_stage(f"hashing {shards:,} shards", total_bytes=size)
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
        f"{len(verified.shards):,} shards hashed; author {verified.author}, approved by {approvers}; "
        f"valid until {decision.valid_until}"
    )
    for sentence in verified.leaves_open:
        note(f"left open: {sentence}")
