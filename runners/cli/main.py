"""``corpus-audit``: the command group and what becomes of errors.

Command modules are imported when they are called for, and import what they need when they run, so that ``--help``
costs no more than Click.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.runners.cli.shared.crash_report import one_line, write_crash_report
from corpus_audit.runners.cli.shared.output import Session, emit_json
from corpus_audit.runners.cli.shared.streams import close_streams, forget_loss, note, output_loss, prepare_streams
from corpus_audit.runners.cli.shared.usage_errors import nearest, usage_message
from corpus_audit.runners.process.interpreter import prepare_interpreter
from corpus_audit.runners.process.interrupts import Interrupts
from corpus_audit.schemas.errors import AuditError, ExitCode

COMMANDS = {
    "demo": "corpus_audit.runners.cli.demo:demo",
    "init": "corpus_audit.runners.cli.init:init",
    "run": "corpus_audit.runners.cli.run:run",
    "check": "corpus_audit.runners.cli.check:check",
    "policy": "corpus_audit.runners.cli.policy:policy",
    "drift": "corpus_audit.runners.cli.drift:drift",
    "sampling": "corpus_audit.runners.cli.sampling:sampling",
    "report": "corpus_audit.runners.cli.report:report",
    "history": "corpus_audit.runners.cli.history:history",
    "prune": "corpus_audit.runners.cli.prune:prune",
    "push": "corpus_audit.runners.cli.remote:push",
    "fetch": "corpus_audit.runners.cli.remote:fetch",
    "keys": "corpus_audit.runners.cli.keys:keys",
    "approve": "corpus_audit.runners.cli.approve:approve",
    "verify": "corpus_audit.runners.cli.verify:verify",
    "ledger": "corpus_audit.runners.cli.ledger:ledger",
    "index": "corpus_audit.runners.cli.index:index",
    "lookup": "corpus_audit.runners.cli.lookup:lookup",
    "search": "corpus_audit.runners.cli.search:search",
    "units": "corpus_audit.runners.cli.units:units",
    "explain": "corpus_audit.runners.cli.explain:explain",
    "attribute": "corpus_audit.runners.cli.attribute:attribute",
    "prototype": "corpus_audit.runners.cli.prototype:prototype",
    "attention": "corpus_audit.runners.cli.attention:attention",
    "heads": "corpus_audit.runners.cli.heads:heads",
    "lens": "corpus_audit.runners.cli.lens:lens",
    "trace": "corpus_audit.runners.cli.trace:trace",
    "investigate": "corpus_audit.runners.cli.investigate:investigate",
    "flink": "corpus_audit.runners.cli.flink:flink",
    "doctor": "corpus_audit.runners.cli.doctor:doctor",
    "schema": "corpus_audit.runners.cli.schema:schema",
}
"""Every command, in the order of the help, and where it is defined."""


class BrokenPipeInCommandError(Exception):
    """A pipe or connection broke: that of standard output, or one of the command's own.

    Attributes:
        error: what was raised.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class InterruptedCommandError(BaseException):
    """A signal came; Click would write an empty line for a `KeyboardInterrupt`."""


@contextmanager
def _reraised_outside_click() -> Iterator[None]:
    """Keep a broken pipe from Click, which ends the process with exit code 1 for it, a verdict here; and a signal."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedCommandError from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise BrokenPipeInCommandError(error) from error
        raise


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name; a name that is none is answered with the nearest ones."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(nearest("command", args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def make_context(self, *given: Any, **more: Any) -> click.Context:
        """Parse the arguments; may write the help."""
        with _reraised_outside_click():
            return super().make_context(*given, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Perform the command."""
        with _reraised_outside_click():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="corpus-audit", message="corpus-audit %(version)s")
def cli() -> None:
    """Audit the data that a language model is trained on.

    Results go to standard output, all other messages to standard error.

    \b
    Exit codes: 0 success, 1 failed verdict, 2 usage error, 3 warnings,
    4 no verdict, 5 internal error, 6 output folder in use, 7 verification failed,
    130 interrupted, 143 terminated.
    """


