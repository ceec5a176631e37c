"""Beam's job server: it takes a pipeline from Python and makes a Flink job of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.runners.engines.flink import processes
from corpus_audit.runners.engines.flink.jars import write_empty_jar
from corpus_audit.runners.engines.flink.java import find_java, java_options
from corpus_audit.schemas.errors import EngineError

MAIN = "org.apache.beam.runners.flink.FlinkJobServerDriver"
MINI_CLUSTER = "[local]"
PATIENCE = 90.0
"""Seconds that a job server has to answer."""


@dataclass(frozen=True, slots=True)
class JobServer:
    """A job server that runs, and the port it takes jobs on."""

    process: processes.Process
    port: int
    log: Path

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            EngineError: it ended, or does not answer.
        """
        deadline = time.monotonic() + PATIENCE
        while not processes.listens(self.port):
            if not self.process.alive or time.monotonic() > deadline:
                raise EngineError(f"Beam's job server does not start: {processes.last_lines(self.log)}")
            time.sleep(0.1)


def start(class_path: str, master: str, folder: Path) -> JobServer:
    """Start a job server for a Flink master, ``[local]`` for a cluster within its process; ``folder`` takes its files.

    With every job it sends its own jars to the cluster, which need not know of Beam.
    """
    return _start([MAIN, f"--flink-master={master}"], class_path, folder, {})


def start_for_own_cluster(class_path: str, rest: str, conf: Path, folder: Path) -> JobServer:
    """Start a job server for a cluster whose processes have Beam's jars.

    The driver is run by Flink's own command line, which sends an empty jar with a job: sending Beam and Flink to a
    cluster that has both took 15 of the 18 seconds of a small job.
    """
    empty = folder / "empty.jar"
    write_empty_jar(empty)
    client = ["org.apache.flink.client.cli.CliFrontend", "run", "-m", rest, "-c", MAIN, str(empty)]
    return _start([*client, "--flink-master=[auto]"], class_path, folder, {"FLINK_CONF_DIR": str(conf)})


def _start(program: list[str], class_path: str, folder: Path, environment: dict[str, str]) -> JobServer:
    job, artifacts, expansion = processes.free_ports(3)
    ports = [f"--job-port={job}", f"--artifact-port={artifacts}", f"--expansion-port={expansion}"]
    java = [str(find_java().path), *java_options("512m"), "-cp", class_path]
    files = ["--job-host=127.0.0.1", f"--artifacts-dir={folder / 'artifacts'}"]
    log = folder / "job-server.log"
    return JobServer(processes.start([*java, *program, *ports, *files], log, environment), job, log)


@contextmanager
def running(class_path: str, master: str) -> Iterator[JobServer]:
    """A job server for as long as the block lasts, ready when it begins."""
    with tempfile.TemporaryDirectory(prefix="corpus-audit-job-server-") as folder:
        server = start(class_path, master, Path(folder))
        try:
            server.wait()
            yield server
        finally:
            processes.end([server.process])
