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
    "--folder", type=click.Path(path_type=Path), help="State and logs; by default in the user's cache folder."
)


@click.group(short_help="Start or end a Flink cluster on this machine.")
def flink() -> None:
    """A Flink cluster on this machine, for runs with --engine flink.

    It listens on the loopback interface only; who may log in on this machine can run code there as you.
    """


@flink.command(short_help="Start a cluster.")
@folder_option
@click.option("--task-managers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that work.")
@click.option("--slots", type=click.IntRange(min=1), default=2, show_default=True, help="Tasks at once in each.")
@json_option
def up(folder: Path | None, task_managers: int, slots: int, as_json: bool) -> None:
    """Start a JobManager, TaskManagers and Beam's job server, and return when they can take jobs.

    Needs Java 11 or 17, and the first time Maven, which fetches 150 MB.
    """
    from corpus_audit.runners.engines.flink import cluster, jars

    if not jars.have_jars(jars.jars_folder()):
        note("corpus-audit: fetching Flink and Beam's runner with Maven, about 150 MB, once")
    _tell(cluster.up(folder or cluster.default_folder(), task_managers, slots), as_json)


@flink.command(short_help="Say whether a cluster is up.")
@folder_option
@json_option
def status(folder: Path | None, as_json: bool) -> int:
    """Say whether the cluster is up, and what it is doing; exits 0 if it is up and whole, else 1."""
    from corpus_audit.runners.engines.flink import cluster

    place = folder or cluster.default_folder()
    found = cluster.find(place)
    if found is None:
        if as_json:
            emit_json("flink", {"up": False, "folder": str(place), "exit_code": int(ExitCode.FAIL)})
        else:
            write_out(f"There is no cluster in {place}.")
        return ExitCode.FAIL
    return _tell(found, as_json)


@flink.command(short_help="End a cluster.")
@folder_option
@json_option
def down(folder: Path | None, as_json: bool) -> None:
    """End the cluster and every process that it started, and remove its folder with the logs."""
    from corpus_audit.runners.engines.flink import cluster

    place = folder or cluster.default_folder()
    found = cluster.find(place)
    if found is not None:
        cluster.down(found)
    if as_json:
        emit_json("flink", {"up": False, "folder": str(place), "exit_code": 0})
    else:
        write_out(f"There is no cluster in {place}." if found is None else "The cluster is down.")


def _tell(found: Cluster, as_json: bool) -> int:
    facts: dict[str, Any] = {
        "folder": str(found.folder),
        "rest": found.rest.address,
        "processes": {name: {"pid": one.pid, "alive": one.alive} for name, one in found.processes.items()},
    }
    problem = ", ".join(f"{name} has ended" for name in found.dead)
    try:
        overview = found.rest.overview()
        facts |= {"flink": overview.version, "slots": overview.slots, "slots_free": overview.slots_free}
    except EngineError as error:
        problem = problem or str(error)
    code = ExitCode.FAIL if problem else ExitCode.OK
    if as_json:
        emit_json("flink", {"up": not problem, **facts, "problem": problem or None, "exit_code": int(code)})
        return code
    if problem:
        write_out(f"The cluster in {found.folder} is not whole: {problem}.")
        return code
    write_out(
        f"Flink {facts['flink']} at http://{facts['rest']}, {facts['slots_free']} of {facts['slots']} slots free; "
        f"logs in {found.folder}"
    )
    return code