def run_command(arguments: Sequence[str], session: Session) -> int:
    """Run one command line and return its exit code; every error has been told by then.

    With ``--json`` among the arguments an error is a JSON object on standard output as well. SIGINT and SIGTERM end
    every command with one line and 128 plus the signal's number. Where standard output cannot be written, the exit
    code of a command that judges stays what it judged; that of another is `ExitCode.USAGE`, unless its reader has gone.
    """
    forget_loss()

    def leave(signum: int) -> None:
        session.leaving()
        os.write(2, f"corpus-audit: {session.interrupted}\n".encode())
        os._exit(128 + signum)

    try:
        with Interrupts(process_board(), leave) as interrupts:
            code, judges = _performed(arguments, session, interrupts)
            loss = output_loss()
    except KeyboardInterrupt:  # a signal that came when the command had ended
        return int(ExitCode.INTERRUPTED)
    if loss is None or loss.errno == errno.EPIPE:
        return code
    note(f"corpus-audit: the result could not be written to standard output: {loss.strerror}")
    return code if judges or code else int(ExitCode.USAGE)


def _performed(arguments: Sequence[str], session: Session, interrupts: Interrupts) -> tuple[int, bool]:
    """The exit code of a command line, and whether it is one that the command itself has given."""
    try:
        outcome = cli.main(args=list(arguments), prog_name="corpus-audit", obj=session, standalone_mode=False)
        return (int(outcome), True) if isinstance(outcome, int) else (int(ExitCode.OK), False)
    except BaseException as error:
        if interrupts.signum is not None:
            session.abandon = True  # threads of the command may not have ended
            note(f"corpus-audit: {session.interrupted}")
            return _emit_error(session.interrupted, "Interrupted", 128 + interrupts.signum, arguments), True
        return _failed(error, arguments, session), isinstance(error, AuditError)


def _failed(error: BaseException, arguments: Sequence[str], session: Session) -> int:
    """Say what went wrong, and return the exit code."""
    if isinstance(error, BrokenPipeInCommandError):
        if _in_help(error.error):  # whose reader has gone
            return int(ExitCode.OK)
        error = error.error
    if isinstance(error, click.ClickException):
        message = usage_message(error)
        note(f"corpus-audit: {message}")
        return _emit_error(message, "UsageError", error.exit_code, arguments)
    if isinstance(error, AuditError):
        note(f"corpus-audit: {error}")
        return _emit_error(str(error), type(error).__name__, int(error.exit_code), arguments)
    if isinstance(error, click.Abort | KeyboardInterrupt | InterruptedCommandError):
        note("corpus-audit: interrupted")
        return _emit_error("interrupted", "Interrupted", ExitCode.INTERRUPTED, arguments)
    if not isinstance(error, Exception):
        raise error
    if (file_problem := file_message(error)) is not None:
        note(f"corpus-audit: {file_problem}")
        return _emit_error(file_problem, "UsageError", ExitCode.USAGE, arguments)
    message = f"internal error: {one_line(error)}; the traceback is in {write_crash_report(error, session.output)}"
    note(f"corpus-audit: {message}")
    return _emit_error(message, type(error).__name__, ExitCode.INTERNAL, arguments)


def _in_help(error: OSError) -> bool:
    """Whether it came while Click wrote a help text or the version, which it does when it parses arguments."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return click.echo.__code__ in codes and any(code.co_name == "parse_args" for code in codes)


_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)

_REFUSED_BY_SQLITE = (3, 8, 10, 13, 14)
"""Primary codes of SQLite: no permission, read-only, input or output failed, full, cannot be opened."""


def file_message(error: BaseException | None) -> str | None:
    """What a user can do something about, in one line: a full disk, or a file that may not be read or written.

    An engine wraps what its workers raise, so that the causes of ``error`` are looked through as well.
    """
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        if isinstance(error, OSError) and error.errno in _REFUSED:
            named = f"{error.filename}: " if error.filename else ""
            return f"{named}{os.strerror(error.errno)}"
        if type(error).__module__ == "sqlite3" and getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSED_BY_SQLITE:
            return f"a database of the store or the output folder cannot be written: {error}"
        error = error.__cause__ or error.__context__
    return None


def _emit_error(message: str, kind: str, exit_code: int, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        emit_json("error", {"error": message, "kind": kind, "exit_code": int(exit_code)})
    return int(exit_code)


def main() -> NoReturn:
    """The console script."""
    end = prepare_interpreter()
    prepare_streams()
    session = Session(own_process=True)
    exit_code = run_command(sys.argv[1:], session)
    close_streams()
    if session.abandon:
        # Worker threads of the engine may still be in a batch, and the interpreter would join them before it ended.
        # What they have published is whole (a file appears by one rename), and the rest is read again next time.
        os._exit(exit_code)
    end.code = exit_code
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
