"""Ctrl-C at several moments of a whole build: in the main thread and in workers, deep in native code."""

import json
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.embeddings.build.library_corpus import audit

pytestmark = pytest.mark.slow

CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell has it ignored
from contextlib import contextmanager
import torch
from corpus_audit.embeddings.build import publish
from corpus_audit.embeddings.scan import scanner
from corpus_audit.runners.cli import main

moment = sys.argv.pop(1)
real = publish.BuildStages.stage

def work(progress=lambda tokens: None):
    print("ready", flush=True)
    matrix = torch.ones(400, 400)
    while True:
        (matrix @ matrix).sum().item()
        progress(1)

@contextmanager
def stage(self, name, size=0):
    with real(self, name, size):
        if name == moment and moment != "scanning":
            work()
        yield

publish.BuildStages.stage = stage
if moment == "scanning":
    scanner.ActivationScanner.scan = lambda self, shard, split, progress: work(progress)
sys.argv[0] = "corpus-audit"
main.main()
"""


@pytest.mark.parametrize("moment", ["model", "scanning", "verifying"])
def test_an_interrupted_build_ends_with_130_and_no_crash_file(corpus, moment):
    audit(corpus)
    command = [sys.executable, "-c", CODE, moment, "index", str(corpus / "audit.yaml"), "-q", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    lines = [line for line in err.splitlines() if line.startswith("corpus-audit:")]
    assert lines == ["corpus-audit: interrupted: scanned splits are stored; run the same command again to continue"]
    assert process.returncode == 130 and "Traceback" not in err
    last = [line for line in out.splitlines() if line != "ready"][-1:]
    assert not last or json.loads(last[0])["exit_code"] == 130  # left out where the process had to be left at once
    assert not list(corpus.rglob("crash-*")) and not (corpus / "index" / "LATEST").exists()
