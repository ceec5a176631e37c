"""Where a run submits its jobs: to the cluster of `corpus-audit flink up`, to another, or to a mini-cluster."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.runners.engines.flink import cluster, job_server
from corpus_audit.runners.engines.flink.jars import fetch_jars
from corpus_audit.runners.engines.flink.rest import Rest
from corpus_audit.runners.engines.options import FlinkOptions
from corpus_audit.schemas.errors import EngineError, UsageError

MINI_SLOTS = 2
"""Tasks at once on a mini-cluster unless a parallelism is given."""

_ADDRESS = re.compile(r"(?:http://)?([\w.-]+:\d+)/?")


@dataclass(frozen=True, slots=True)
class JobService:
    """Where a job server answers.

    Attributes:
        endpoint: its ``host:port``.
        rest: the cluster's REST port; None for a mini-cluster, which ends with its job server.
        slots: tasks that the cluster can do at once.
        worker: the program that its TaskManagers start as a Python worker.
    """

    endpoint: str
    rest: Rest | None
    slots: int
    worker: str


def worker_program() -> str:
    """The worker of this Python environment.

    Raises:
        UsageError: it is not there.
    """
    program = Path(sys.executable).with_name("corpus-audit-worker")
    if not program.is_file():
        raise UsageError(f"{program} is missing, which Flink's workers are: install corpus-audit into this environment")
    return str(program)


def address_of(options: FlinkOptions) -> str | None:
    """``host:port`` of the JobManager that options name, None if they name something else."""
    match = _ADDRESS.fullmatch(options.master or "")
    return match[1] if match else None


@contextmanager
def job_service(options: FlinkOptions) -> Iterator[JobService]:
    """A job service for as long as the block lasts; one that has to be started is ended with it.

    Raises:
        UsageError: there is no cluster in the folder named, no Java, or no jar.
        EngineError: the cluster or the job server cannot be reached.
    """
    worker = worker_program()
    master, address = options.master, address_of(options)
    if master == "local":
        with job_server.running(class_path(options), job_server.MINI_CLUSTER) as server:
            yield JobService(f"127.0.0.1:{server.port}", None, MINI_SLOTS, worker)
        return
    if address is not None:
        rest = Rest(address)
        slots = rest.overview().slots
        if not slots:
            raise EngineError(f"the Flink cluster at {rest.address} has no slots: are its TaskManagers up?")
        with job_server.running(class_path(options), rest.address) as server:
            yield JobService(f"127.0.0.1:{server.port}", rest, slots, worker)
        return
    folder = Path(master) if master else cluster.default_folder()
    running = cluster.find(folder)
    if running is None:
        advice = "'corpus-audit flink up' starts one; --flink-master local does without"
        raise UsageError(f"there is no Flink cluster in {folder}: {advice}")
    if options.jar is not None:
        raise UsageError("--jar is for clusters of your own: that of 'corpus-audit flink up' has its job server")
    dead = running.dead
    if "job-server" in dead or "job-manager" in dead or len(dead) >= len(running.processes) - 2:
        raise EngineError(f"the cluster in {folder} is dead: 'corpus-audit flink up' starts it anew")
    yield JobService(f"127.0.0.1:{running.job_port}", running.rest, running.rest.overview().slots, worker)


def class_path(options: FlinkOptions) -> str:
    """Java's class path for a job server.

    Raises:
        UsageError: the jar that is named does not exist, or the jars cannot be fetched.
    """
    if options.jar is None:
        return f"{fetch_jars()}/*"
    if not options.jar.is_file():
        raise UsageError(f"there is no jar {options.jar}")
    return str(options.jar.absolute())
