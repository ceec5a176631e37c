"""``corpus-audit run``: audit the corpus that a spec describes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.command_progress import InterruptedCommandError, interruptible
from corpus_audit.runners.cli.shared.engine_choice import dry_run_option, engine_of, engine_options, show_dry_run
from corpus_audit.runners.cli.shared.output import (
    Session,
    colour_on_stdout,
    emit_json,
    json_option,
    presentation,
    width_on_stdout,
)
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.runners.cli.shared.verdict import fail_on_option, verdict_code, verdict_json
from corpus_audit.runners.engines.options import EMBEDDED, EngineOptions
from corpus_audit.schemas.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from corpus_audit.pipelines.progress.board import BoardState
    from corpus_audit.runners.audit.outcome import AuditOutcome
    from corpus_audit.schemas.spec.audit_file import LoadedAudit


@click.command(short_help="Audit a corpus and publish a run directory.")
@click.argument("audit", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value: limits.expansion=100.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of reader threads; by default one per core.")
@click.option("--rehash", is_flag=True, help="Hash every shard again, even if its size and time stamp are unchanged.")
@click.option("--if-changed", is_flag=True, help="Do nothing if snapshot, spec and policy are those of the last run.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The date of {date} in the snapshot's paths, and the last one that {latest} may be; by default today (UTC).",
)
@click.option("--per-document", is_flag=True, help="Also write a table with the counts of every document.")
@fail_on_option
@engine_options
@dry_run_option
@click.option("--quiet", "-q", is_flag=True, help="Do not show progress.")
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

    Data that an earlier run has counted is not read again: an interrupted run continues where it stopped, and a run
    over a grown corpus reads only the new shards. If the spec names a policy, the exit code gives the verdict: 0
    passed, 1 failed, 4 no verdict. With --if-changed and no change it is 0, whatever the last verdict was.

    Arguments after `--` are passed to Apache Beam.
    """
    from corpus_audit.schemas.spec.audit_file import load_audit

    options = engine_of(**engine)
    if per_document:
        overrides += ("per_document=true",)
    loaded = load_audit(audit, overrides)
    if dry_run:
        return show_dry_run(loaded, options, as_json)
    try:
        outcome = perform_audit(
            session,
            loaded,
            workers=workers,
            rehash=rehash,
            quiet=quiet,
            if_changed=if_changed,
            day=day and day.date(),
            engine=options,
        )
    except InterruptedCommandError:
        raise
    except Exception as error:  # also of what nobody expected: who relies on a nightly audit must hear of it
        _notify(loaded, error, int(getattr(error, "exit_code", ExitCode.INTERNAL)))
        raise
    judged = None if outcome.unchanged else outcome.results
    code = outcome.exit_code if judged is None else verdict_code(judged, fail_on)
    notifications: list[dict[str, object]] = []
    with presentation(session, f"the run is published in {outcome.run_dir} and its hooks were to be notified"):
        notifications = _notify(loaded, outcome, int(code))
    with presentation(session, published(outcome)):
        if outcome.unchanged:
            return show_unchanged(outcome, as_json, notifications)
        show_outcome(outcome, "run", as_json, code, notifications)
    return 0 if outcome.unchanged else int(code)


def published(outcome: AuditOutcome) -> str:
    """The message that a run is published, for the case that its summary cannot be shown."""
    return f"the run is published in {outcome.run_dir}, its report is {outcome.run_dir / 'report.html'}"


def _notify(loaded: LoadedAudit, result: AuditOutcome | Exception, code: int) -> list[dict[str, object]]:
    """Notify the hooks of the spec; returns the result of each, for ``--json``."""
    if not loaded.spec.notify:
        return []
    from corpus_audit.runners.audit.notify import message_of, message_of_error, notify

    name = loaded.spec.name
    message = message_of_error(result, name, code) if isinstance(result, Exception) else message_of(result, name, code)
    deliveries = notify(loaded.spec.notify, message, loaded.base)
    for each in deliveries:
        if each.problem is not None:
            note(f"corpus-audit: could not notify {each.hook}: {each.problem}")
    return [{"hook": each.hook, "sent": each.problem is None, "problem": each.problem} for each in deliveries]


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
        InterruptedCommandError: SIGINT or SIGTERM came.
        AuditError: the run failed for a reason that its message explains.
    """
    from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
    from corpus_audit.runners.process.logs import quiet_engine_logs
    from corpus_audit.runners.process.pandas_shim import keep_pandas_out

    session.output = loaded.base / loaded.spec.output
    quiet_engine_logs()
    if session.own_process:
        keep_pandas_out()
    loaded = fill_dates(loaded, day)
    with interruptible(session, quiet, interrupted_message) as board:
        board.begin_stage("loading the engine")
        from corpus_audit.runners.audit.run import run_audit

        outcome = run_audit(loaded, workers=workers, board=board, rehash=rehash, if_changed=if_changed, engine=engine)
    if outcome.unchanged:
        return outcome
    from corpus_audit.runners.audit.history import record_run

    if problem := record_run(outcome.run_dir):
        note(f"corpus-audit: {problem}")
    for sentence in outcome.notes:
        note(f"corpus-audit: {sentence}")
    return outcome


def interrupted_message(state: BoardState) -> str:
    """The last line of an interrupted run."""
    if not state.splits_total:
        return "interrupted before anything was read; run the same command again"
    are = "is" if state.splits_done == 1 else "are"
    stored = f"{state.splits_done:,} of {state.splits_total:,} splits {are} stored"
    return f"interrupted: {stored}; run the same command again to continue"


def show_unchanged(outcome: AuditOutcome, as_json: bool, notifications: Sequence[Mapping[str, object]]) -> int:
    """Report that nothing has changed, and the verdict of the last run; returns the exit code, 0."""
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
                "notifications": notifications,
                "exit_code": 0,
            },
        )
        return 0
    verdict = "was not judged" if outcome.results is None else f"was judged {outcome.results.verdict.value}"
    write_out(
        f"Nothing to do: snapshot, spec and policy are those of the last run, {outcome.run_dir.name}, which {verdict}."
    )
    return 0


def show_outcome(
    outcome: AuditOutcome,
    schema: str,
    as_json: bool,
    code: int,
    notifications: Sequence[Mapping[str, object]] = (),
    more: Mapping[str, object] | None = None,
) -> int:
    """Write a run's result to standard output and return ``code``, the process's exit code.

    ``notifications`` are the results of the hooks; ``more`` is added to the JSON.
    """
    report = outcome.run_dir / "report.html"
    if as_json:
        from corpus_audit.runners.audit.outcome import drift_conclusions

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
                "drift": drift_conclusions(outcome.run_dir),
                "notifications": list(notifications),
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
        report: path of the report, which the summary names.
    """
    from corpus_audit.checks.report.page.model import load_report
    from corpus_audit.checks.report.page.terminal import render_summary

    summary = render_summary(load_report(run_dir), str(report), width_on_stdout(), colour_on_stdout())
    write_out(summary, nl=False)
