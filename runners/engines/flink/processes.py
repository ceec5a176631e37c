"""Processes that outlive the command that starts them, and ending them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE = 10.0
"""Seconds that a process has to end by itself before it is killed."""

SAME_START = 2.0
"""Seconds by which two readings of one start may differ: the time of the boot is known to the second only."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that leads a group of its own, and what tells it from a later one of the same number.

    Attributes:
        pid: its number, and its group's.
        started: when, in seconds after the machine's boot; 0 where the system does not say.
    """

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and abs(_started(process) - self.started) < SAME_START
        except psutil.Error:  # there is none, or it is another user's, so another process
            return False


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Process:
    """Start a process in a session of its own; what it writes is appended to ``log``."""
    with log.open("ab") as file:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            cwd=log.parent,
        )
    try:
        return Process(started.pid, _started(psutil.Process(started.pid)))
    except psutil.Error:  # it has ended, and the system does not say any more when it started
        return Process(started.pid, 0.0)


def end(processes: Sequence[Process]) -> None:
    """End processes, and whatever they started and left in their groups."""
    running = [process for process in processes if process.alive]
    for process in running:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while any(_running(process) for process in running) and time.monotonic() < deadline:
        time.sleep(0.05)
    # The groups of those that have ended too: what they started may still run.
    for process in running:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    while any(_running(process) for process in running):
        time.sleep(0.05)


def _running(process: Process) -> bool:
    with suppress(ChildProcessError):  # it is a child if this command started it, and is asked for then
        os.waitpid(process.pid, os.WNOHANG)
    return process.alive


def _started(process: psutil.Process) -> float:
    """Seconds from the machine's boot to the process's start: unlike times of day, these stay when the clock is set."""
    return float(process.create_time() - psutil.boot_time())


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on at the moment."""
    # All stay open until all ports are known, as the system may give out the port of a closed socket again.
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def last_lines(log: Path) -> str:
    """The last three lines of a log as one line of text."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "it wrote no log"
    return " / ".join(line.strip()[:200] for line in lines[-3:]) or "it wrote nothing"
