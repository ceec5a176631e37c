"""The options that select an engine, and ``--dry-run``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.engines.options import (
    DATAFLOW_FLAGS,
    DataflowOptions,
    EmbeddedOptions,
    EngineOptions,
    Environment,
    FlinkOptions,
    SparkOptions,
)
from corpus_audit.schemas.errors import UsageError

if TYPE_CHECKING:
    from corpus_audit.schemas.spec.audit_file import LoadedAudit

ENGINES = ("embedded", "flink", "spark", "dataflow")

_OPTIONS = (
    click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True, help="The engine."),
    click.option(
        "--flink-master",
        metavar="MASTER",
        help="A Flink cluster: local, HOST:PORT, or the folder of 'corpus-audit flink up' (the default).",
    ),
    click.option("--jar", type=click.Path(path_type=Path), help="Beam's job server for your own Flink cluster."),
    click.option("--job-endpoint", metavar="HOST:PORT", help="Your job server of Beam for Spark."),
    click.option("--accelerator", metavar="HINT", help="GPU of Dataflow workers: type:nvidia-l4;count:1."),
    click.option(
        "--parallelism", type=click.IntRange(min=1), help="Parallel tasks; by default all Flink slots, else 2."
    ),
    click.option(
        "--environment",
        type=click.Choice([environment.value for environment in Environment]),
        help="Where Python workers of Flink and Spark run: processes on their machines (the default) or this process.",
    ),
    click.argument("beam_flags", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_FLAGS]"),
)


dry_run_option = click.option("--dry-run", is_flag=True, help="Print the pipeline stages and run nothing.")


def show_dry_run(loaded: LoadedAudit, options: EngineOptions, as_json: bool, index: bool = False) -> int:
    """Print the stages of the pipelines; returns the exit code 0."""
    from dataclasses import asdict

    from corpus_audit.pipelines.beam.flags import check_flags
    from corpus_audit.runners.cli.shared.output import emit_json
    from corpus_audit.runners.cli.shared.streams import write_out
    from corpus_audit.runners.engines.launch.dry_run import stage_lines, steps_of
    from corpus_audit.runners.process.logs import quiet_engine_logs

    quiet_engine_logs()
    if not isinstance(options, FlinkOptions | SparkOptions):  # whose job servers have flags of their own
        check_flags(options.beam_flags)
    steps = list(steps_of(loaded.spec, options, index))
    if as_json:
        emit_json("dry-run", {"steps": [asdict(step) for step in steps], "exit_code": 0})
    else:
        for line in stage_lines(steps):
            write_out(line)
    return 0


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which passes their values to `engine_of` by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def engine_of(
    engine: str,
    beam_flags: tuple[str, ...] = (),
    **given: Any,
) -> EngineOptions:
    """The engine that the options of a command select.

    Args:
        engine: one of `ENGINES`.
        beam_flags: what follows ``--``.
        **given: values of the other options, by name; None for an option that was not given.

    Raises:
        UsageError: an option belongs to another engine, or a required option is missing.
    """
    if beam_flags and not beam_flags[0].startswith("-"):
        raise UsageError(f"unexpected argument {beam_flags[0]!r}; flags for Beam follow --")
    for name, value in given.items():
        if value is not None and engine not in _ENGINES_OF[name]:
            engines = " and ".join(f"--engine {engine}" for engine in _ENGINES_OF[name])
            raise UsageError(f"--{name.replace('_', '-')} is for {engines}")
    where = Environment(given.get("environment") or Environment.PROCESS)
    parallelism: int | None = given.get("parallelism")
    if engine == "flink":
        return FlinkOptions(given.get("flink_master"), given.get("jar"), parallelism, where, beam_flags)
    if engine == "spark":
        endpoint = given.get("job_endpoint")
        if endpoint is None:
            raise UsageError("--engine spark needs --job-endpoint HOST:PORT, where Beam's job server for Spark answers")
        return SparkOptions(endpoint, parallelism or 2, where, beam_flags)
    if engine == "dataflow":
        names = {flag.split("=")[0].lstrip("-") for flag in beam_flags}
        missing = [f"--{name}" for name in DATAFLOW_FLAGS if name not in names]
        if missing:
            raise UsageError(f"--engine dataflow needs, after --, {', '.join(missing)}")
        return DataflowOptions(parallelism or 2, given.get("accelerator"), beam_flags)
    return EmbeddedOptions(beam_flags)


_ENGINES_OF = {
    "flink_master": ("flink",),
    "jar": ("flink",),
    "job_endpoint": ("spark",),
    "accelerator": ("dataflow",),
    "parallelism": ("flink", "spark", "dataflow"),
    "environment": ("flink", "spark"),
}
"""Options, and the engines that they are for."""
