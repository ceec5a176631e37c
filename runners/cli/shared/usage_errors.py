"""One-line messages about wrong command lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import click


def nearest(kind: str, name: str, known: Iterable[str]) -> str:
    """The message that ``name`` is unknown, with similar names, else with all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 3, 0.6)
    if close:
        return f"unknown {kind} {name!r}; did you mean {' or '.join(close)}?"
    return f"unknown {kind} {name!r}; choose from {', '.join(names)}"


def usage_message(error: click.ClickException) -> str:
    """Click's message as one line, with a pointer to the help of the command."""
    context = getattr(error, "ctx", None)
    group = None if context is None else context.command
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and isinstance(group, click.Group):
        message = f"a command is missing; choose from {', '.join(group.list_commands(error.ctx))}"
    else:
        message = " ".join(error.format_message().split()).removesuffix(".")
    return message if context is None else f"{message}; see '{context.command_path} --help'"
