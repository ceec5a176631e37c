"""Checks pipeline options: an unknown one is refused, where Beam itself would drop it with a line in a log."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import NoReturn

from corpus_audit.schemas.errors import UsageError

_OURS = ("runner", "job_endpoint", "job_name")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"flags for Beam: {message}")


def check_flags(flags: Sequence[str], engine: Iterable[str] = ()) -> None:
    """Refuse flags that neither Beam's Python side nor the engine knows.

    Args:
        flags: as a user gave them.
        engine: names of options that the engine has of its own.

    Raises:
        UsageError: there is such a flag, or one that `--engine` decides, or a value that is wrong.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = _Parser(allow_abbrev=False, add_help=False)
    for kind in PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    known = {text for action in parser._actions for text in action.option_strings}
    for name in sorted(engine):
        if f"--{name}" not in known:
            parser.add_argument(f"--{name}", nargs="?")
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise UsageError(f"Beam has no flag {unknown[0]!r}")
    for flag in flags:
        if flag.split("=")[0].lstrip("-") in _OURS:
            raise UsageError(f"{flag.split('=')[0]} follows from --engine")
