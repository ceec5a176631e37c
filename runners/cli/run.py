"""``corpus-audit run``: audit the corpus that a spec describes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.engine_choice import dry_run_option, engine_of, engine_options, show_dry_run
from corpus_audit.runners.cli.output import (
    Session,
    colour_on_stdout,
    emit_json,
    json_option,
    presentation,
    width_on_stdout,
)
from corpus_audit.runners.cli.streams import note, write_out
from corpus_audit.runners.cli.verdict import fail_on_option, verdict_code, verdict_json
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from corpus_audit.schemas.errors import AuditError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from corpus_audit.pipelines.progress.board import BoardState
    from corpus_audit.runners.audit.run import AuditOutcome
    from corpus_audit.schemas.spec.audit_file import LoadedAudit


@click.command(short_help="Audit a corpus and publish a run directory.")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value: limits.expansion=100.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that read; the cores of this machine by default.")
@click.option("--rehash", is_flag=True, help="Hash every shard anew instead of trusting its size and time stamp.")
@click.option("--if-changed", is_flag=True, help="Do nothing if the last run had this snapshot, spec and policy.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="What {date} in the snapshot's paths is, and {latest} at most; today (UTC) by default.",
)
@click.option("--per-document", is_flag=True, help="Also write a table of every document's counts.")
@fail_on_option
@engine_options
@dry_run_option
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@json_option
@click.pass_obj
def run(
    session: Session,
    /,
    audit: Path,
    overrides: tuple[str, ...],
    workers: int | None,
    rehash: bool,
    if_changed: bool,
    day: datetime | None,
    per_document: bool,
    fail_on: str,
    quiet: bool,
    as_json: bool,
    dry_run: bool,
    **engine: Any,
) -> int:
    """Audit the corpus that AUDIT describes and publish a run directory.

    What an earlier run has read is not read again: an interrupted run goes on where it was, and a run over a grown
    corpus reads the new shards. If the spec names a policy, the exit code says what it judges: 0 passed, 1 failed,
    4 no verdict. With --if-changed it is 0 if there was nothing to do, whatever the last run was judged to.

    What follows `--` goes to Apache Beam as it is.
    """
    from corpus_audit.schemas.spec.audit_file import load_audit

    chosen = engine_of(**engine)
    if per_document:
        overrides += ("per_document=true",)
    loaded = load_audit(audit, overrides)
    if dry_run:
        return show_dry_run(loaded, chosen, as_json)
    try:
        outcome = perform_audit(
            session,
            loaded,
            workers=workers,
            rehash=rehash,
            quiet=quiet,
            if_changed=if_changed,
            day=day and day.date(),
            engine=chosen,
        )
    except InterruptedRunError:
        raise
    except Exception as error:
        _tell_hooks(loaded, error, int(getattr(error, "exit_code", ExitCode.INTERNAL)))
        raise
    judged = None if outcome.unchanged else outcome.results
    code = outcome.exit_code if judged is None else verdict_code(judged, fail_on)
    told: list[dict[str, object]] = []
    with presentation(session, f"the run is published in {outcome.run_dir} and its hooks were to be told"):
        told = _tell_hooks(loaded, outcome, int(code))
    with presentation(session, published(outcome)):
        if outcome.unchanged:
            return show_unchanged(outcome, as_json, told)
        show_outcome(outcome, "run", as_json, code, told)
    return 0 if outcome.unchanged else int(code)


def published(outcome: AuditOutcome) -> str:
    """That a run is published, and where its report is, for the case that its summary cannot be shown."""
    return f"the run is published in {outcome.run_dir}, its report is {outcome.run_dir / 'report.html'}"


def _tell_hooks(loaded: LoadedAudit, what: AuditOutcome | Exception, code: int) -> list[dict[str, object]]:
    """Tell the hooks of the spec what the run came to; returns what became of each, for ``--json``."""
    if not loaded.spec.notify:
        return []
    from corpus_audit.runners.audit.notify import message_of, message_of_error, notify

    name = loaded.spec.name
    message = message_of_error(what, name, code) if isinstance(what, Exception) else message_of(what, name, code)
    told = notify(loaded.spec.notify, message, loaded.base)
    for one in told:
        if one.problem is not None:
            note(f"corpus-audit: {one.hook} was not told: {one.problem}")
    return [{"hook": one.hook, "told": one.problem is None, "problem": one.problem} for one in told]


def perform_audit(
    session: Session,
    loaded: LoadedAudit,
    *,
    workers: int | None,
    rehash: bool,
    quiet: bool,
    if_changed: bool = False,
    day: date | None = None,
    engine: EngineOptions = EMBEDDED,
) -> AuditOutcome:
    """Run an audit with progress on standard error; ``day`` is the date of its snapshot's paths.

    Raises:
        InterruptedRunError: SIGINT or SIGTERM came.
        AuditError: the run failed for a reason that its message explains.
    """
    from corpus_audit.pipelines.progress.board import process_board
    from corpus_audit.pipelines.reading.snapshot.dates import dated
    from corpus_audit.runners.process.interrupts import Interrupts
    from corpus_audit.runners.process.logs import quiet_engine_logs
    from corpus_audit.runners.process.pandas_shim import keep_pandas_out
    from corpus_audit.runners.process.progress import ProgressReporter

    session.output = loaded.base / loaded.spec.output
    quiet_engine_logs()
    if session.own_process:
        keep_pandas_out()
    loaded = dated(loaded, day)
    board = process_board()
    board.reset()
    reporter = ProgressReporter(board, sys.stderr, quiet)

    def leave(signum: int) -> None:
        reporter.stop()
        os.write(2, f"corpus-audit: {interrupted_message(board.state())}\n".encode())
        os._exit(128 + signum)

    interrupts = Interrupts(board, leave)
    try:
        with interrupts, reporter:
            board.begin_stage("loading the engine")
            from corpus_audit.runners.audit.run import run_audit

            outcome = run_audit(
                loaded, workers=workers, board=board, rehash=rehash, if_changed=if_changed, engine=engine
            )
    except BaseException as error:
        if interrupts.signum is None and not isinstance(error, KeyboardInterrupt):
            raise
        session.abandon = True
        raise InterruptedRunError(board.state(), interrupts.signum or 2) from None
    if outcome.unchanged:
        return outcome
    from corpus_audit.runners.audit.history import record_run

    if trouble := record_run(outcome.run_dir):
        note(f"corpus-audit: {trouble}")
    for sentence in outcome.notes:
        note(f"corpus-audit: {sentence}")
    return outcome


def interrupted_message(state: BoardState) -> str:
    """The one line that an interrupted run ends with."""
    if not state.splits_total:
        return "interrupted before anything was read; run the same command again"
    kept = f"{state.splits_done:,} of {state.splits_total:,} splits are kept"
    return f"interrupted: {kept}; run the same command again to go on"


class InterruptedRunError(AuditError):
    """A signal ended the run; what it had read is kept."""

    def __init__(self, state: BoardState, signum: int) -> None:
        super().__init__(interrupted_message(state))
        self.exit_code = 128 + signum  # type: ignore[assignment]


def show_unchanged(outcome: AuditOutcome, as_json: bool, told: Sequence[Mapping[str, object]]) -> int:
    """Say that there was nothing to do, and what the last run was judged to; returns the exit code, 0."""
    if as_json:
        judged = {} if outcome.results is None else verdict_json(outcome.results)
        last = {"run": str(outcome.run_dir), "report": str(outcome.run_dir / "report.html")}
        emit_json(
            "run",
            {
                **last,
                "unchanged": True,
                "complete": True,
                "reasons": [],
                **judged,
                "notifications": told,
                "exit_code": 0,
            },
        )
        return 0
    said = "was not judged" if outcome.results is None else f"was judged {outcome.results.verdict.value}"
    write_out(
        f"Nothing to do: snapshot, spec and policy are those of the last run, {outcome.run_dir.name}, which {said}."
    )
    return 0


def show_outcome(
    outcome: AuditOutcome,
    schema: str,
    as_json: bool,
    code: int,
    told: Sequence[Mapping[str, object]] = (),
    more: Mapping[str, object] | None = None,
) -> int:
    """Write a run's result to standard output and return ``code``, the process's exit code.

    ``told`` is what became of the hooks that were told of it; ``more`` is added to the JSON.
    """
    report = outcome.run_dir / "report.html"
    if as_json:
        emit_json(
            schema,
            {
                "run": str(outcome.run_dir),
                "report": str(report),
                "unchanged": False,
                "complete": outcome.complete,
                "reasons": list(outcome.reasons),
                "splits_read": outcome.splits_read,
                "splits_cached": outcome.splits_cached,
                **({} if outcome.results is None else verdict_json(outcome.results)),
                "notifications": list(told),
                **(more or {}),
                "exit_code": int(code),
            },
        )
        return int(code)
    write_summary(outcome.run_dir, report)
    for reason in outcome.reasons:
        note(f"corpus-audit: no verdict: {reason}")
    return int(code)


def write_summary(run_dir: Path, report: Path) -> None:
    """Write a run's summary to standard output, as wide as the terminal and at most 100 columns.

    Args:
        run_dir: the finished run.
        report: the page that the summary ends by naming.
    """
    from corpus_audit.checks.report.page.model import load_report
    from corpus_audit.checks.report.page.terminal import render_summary

    summary = render_summary(load_report(run_dir), str(report), width_on_stdout(), colour_on_stdout())
    write_out(summary, nl=False)
