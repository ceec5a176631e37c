"""The options of the sign-off commands: trust file, passphrase, time, and the sign-off of a run."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from corpus_audit.runners.cli.shared.streams import is_terminal

PASSPHRASE = "CORPUS_AUDIT_PASSPHRASE"

trust_option = click.option(
    "--trust",
    "trust_file",
    type=click.Path(path_type=Path),
    default=Path("trust.yaml"),
    show_default=True,
    envvar="CORPUS_AUDIT_TRUST",
    show_envvar=True,
    help="The trust file: accepted keys and policies.",
)

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help=f"Read the passphrase from the first line of this file; by default from {PASSPHRASE} or the terminal.",
)


def passphrase_from(file: Path | None, what: str, confirm: bool = False) -> str:
    """The passphrase of a key: from a file, the environment or the terminal, in this order.

    Args:
        file: the file, if one was named.
        what: the key, for the prompt.
        confirm: ask twice.

    Raises:
        UsageError: the file cannot be read, or there is no terminal to ask.
    """
    from corpus_audit.schemas.errors import UsageError

    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the passphrase from {file}: {error}") from None
        return lines[0] if lines else ""
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    if not is_terminal(sys.stdin):
        raise UsageError(f"no passphrase: give --passphrase-file or set {PASSPHRASE}, because there is no terminal")
    return str(click.prompt(f"Passphrase for {what}", hide_input=True, confirmation_prompt=confirm, err=True))


class Moment(click.ParamType[datetime]):
    """A time such as 2026-11-25T12:00:00Z, or a day such as 2026-11-25, which means its start in UTC."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse it."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-11-25T12:00:00Z or 2026-11-25", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


MOMENT = Moment()


def signoff_of(path: Path) -> Path:
    """The sign-off file for a path: the file itself, or that of a run directory, output folder or audit.yaml.

    Raises:
        UsageError: there is no finished run.
    """
    from corpus_audit.checks.signoff.approve import signoff_path
    from corpus_audit.runners.cli.shared.run_paths import resolve_run

    if path.is_dir() or path.suffix in (".yaml", ".yml"):
        run = resolve_run(path).resolve()
        return signoff_path(run.parent, run.name)
    return path
