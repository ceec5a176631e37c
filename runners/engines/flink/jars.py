"""Flink and Beam's Flink runner as jars, fetched once with Maven and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

from corpus_audit.schemas.errors import UsageError

RUNNER_JAR = "beam-runners-flink-*.jar"
"""The jar by which a set of jars is known to be whole: it holds the job server."""


def cache_folder() -> Path:
    """Where downloads and, by default, the cluster's state are."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "corpus-audit"


def pom() -> str:
    """The Maven project that names what is fetched."""
    return resources.files("corpus_audit.runners.engines.flink").joinpath("pom.xml").read_text(encoding="utf-8")


def jars_folder() -> Path:
    """Where the jars of `pom` are, or will be."""
    return cache_folder() / f"flink-jars-{hashlib.sha256(pom().encode()).hexdigest()[:12]}"


def have_jars(folder: Path) -> bool:
    """Whether a folder holds a set of jars."""
    return any(folder.glob(RUNNER_JAR))


def fetch_jars() -> Path:
    """The folder of the jars; about 150 MB are fetched the first time.

    Raises:
        UsageError: there is no Maven, or it cannot fetch them.
    """
    folder = jars_folder()
    if have_jars(folder):
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise UsageError("there is no mvn in PATH, which fetches Flink and Beam's runner once: install Maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        project, target = Path(temporary) / "pom.xml", Path(temporary) / "jars"
        project.write_text(pom(), encoding="utf-8")
        command = [maven, "-q", "-B", "-f", str(project), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode or not have_jars(target):
            errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")] or [done.stderr.strip()]
            raise UsageError(f"Maven could not fetch the jars: {errors[0][:400]}")
        try:
            target.rename(folder)
        except OSError:
            if not have_jars(folder):  # else another process was faster
                raise
    return folder


def write_empty_jar(path: Path) -> None:
    """A jar without classes: what is sent with a job to a cluster that has all of them already."""
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n\r\n")
