"""What is said of a wrong command line, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import click


def nearest(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that ``name`` is no such ``kind``, and which of the known ones it is like."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 3, 0.6)
    if close:
        return f"there is no {kind} {name!r}; is it {' or '.join(close)}?"
    return f"there is no {kind} {name!r}; there are {', '.join(names)}"


def usage_message(error: click.ClickException) -> str:
    """Click's message as one line that ends with where help is."""
    context = getattr(error, "ctx", None)
    group = None if context is None else context.command
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and isinstance(group, click.Group):
        message = f"say which command: {', '.join(group.list_commands(error.ctx))}"
    else:
        message = " ".join(error.format_message().split()).removesuffix(".")
    return message if context is None else f"{message}; see '{context.command_path} --help'"
