"""``corpus-audit``: the command group and what becomes of errors.

Command modules are imported when they are called for, and import what they need when they run, so that ``--help``
costs no more than Click.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from corpus_audit.runners.cli.output import Session, emit_json, note
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
    "flink": "corpus_audit.runners.cli.flink:flink",
    "doctor": "corpus_audit.runners.cli.doctor:doctor",
    "schema": "corpus_audit.runners.cli.schema:schema",
}
"""Every command, in the order of the help, and where it is defined."""


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


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="corpus-audit", message="corpus-audit %(version)s")
def cli() -> None:
    """Audit the data that a language model is trained on.

    Results go to standard output, everything else to standard error.

    \b
    Exit codes: 0 fine, 1 judged bad, 2 wrong use, 3 warnings, 4 could not judge,
    5 internal error, 6 output folder in use, 7 verification failed, 130 interrupted.
    """


def run_command(arguments: Sequence[str], session: Session) -> int:
    """Run one command line and return its exit code; every error has been told by then.

    With ``--json`` among the arguments an error is a JSON object on standard output as well.
    """
    try:
        outcome = cli.main(args=list(arguments), prog_name="corpus-audit", obj=session, standalone_mode=False)
        return outcome if isinstance(outcome, int) else ExitCode.OK
    except click.ClickException as error:
        error.show()
        return _told(error.format_message(), "UsageError", error.exit_code, arguments)
    except AuditError as error:
        note(f"corpus-audit: {error}")
        return _told(str(error), type(error).__name__, int(error.exit_code), arguments)
    except (click.Abort, KeyboardInterrupt):
        note("corpus-audit: interrupted")
        return _told("interrupted", "Interrupted", ExitCode.INTERRUPTED, arguments)
    except Exception as error:
        message = f"internal error: {_one_line(error)}; the traceback is in {write_crash_report(error, session.output)}"
        note(f"corpus-audit: {message}")
        return _told(message, type(error).__name__, ExitCode.INTERNAL, arguments)


def _told(message: str, kind: str, exit_code: int, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        emit_json("error", {"error": message, "kind": kind, "exit_code": int(exit_code)})
    return int(exit_code)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def write_crash_report(error: BaseException, output: Path | None) -> Path:
    """Write the traceback and the last log lines to a new file in ``output``, else in the temporary folder."""
    from corpus_audit.runners.logs import recent_log_lines

    text = "".join(traceback.format_exception(error))
    logged = recent_log_lines()
    if logged:
        text += "\nLast warnings and errors that were logged:\n" + "\n".join(logged) + "\n"
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    for folder in (output, Path(tempfile.gettempdir())):
        if folder is not None and folder.is_dir():
            try:
                path = folder / name
                path.write_text(text, encoding="utf-8", errors="backslashreplace")
                return path
            except OSError:
                continue
    note(text)
    return Path("the lines above")


def main() -> NoReturn:
    """The console script."""
    session = Session()
    exit_code = run_command(sys.argv[1:], session)
    if session.abandon:
        # Worker threads of the engine may still be in a batch, and the interpreter would join them before it ended.
        # What they have published is whole (a file appears by one rename), and the rest is read again next time.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
