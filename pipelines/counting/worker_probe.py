"""A small probe of an engine's workers before a long run: whether they see the driver's folder, and their versions."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.schemas.errors import EngineError

GIVEN = "given"
"""The file that the driver leaves in the folder for workers to read."""

COMPUTING = ("corpus-audit", "pyarrow", "numpy", "tokenizers", "gigatoken")
"""Packages that read, tokenise and count: tables may depend on each part of their versions."""

CARRYING = ("python", "apache-beam")
"""What carries tasks to workers: releases with the same first two parts of the version work together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A worker's host, process and versions (empty without the package), which must be the driver's."""

    host: str
    pid: int
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Answer:
        """The answer of this process."""
        versions = {name: _version(name) for name in (*COMPUTING, *CARRYING)}
        return cls(socket.gethostname(), os.getpid(), versions)


def _version(package: str) -> str:
    if package == "python":
        return platform.python_version()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


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
                file.write(json.dumps(asdict(answer)).encode())
        except OSError as error:
            where = f"a worker on {answer.host} does not see {task.folder} as this process does"
            raise EngineError(f"{where}: {error}") from None


def read_answers(folder: Path) -> list[Answer]:
    """The workers' answers.

    Raises:
        EngineError: a worker answers as another version of this project does.
    """
    answers = []
    for path in sorted(folder.glob("answer-*.json")):
        try:
            answers.append(Answer(**json.loads(path.read_text(encoding="utf-8"))))
        except TypeError:
            raise EngineError("workers have another version of corpus-audit: install the same on both sides") from None
    return answers


@dataclass(frozen=True, slots=True)
class Differences:
    """Versions of workers that are not the driver's, each in words: those that forbid a run, and those that do not."""

    refused: tuple[str, ...]
    tolerated: tuple[str, ...]


def version_differences(answers: Iterable[Answer], here: Answer) -> Differences:
    """Compare the versions of workers with those of the driver.

    Every difference of a package that computes is refused; of Python and Beam, those of the first two parts of the
    version. The same difference of several workers is named once.
    """
    refused: dict[tuple[str, str], str] = {}
    tolerated: dict[tuple[str, str], str] = {}
    for answer in answers:
        for package, ours in here.versions.items():
            theirs = answer.versions.get(package, "")
            if theirs == ours:
                continue
            near = package in CARRYING and theirs and ours and _release(theirs) == _release(ours)
            both = f"{_named(package, theirs)}, and this process {_named(package, ours)}"
            (tolerated if near else refused).setdefault((package, theirs), f"a worker on {answer.host} has {both}")
    return Differences(tuple(refused.values()), tuple(tolerated.values()))


def _named(package: str, version: str) -> str:
    return f"{package} {version}" if version else f"no {package}"


def _release(version: str) -> list[str]:
    """The first two parts of a version: those of ``2.77.1`` are 2 and 77."""
    return version.split(".")[:2]
