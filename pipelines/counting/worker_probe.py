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

SECRET_FILE = "given"
"""The file that the driver writes into the folder and workers read."""

COMPUTING_PACKAGES = ("corpus-audit", "pyarrow", "numpy", "tokenizers", "gigatoken", "pillow")
"""Packages that read, decode, tokenise and count: tables may depend on each part of their versions."""

TRANSPORT_PACKAGES = ("python", "apache-beam")
"""Packages that transport tasks to workers: releases with the same first two parts of the version are compatible."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A worker's host, process and versions (empty without the package), which must be the driver's."""

    host: str
    pid: int
    versions: dict[str, str]

    @classmethod
    def of_this_process(cls) -> ProbeAnswer:
        """The answer of this process."""
        versions = {name: _version(name) for name in (*COMPUTING_PACKAGES, *TRANSPORT_PACKAGES)}
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

    def run_task(self, task: ProbeTask) -> None:
        """Read the driver's file and write this worker's answer.

        Raises:
            EngineError: this worker does not see the folder as the driver does.
        """
        answer = ProbeAnswer.of_this_process()
        try:
            content = (task.folder / SECRET_FILE).read_text(encoding="utf-8")
            if content != self.secret:
                raise FileNotFoundError("another file is there")
            with AtomicFile(task.folder / f"answer-{task.number}.json") as file:
                file.write(json.dumps(asdict(answer)).encode())
        except OSError as error:
            problem = f"a worker on {answer.host} does not see {task.folder} as this process does"
            raise EngineError(f"{problem}: {error}") from None


def read_answers(folder: Path) -> list[ProbeAnswer]:
    """The workers' answers.

    Raises:
        EngineError: a worker answers in the format of another version of this project.
    """
    answers = []
    for path in sorted(folder.glob("answer-*.json")):
        try:
            answers.append(ProbeAnswer(**json.loads(path.read_text(encoding="utf-8"))))
        except TypeError:
            raise EngineError("workers have another version of corpus-audit: install the same on both sides") from None
    return answers


@dataclass(frozen=True, slots=True)
class VersionDifferences:
    """Sentences about versions of workers that are not the driver's: ``refused`` ones prevent the run."""

    refused: tuple[str, ...]
    tolerated: tuple[str, ...]


def version_differences(answers: Iterable[ProbeAnswer], here: ProbeAnswer) -> VersionDifferences:
    """Compare the versions of workers with those of the driver.

    Any difference is refused for `COMPUTING_PACKAGES`; for Python and Beam a difference in the first two parts of the
    version. The same difference of several workers is reported once.
    """
    refused: dict[tuple[str, str], str] = {}
    tolerated: dict[tuple[str, str], str] = {}
    for answer in answers:
        for package, own in here.versions.items():
            other = answer.versions.get(package, "")
            if other == own:
                continue
            compatible = (
                package in TRANSPORT_PACKAGES and other and own and _minor_release(other) == _minor_release(own)
            )
            versions = f"{_labelled(package, other)}, and this process {_labelled(package, own)}"
            (tolerated if compatible else refused).setdefault(
                (package, other), f"a worker on {answer.host} has {versions}"
            )
    return VersionDifferences(tuple(refused.values()), tuple(tolerated.values()))


def _labelled(package: str, version: str) -> str:
    return f"{package} {version}" if version else f"no {package}"


def _minor_release(version: str) -> list[str]:
    """The first two parts of a version: those of ``2.77.1`` are 2 and 77."""
    return version.split(".")[:2]
