"""SIGINT and SIGTERM end every command with one line and 128 plus their number, whatever the command is doing.

Signals are sent to processes of their own, when these have said that they are at work.
"""

import signal
import subprocess
import sys

import pytest

PRELUDE = """
import importlib, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell has it ignored
from pathlib import Path
from corpus_audit.runners.process import interrupts
from corpus_audit.runners.cli import main

def wait(*given, **more):
    print("ready", flush=True)
    while True:
        time.sleep(3600)

def patch(name, value):
    module, _, attribute = name.rpartition(".")
    setattr(importlib.import_module(module), attribute, value)
"""

START = """
sys.argv = ["corpus-audit", *sys.argv[1:]]
main.main()
"""

WAITING = {
    "report out": "corpus_audit.runners.cli.report.resolve_run",
    "check out --policy policy.yaml": "corpus_audit.schemas.spec.policy_file.load_policy",
    "drift a b": "corpus_audit.runners.cli.drift.resolve_run",
    "sampling a --budget 3B": "corpus_audit.runners.cli.sampling.resolve_run",
    "history": "corpus_audit.runners.cli.history.output_folder",
    "prune out --keep-last 1": "corpus_audit.runners.cli.shared.run_paths.output_folder",
    "verify signed.json": "corpus_audit.schemas.run.trust.load_trust",
    "search text": "corpus_audit.embeddings.open_index",
    "lookup mlp.0:1": "corpus_audit.embeddings.open_index",
    "attribute mlp.0:1": "corpus_audit.embeddings.open_index",
    "index verify folder": "corpus_audit.embeddings.index.files.find_index",
    "init data": "corpus_audit.runners.init.proposal.propose_audit",
    "demo": "corpus_audit.runners.demo.corpus.build_demo",
    "doctor": "corpus_audit.runners.doctor.doctor.examine",
    "push audit.yaml": "corpus_audit.schemas.spec.audit_file.load_audit",
}

INDEX = """
from corpus_audit.pipelines.progress.board import process_board
from corpus_audit.runners.indexing import build as indexing
from corpus_audit.runners.cli import index
import types
spec = types.SimpleNamespace(output="runs", embedding=None)
index.perform_index.__globals__["_show_index"] = lambda *given: None
loaded = types.SimpleNamespace(base=Path("."), spec=spec)
patch("corpus_audit.schemas.spec.audit_file.load_audit", lambda *given: loaded)
patch("corpus_audit.pipelines.reading.snapshot.dates.fill_dates", lambda loaded, day=None: loaded)
patch("corpus_audit.runners.indexing.build.with_directions", lambda loaded, named: loaded)

def index_corpus(loaded, workers, engine, warn):
    board = process_board()
    board.begin_stage("scanning", total_bytes=10**12)
    def work():
        print("ready", flush=True)
        while True:
            board.advance(10)
            time.sleep(0.001)
    thread = threading.Thread(target=work)
    thread.start()
    %s

patch("corpus_audit.runners.indexing.build.index_corpus", index_corpus)
"""

JOINS = "thread.join()"
WRAPS = """try:
        thread.join()
    except BaseException as error:
        raise RuntimeError("a bundle failed [while running 'perform']") from error"""
SWALLOWS = """while True:
        try:
            thread.join()
            time.sleep(3600)
        except BaseException:
            pass"""
"""What an engine may make of the interrupt: it joins its threads, wraps it, or swallows it."""


def interrupted(code, arguments, signum):
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code + START, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(signum)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "line"), list(enumerate(WAITING)))
def test_every_command_ends_with_one_line(number, line):
    signum = (signal.SIGINT, signal.SIGTERM)[number % 2]
    code, out, err = interrupted(f"patch({WAITING[line]!r}, wait)\n", line.split(), signum)
    assert (code, out, err) == (128 + signum, "", "corpus-audit: interrupted\n")


@pytest.mark.parametrize("engine", [JOINS, WRAPS, SWALLOWS], ids=["joins", "wraps", "swallows"])
def test_an_index_that_is_interrupted_is_no_internal_error(engine, tmp_path):
    quick = "interrupts.Interrupts.__init__.__defaults__ = (0.3,)\n" if engine is SWALLOWS else ""
    code, out, err = interrupted(quick + INDEX % engine, ["index", str(tmp_path / "audit.yaml"), "-q"], signal.SIGINT)
    lines = [line for line in err.splitlines() if line.startswith("corpus-audit:")]
    assert (code, out) == (130, "")
    assert lines == ["corpus-audit: interrupted: scanned splits are stored; run the same command again to continue"]
    assert "internal error" not in err and not list(tmp_path.glob("crash-*"))
