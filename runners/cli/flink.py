"""``corpus-audit flink``: a Flink cluster on this machine, for runs with ``--engine flink``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import note, write_out
from corpus_audit.schemas.errors import EngineError, ExitCode

if TYPE_CHECKING:
    from corpus_audit.runners.engines.flink.cluster import Cluster

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), help="Folder for state and logs; by default in your cache folder."
)


@click.group(short_help="Start or end a Flink cluster on this machine.")
def flink() -> None:
    """Manage a Flink cluster on this machine, for runs with --engine flink.

    The cluster listens on the loopback interface only. Anyone who can log in on this machine can run code on it as you.
    """


@flink.command(short_help="Start a cluster.")
@folder_option
@click.option(
    "--task-managers", type=click.IntRange(min=1), default=2, show_default=True, help="Number of TaskManager processes."
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=2, show_default=True, help="Parallel tasks of each TaskManager."
)
@json_option
def up(folder: Path | None, task_managers: int, slots: int, as_json: bool) -> None:
    """Start a JobManager, TaskManagers and Beam's job server, and wait until they accept jobs.

    Needs Java 11 or 17. The first start also needs Maven, which downloads about 150 MB.
    """
    from corpus_audit.runners.engines.flink import cluster, jars

    if not jars.have_jars(jars.jars_folder()):
        note("corpus-audit: downloading Flink and Beam's runner with Maven (about 150 MB, only once)")
    _show_cluster(cluster.up(folder or cluster.default_folder(), task_managers, slots), as_json)


@flink.command(short_help="Show whether a cluster is up.")
@folder_option
@json_option
def status(folder: Path | None, as_json: bool) -> int:
    """Show whether the cluster is up and what it is doing. The exit code is 0 if all processes run, else 1."""
    from corpus_audit.runners.engines.flink import cluster

    folder = folder or cluster.default_folder()
    running = cluster.find(folder)
    if running is None:
        if as_json:
            emit_json("flink", {"up": False, "folder": str(folder), "exit_code": int(ExitCode.FAIL)})
        else:
            write_out(f"There is no cluster in {folder}.")
        return ExitCode.FAIL
    return _show_cluster(running, as_json)


@flink.command(short_help="End a cluster.")
@folder_option
@json_option
def down(folder: Path | None, as_json: bool) -> None:
    """End the cluster and every process that it started, and remove its folder with the logs."""
    from corpus_audit.runners.engines.flink import cluster

    folder = folder or cluster.default_folder()
    running = cluster.find(folder)
    if running is not None:
        cluster.down(running)
    if as_json:
        emit_json("flink", {"up": False, "folder": str(folder), "exit_code": 0})
    else:
        write_out(f"There is no cluster in {folder}." if running is None else "The cluster is down.")


def _show_cluster(cluster: Cluster, as_json: bool) -> int:
    facts: dict[str, Any] = {
        "folder": str(cluster.folder),
        "rest": cluster.rest.address,
        "processes": {
            name: {"pid": process.pid, "alive": process.alive} for name, process in cluster.processes.items()
        },
    }
    problem = ", ".join(f"{name} has ended" for name in cluster.dead)
    try:
        overview = cluster.rest.overview()
        facts |= {"flink": overview.version, "slots": overview.slots, "slots_free": overview.slots_free}
    except EngineError as error:
        problem = problem or str(error)
    code = ExitCode.FAIL if problem else ExitCode.OK
    if as_json:
        emit_json("flink", {"up": not problem, **facts, "problem": problem or None, "exit_code": int(code)})
        return code
    if problem:
        write_out(f"The cluster in {cluster.folder} does not work: {problem}.")
        return code
    write_out(
        f"Flink {facts['flink']} at http://{facts['rest']}, {facts['slots_free']} of {facts['slots']} slots free; "
        f"logs in {cluster.folder}"
    )
    return code
