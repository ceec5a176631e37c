"""Signals are sent to processes of their own: a test process must not lose its handlers."""

import signal
import subprocess
import sys

import pytest

PRELUDE = """
import signal, sys, threading, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell has it ignored
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.runners.process import interrupts
from corpus_audit.runners.cli import main, run
from corpus_audit.schemas.spec import audit_file

audit_file.load_audit = lambda path, overrides=(): types.SimpleNamespace(
    base=Path("."),
    spec=types.SimpleNamespace(
        name="n", output="runs", notify=(), snapshot=types.SimpleNamespace(paths=("data",), manifest=None)
    ),
)
fake = types.ModuleType("corpus_audit.runners.audit.run")
sys.modules["corpus_audit.runners.audit.run"] = fake
"""

COOPERATIVE = """
def run_audit(loaded, *, workers, board, rehash=False, if_changed=False, engine=None):
    board.begin_stage("reading", total_bytes=10**12, splits=40, kept=10)
    board.split_done(); board.split_done()
    def work():
        while True:
            board.advance(bytes=10)
            time.sleep(0.001)
    with ThreadPoolExecutor(2) as pool:  # as the engine does, it joins its threads before an exception gets out
        futures = [pool.submit(work) for _ in range(2)]
        print("ready", flush=True)
        for future in futures:
            future.result()
"""

DEAF_WORKER = """
interrupts.Interrupts.__init__.__defaults__ = (0.3,)
def run_audit(loaded, *, workers, board, rehash=False, if_changed=False, engine=None):
    board.begin_stage("reading", splits=40)
    def work():
        time.sleep(3600)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        print("ready", flush=True)
        future.result()
"""

DEAF_MAIN_THREAD = """
interrupts.Interrupts.__init__.__defaults__ = (0.3,)
def run_audit(loaded, *, workers, board, rehash=False, if_changed=False, engine=None):
    import hashlib
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2**31 - 1)  # native code that lets other threads run
"""

DEAF_THROUGHOUT = """
interrupts.Interrupts.__init__.__defaults__ = (3600.0,)
def run_audit(loaded, *, workers, board, rehash=False, if_changed=False, engine=None):
    board.begin_stage("reading", splits=40)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(time.sleep, 3600)
        print("ready", flush=True)
        future.result()
"""

FAILING = """
def run_audit(loaded, *, workers, board, rehash=False, if_changed=False, engine=None):
    print("ready", flush=True)
    try:
        time.sleep(3600)
    except KeyboardInterrupt:
        raise RuntimeError("what an engine makes of it")
"""

START = """
fake.run_audit = run_audit
sys.argv = ["corpus-audit", "run", "audit.yaml", *sys.argv[1:]]
main.main()
"""


def _interrupt(behaviour, *signals, arguments=()):
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + behaviour + START, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        for signum in signals:
            process.send_signal(signum)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_one_line(signum, code):
    assert _interrupt(COOPERATIVE, signum) == (
        code,
        "",
        "corpus-audit: interrupted: 12 of 40 splits are stored; run the same command again to continue\n",
    )


def test_a_worker_that_does_not_hear_is_left_behind():
    code, _, err = _interrupt(DEAF_WORKER, signal.SIGTERM)
    assert code == 143
    assert err == "corpus-audit: interrupted: 0 of 40 splits are stored; run the same command again to continue\n"


def test_a_main_thread_in_native_code_is_left_behind():
    code, _, err = _interrupt(DEAF_MAIN_THREAD, signal.SIGINT)
    assert code == 130
    assert err == "corpus-audit: interrupted before anything was read; run the same command again\n"


def test_a_second_signal_ends_it_at_once():
    code, _, err = _interrupt(DEAF_THROUGHOUT, signal.SIGINT, signal.SIGTERM)
    assert code in (130, 143)  # two signals that are pending together are delivered in the order of their numbers
    assert err.count("\n") == 1 and "interrupted: 0 of 40 splits" in err


def test_an_error_that_the_signal_caused_is_not_reported_as_a_fault():
    code, out, err = _interrupt(FAILING, signal.SIGINT, arguments=["--json"])
    assert code == 130
    assert '"schema": "corpus-audit/error/1"' in out and '"exit_code": 130' in out
    assert "RuntimeError" not in err and "Traceback" not in err
