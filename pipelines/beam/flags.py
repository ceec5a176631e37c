"""Checks of pipeline options: unknown ones are refused, while Beam itself only logs a line and drops them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from corpus_audit.schemas.errors import UsageError

_RESERVED = ("runner", "job_endpoint", "job_name")
"""Flags that ``--engine`` sets; a user may not set them too."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"flags for Beam: {message}")


def check_flags(flags: Sequence[str], engine: Iterable[str] = ()) -> None:
    """Refuse flags that neither Beam's Python side nor the engine knows.

    Args:
        flags: the flags, as the user wrote them.
        engine: names of further options that the engine accepts.

    Raises:
        UsageError: a flag is unknown, is set by ``--engine``, or has a wrong value.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = _Parser(allow_abbrev=False, add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    known = {text for action in parser._actions for text in action.option_strings}
    for name in sorted(engine):
        if f"--{name}" not in known:
            parser.add_argument(f"--{name}", nargs="?")
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise UsageError(f"Beam has no flag {unknown[0]!r}")
    for flag in flags:
        if flag.split("=")[0].lstrip("-") in _RESERVED:
            raise UsageError(f"{flag.split('=')[0]} is set by --engine and cannot be given as a flag")
