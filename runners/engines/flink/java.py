"""The Java that Flink runs on, and the options that Flink needs of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.schemas.errors import UsageError

SUPPORTED = (11, 17)
"""Feature versions of Java that Flink 1.19 supports; the tests run on 17."""

_OPENED = (
    "java.lang",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java program: its path, and its feature version (17 for 17.0.15)."""

    path: Path
    feature: int


def find_java() -> Java:
    """The Java of ``JAVA_HOME``, else of ``PATH``.

    Raises:
        UsageError: there is none, it does not run, or Flink does not support its version.
    """
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if program is None:
        where = f"{home}/bin, which JAVA_HOME names" if home else "PATH"
        raise UsageError(f"there is no java in {where}: install a Java {SUPPORTED[-1]} runtime")
    try:
        version = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{program} does not run: {error}") from None
    match = re.search(r'version "(?:1\.)?(\d+)', version.stderr + version.stdout)
    if version.returncode or match is None:
        lines = (version.stderr or version.stdout).strip().splitlines() or [f"exit code {version.returncode}"]
        raise UsageError(f"{program} does not run: {lines[0][:200]}")
    java = Java(Path(program), int(match[1]))
    if java.feature not in SUPPORTED:
        wanted = " or ".join(str(version) for version in SUPPORTED)
        raise UsageError(f"{program} is Java {java.feature}; Flink 1.19 runs on {wanted}: set JAVA_HOME to one of them")
    return java


def java_options(heap: str) -> list[str]:
    """Options of a JVM for Flink: its heap, and what it opens of Java's own modules."""
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    exported = ["java.base/sun.net.util", "java.security.jgss/sun.security.krb5"]
    exported = [f"--add-exports={package}=ALL-UNNAMED" for package in exported]
    log = ["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss"]
    return [f"-Xmx{heap}", *opened, *exported, *log]
