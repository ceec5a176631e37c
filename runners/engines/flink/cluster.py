"""A standalone Flink cluster on this machine: a JobManager, TaskManagers, and Beam's job server, each a process.

Everything is bound to the loopback interface, and everything that the cluster writes is in one folder.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.runners.engines.flink import job_server, processes
from corpus_audit.runners.engines.flink.jars import cache_folder, fetch_jars
from corpus_audit.runners.engines.flink.java import find_java, java_options
from corpus_audit.runners.engines.flink.processes import Process
from corpus_audit.runners.engines.flink.rest import Rest
from corpus_audit.schemas.errors import EngineError, UsageError

STATE = "cluster.json"
PATIENCE = 90.0
"""Seconds that a cluster has to come up."""

_FLINK = "org.apache.flink.runtime"
_JOB_MANAGER = f"{_FLINK}.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = f"{_FLINK}.taskexecutor.TaskManagerRunner"

# Flink's own scripts compute these sizes; its classes want all of them. A hash exchange takes 512 network buffers of
# 32 KiB, and a job with too few waits for ever: 256 MiB a TaskManager are 8,192.
_CONFIGURATION = """\
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: {slots}
taskmanager.cpu.cores: {slots}.0
taskmanager.memory.task.heap.size: 384m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.managed.size: 128m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
cluster.evenly-spread-out-slots: true
classloader.resolve-order: parent-first
heartbeat.timeout: 20000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 1
restart-strategy.fixed-delay.delay: 1 s
io.tmp.dirs: {temporary}
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that was started.

    Attributes:
        folder: its configuration, logs and temporary files.
        rest_port, job_port: where the JobManager and the job server answer.
        slots: of all TaskManagers together.
        processes: each by its name, which its log has too.
    """

    folder: Path
    rest_port: int
    job_port: int
    slots: int
    processes: dict[str, Process]

    @property
    def rest(self) -> Rest:
        """The JobManager's REST port."""
        return Rest(f"127.0.0.1:{self.rest_port}")

    @property
    def dead(self) -> list[str]:
        """Processes that ended by themselves."""
        return [name for name, process in self.processes.items() if not process.alive]


def default_folder() -> Path:
    """Where a cluster is if no other folder is named."""
    return cache_folder() / "flink-cluster"


def find(folder: Path) -> Cluster | None:
    """The cluster that was started in a folder, dead or alive; None if there is none."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        running = {name: Process(**facts) for name, facts in state["processes"].items()}
        return Cluster(folder, state["rest_port"], state["job_port"], state["slots"], running)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / STATE} is not what 'corpus-audit flink up' writes: {error}") from None


def up(folder: Path, task_managers: int = 2, slots: int = 2) -> Cluster:
    """Start a cluster and return when it can take jobs.

    Args:
        folder: takes all that it writes; it must not exist, or be empty, or be a dead cluster's.
        task_managers: how many.
        slots: of each.

    Raises:
        UsageError: there is a cluster already, or no Java, or the jars cannot be had.
        EngineError: it does not come up.
    """
    folder = folder.absolute()
    known = find(folder)
    if known is not None:
        if not known.dead:
            raise UsageError(f"there is a cluster in {folder}; 'corpus-audit flink down' ends it")
        down(known)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty, and what is in it is not a cluster's")
    java, jars = find_java(), fetch_jars()
    for name in ("conf", "temporary"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rpc, rest = processes.free_ports(2)
    configuration = _CONFIGURATION.format(rpc=rpc, rest=rest, slots=slots, temporary=folder / "temporary")
    (folder / "conf" / "config.yaml").write_text(configuration, encoding="utf-8")
    class_path = f"{jars}/*"
    base = [str(java.path), "-cp", class_path]
    started: dict[str, Process] = {}
    cluster = Cluster(folder, rest, 0, task_managers * slots, started)

    def begin(name: str, options: list[str], main: str) -> None:
        command = [*base, *java_options("512m"), *options, main, "--configDir", str(folder / "conf")]
        started[name] = processes.start(command, folder / f"{name}.log")
        _remember(cluster)

    try:
        begin("job-manager", [], _JOB_MANAGER)
        for number in range(1, task_managers + 1):
            limits = ["-XX:MaxDirectMemorySize=512m", "-XX:MaxMetaspaceSize=256m"]
            begin(f"task-manager-{number}", limits, _TASK_MANAGER)
        server = job_server.start_for_own_cluster(class_path, cluster.rest.address, folder / "conf", folder)
        started["job-server"] = server.process
        cluster = Cluster(folder, rest, server.port, task_managers * slots, started)
        _remember(cluster)
        _wait(cluster)
        server.wait()
    except BaseException:  # Ctrl-C too: a cluster of which no state is written could not be ended by `down`
        processes.end(list(started.values()))
        (folder / STATE).unlink(missing_ok=True)
        raise
    return cluster


def down(cluster: Cluster) -> None:
    """End a cluster and whatever it started, and remove its folder."""
    processes.end(list(cluster.processes.values()))
    shutil.rmtree(cluster.folder)


def _remember(cluster: Cluster) -> None:
    state = asdict(cluster) | {"folder": str(cluster.folder)}
    with AtomicFile(cluster.folder / STATE) as file:
        file.write(json.dumps(state, indent=1).encode())


def _wait(cluster: Cluster) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        for name in cluster.dead:
            log = cluster.folder / f"{name}.log"
            raise EngineError(f"the cluster's {name} ended: {processes.last_lines(log)}; its log is {log}")
        try:
            if cluster.rest.overview().slots == cluster.slots:
                return
        except EngineError:
            pass
        if time.monotonic() > deadline:
            raise EngineError(f"the cluster does not come up within {PATIENCE:.0f} s; its logs are in {cluster.folder}")
        time.sleep(0.2)
