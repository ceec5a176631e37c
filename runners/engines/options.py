"""The engine that runs the pipelines, and its options; see `launch/engines.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Threads of this process.

    Attributes:
        beam_flags: flags that are passed to Beam unchanged.
    """

    beam_flags: tuple[str, ...] = ()


class Environment(StrEnum):
    """Where Python code runs for an engine that is not Python."""

    PROCESS = "process"
    """Processes that the engine's own workers start, on their machines."""

    LOOPBACK = "loopback"
    """Threads of the process that submits the job."""


@dataclass(frozen=True, slots=True)
class FlinkOptions:
    """A Flink cluster.

    Attributes:
        master: ``local`` for a mini-cluster within the job server, ``HOST:PORT`` of a JobManager's REST port, or the
            folder of a cluster that `corpus-audit flink up` started; None for its default folder.
        jar: Beam's job server as one jar of the user's, instead of the jars that `flink up` fetches.
        parallelism: tasks at once; None for all slots of the cluster.
        environment: where the Python code runs.
        beam_flags: flags that are passed to Beam unchanged, after those made from the attributes above.
    """

    master: str | None = None
    jar: Path | None = None
    parallelism: int | None = None
    environment: Environment = Environment.PROCESS
    beam_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SparkOptions:
    """A Spark cluster behind a Beam job server of the user's.

    Attributes:
        endpoint: ``HOST:PORT`` of the job server.
        parallelism: tasks at once.
        environment: where the Python code runs.
        beam_flags: flags that are passed to Beam unchanged.
    """

    endpoint: str
    parallelism: int = 2
    environment: Environment = Environment.PROCESS
    beam_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataflowOptions:
    """Google Cloud Dataflow, on workers whose image mounts the output folder, the store and the corpus.

    Attributes:
        parallelism: tasks at once, and the most workers.
        accelerator: the resource hint of the index scan alone, ``type:nvidia-l4;count:1;install-nvidia-driver``.
        beam_flags: flags that are passed to Beam unchanged, with `DATAFLOW_FLAGS` among them.
    """

    parallelism: int = 2
    accelerator: str | None = None
    beam_flags: tuple[str, ...] = ()


DATAFLOW_FLAGS = ("project", "region", "temp_location", "sdk_container_image")
"""Beam's flags that Dataflow requires."""

EngineOptions = EmbeddedOptions | FlinkOptions | SparkOptions | DataflowOptions

EMBEDDED = EmbeddedOptions()
