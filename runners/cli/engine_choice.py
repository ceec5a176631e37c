"""The options of commands that read a corpus: which engine does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from corpus_audit.runners.engine_options import EmbeddedOptions, EngineOptions, Environment, FlinkOptions
from corpus_audit.schemas.errors import UsageError

ENGINES = ("embedded", "flink")

_OPTIONS = (
    click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True, help="What runs it."),
    click.option(
        "--flink-master",
        metavar="MASTER",
        help="local, HOST:PORT, or the folder of a cluster that 'corpus-audit flink up' started (the default).",
    ),
    click.option("--jar", type=click.Path(path_type=Path), help="Beam's job server, for a Flink cluster of your own."),
    click.option("--parallelism", type=click.IntRange(min=1), help="Tasks at once on Flink; all slots by default."),
    click.option(
        "--environment",
        type=click.Choice([one.value for one in Environment]),
        help="Python workers of Flink: processes of its TaskManagers (the default), or this process.",
    ),
    click.argument("beam_flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_FLAGS]"),
)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; `engine_of` takes what they come to, by their names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def engine_of(
    engine: str,
    flink_master: str | None,
    jar: Path | None,
    parallelism: int | None,
    environment: str | None,
    beam_flags: tuple[str, ...],
) -> EngineOptions:
    """The engine that the options of a command name.

    Raises:
        UsageError: there are options of an engine that was not chosen.
    """
    if engine == "flink":
        where = Environment(environment) if environment else Environment.PROCESS
        return FlinkOptions(flink_master, jar, parallelism, where, beam_flags)
    given = {"--flink-master": flink_master, "--jar": jar, "--parallelism": parallelism, "--environment": environment}
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} is for --engine flink")
    return EmbeddedOptions(beam_flags)
