"""A small probe of an engine's workers before a long run: whether they see the driver's folder, and their versions."""

from __future__ import annotations

import json
import os
import platform
import socket
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.schemas.errors import EngineError

GIVEN = "given"
"""The file that the driver leaves in the folder for workers to read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A worker's host, process and versions, which must be the driver's."""

    host: str
    pid: int
    python: str
    beam: str
    corpus_audit: str

    @classmethod
    def here(cls) -> Answer:
        """The answer of this process."""
        python = ".".join(platform.python_version_tuple()[:2])
        versions = [metadata.version(name) for name in ("apache-beam", "corpus-audit")]
        return cls(socket.gethostname(), os.getpid(), python, *versions)


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """Read the driver's file in a folder, and write an answer beside it."""

    folder: Path
    number: int


@dataclass(frozen=True, slots=True)
class ProbeWorker:
    """Answers probes; ``secret`` is what the driver wrote into the file."""

    secret: str

    def perform(self, task: ProbeTask) -> None:
        """Answer one.

        Raises:
            EngineError: this worker does not see the folder as the driver does.
        """
        answer = Answer.here()
        try:
            seen = (task.folder / GIVEN).read_text(encoding="utf-8")
            if seen != self.secret:
                raise FileNotFoundError("another file is there")
            with AtomicFile(task.folder / f"answer-{task.number}.json") as file:
                told = {name: getattr(answer, name) for name in Answer.__dataclass_fields__}
                file.write(json.dumps(told).encode())
        except OSError as error:
            where = f"a worker on {answer.host} does not see {task.folder} as this process does"
            raise EngineError(f"{where}: {error}") from None


def read_answers(folder: Path) -> list[Answer]:
    """The workers' answers."""
    return [Answer(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("answer-*.json"))]
