import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from corpus_audit.runners.process.locks import OutputLock
from corpus_audit.schemas.errors import ExitCode, LockedError, UsageError

RACES = 100
RIVALS = 4

HOLDER = """
import sys, time
from pathlib import Path
from corpus_audit.runners.process.locks import OutputLock
with OutputLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["flock", "no flock"])
def file_system(request, monkeypatch):
    if request.param == "no flock":

        def refuse(handle, operation):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def _dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _owner(pid, host=None):
    owner = {"user": "ana", "host": host or socket.gethostname(), "pid": pid, "started": "2026-01-01T00:00:00+00:00"}
    return json.dumps(owner)


def test_a_second_holder_gets_the_name_of_the_first(tmp_path, file_system):
    with OutputLock(tmp_path), pytest.raises(LockedError) as caught, OutputLock(tmp_path):
        pytest.fail("held twice")
    assert f"process {os.getpid()} of " in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code is ExitCode.LOCKED


def test_a_lock_can_be_taken_again_and_after_an_error(tmp_path, file_system):
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), OutputLock(tmp_path):
            _ = 1 / 0


def test_races_have_exactly_one_winner(tmp_path, file_system):
    """The winner holds it until its rivals were refused; every other race begins with a dead owner's file."""
    dead = _dead_pid()

    def contend(lock, start, refused, lost):
        start.wait()
        try:
            with lock:
                refused.acquire(timeout=300)
                return "won"
        except LockedError:
            with lost:
                lost.count += 1
                if lost.count == RIVALS - 1:
                    refused.release()
            return "lost"

    class Lost:
        def __init__(self):
            self.count = 0
            self._lock = threading.Lock()

        def __enter__(self):
            self._lock.acquire()

        def __exit__(self, *_):
            self._lock.release()

    with ThreadPoolExecutor(RIVALS) as pool:
        for race in range(RACES):
            if race % 2:
                left_behind = ".lock" if file_system == "flock" else ".lock.held"
                (tmp_path / left_behind).write_text(_owner(dead))
            start, refused, lost = threading.Barrier(RIVALS), threading.Semaphore(0), Lost()
            futures = [pool.submit(contend, OutputLock(tmp_path), start, refused, lost) for _ in range(RIVALS)]
            results = sorted(future.result(timeout=600) for future in futures)
            assert results == ["lost"] * (RIVALS - 1) + ["won"], f"race {race}"


def test_a_killed_holder_is_no_obstacle_and_a_living_one_is_named(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"process {process.pid} "), OutputLock(tmp_path):
        pytest.fail("held twice")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with OutputLock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_without_flock_another_hosts_file_is_not_removed(tmp_path, monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    exclusive = tmp_path / ".lock.held"
    exclusive.write_text(_owner(_dead_pid(), host="another-host"))
    with pytest.raises(LockedError) as caught, OutputLock(tmp_path):
        pytest.fail("held twice")
    assert "ana on another-host" in str(caught.value) and f"remove {exclusive}" in str(caught.value)
    assert exclusive.exists()


def test_a_folder_that_cannot_be_made_is_wrong_use(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write into the output folder"), OutputLock(tmp_path / "file" / "runs"):
        pytest.fail("held in a file")
