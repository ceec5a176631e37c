"""Which engine runs the pipelines, and the few options that it has; see `engines.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """Threads of this process.

    Attributes:
        beam_flags: for Beam, as they are.
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
        beam_flags: for Beam, as they are, after all that are made from the above.
    """

    master: str | None = None
    jar: Path | None = None
    parallelism: int | None = None
    environment: Environment = Environment.PROCESS
    beam_flags: tuple[str, ...] = ()


EngineOptions = EmbeddedOptions | FlinkOptions

EMBEDDED = EmbeddedOptions()
