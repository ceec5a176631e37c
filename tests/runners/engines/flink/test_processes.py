"""Processes of a cluster: known by number and start, ended with what they started."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from corpus_audit.runners.engines.flink import processes


def wait(for_: Callable[[], bool]) -> None:
    """Return when a condition holds; the test's own limit is the only one."""
    while not for_():
        time.sleep(0.01)


def test_a_process_is_known_by_its_number_and_its_start(tmp_path: Path) -> None:
    process = processes.start(["sleep", "600"], tmp_path / "log")
    try:
        assert process.alive
        assert not replace(process, started=process.started - 60).alive, "a later process of the same number"
        assert 0 < process.started <= time.time() - psutil.boot_time() + processes.SAME_START
    finally:
        processes.end([process])
    assert not process.alive


def test_one_that_ended_is_not_alive(tmp_path: Path) -> None:
    process = processes.start(["true"], tmp_path / "log")
    wait(lambda: not process.alive)  # gone, or a zombie until somebody asks for its exit status
    processes.end([process])


def test_what_does_not_listen_is_killed_with_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.1)
    script = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"
    process = processes.start(["sh", "-c", script], tmp_path / "log")
    wait(lambda: (tmp_path / "log").read_text().endswith("\n"))
    child = psutil.Process(int((tmp_path / "log").read_text()))
    processes.end([process])
    assert not process.alive
    wait(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
