"""One measurement = one fresh process: its wall time, its peak memory, its output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

WORKERS = 2

BARE_LOOP = """
import sys, gigatoken
tokenizer = gigatoken.Tokenizer(sys.argv[1])
for path in sys.argv[2:]:
    result = tokenizer.encode_files(gigatoken.ParquetFileSource([path]))
    del result
"""

REFERENCE = """
import sys, time
import pyarrow.parquet as pq
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_truncation()
tokenizer.no_padding()
texts = [text for path in sys.argv[2:] for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
began = time.perf_counter()
for start in range(0, len(texts), 1000):
    tokenizer.encode_batch_fast(texts[start : start + 1000], add_special_tokens=False)
print(time.perf_counter() - began)
"""


LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
report = {"seconds": time.perf_counter() - began, "rss": usage.ru_maxrss, "code": os.waitstatus_to_exitcode(status)}
report["cpu"] = usage.ru_utime + usage.ru_stime
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
"""
"""A process's peak memory starts at that of the one that started it, so a small one stands in between."""


@dataclass(frozen=True)
class Measured:
    """What a process took."""

    seconds: float
    peak_bytes: int
    output: str
    cpu_seconds: float


def measure(command: Sequence[str], accept: Sequence[int] = (0,)) -> Measured:
    """Run a command and wait for it; both tokenizers may use `WORKERS` threads.

    Raises:
        RuntimeError: it answered a status that is not in ``accept``; the message holds the end of its output.
    """
    environment = {**os.environ, "RAYON_NUM_THREADS": str(WORKERS), "TOKENIZERS_PARALLELISM": "true"}
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "usage.json"
        launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(note), *command]
        done = subprocess.run(launched, env=environment, capture_output=True, text=True, check=True)
        usage = json.loads(note.read_text(encoding="utf-8"))
    if usage["code"] not in accept:
        raise RuntimeError(f"{command} answered {usage['code']}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
    peak = usage["rss"] * (1 if sys.platform == "darwin" else 1024)
    return Measured(usage["seconds"], peak, done.stdout, usage["cpu"])


@dataclass(frozen=True)
class JobRun:
    """One `corpus-audit run` into a fresh output folder."""

    seconds: float
    peak_bytes: int
    stages: dict[str, float]
    verification_core_seconds: float
    store_bytes: int


def write_spec(folder: Path, corpus: Path, tokenizer: Path, **spec: object) -> Path:
    """The audit file of a benchmark: default measures, the primary facet alone."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "name": corpus.name,
        "snapshot": {"paths": [str(corpus.resolve())]},
        "document": {"text": "text", "id": "id", "domain": "domain"},
        "tokenizer": str(tokenizer.resolve()),
        **spec,
    }
    path = folder / "audit.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run_job(scratch: Path, corpus: Path, tokenizer: Path, engine: Sequence[str] = ()) -> JobRun:
    """Audit a corpus from nothing: no output folder, no store.

    Args:
        scratch: a folder for the output, which is removed again.
        corpus: the shards' folder.
        tokenizer: its file.
        engine: flags that name another engine than this process's threads, whose memory is then not in the figure.
    """
    folder = scratch / f"job-{corpus.name}"
    shutil.rmtree(folder, ignore_errors=True)
    spec = write_spec(folder, corpus, tokenizer)
    command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet", "--json"]
    done = measure([*command, *(engine or ("--workers", str(WORKERS)))], accept=(0, 4))
    outcome: dict[str, Any] = json.loads(done.output)
    timings = json.loads((Path(outcome["run"]) / "timings.json").read_text(encoding="utf-8"))
    store = sum(path.stat().st_size for path in (folder / "runs" / ".store").rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return JobRun(done.seconds, done.peak_bytes, timings["stages"], timings["verification_core_seconds"], store)


def run_bare_loop(corpus: Path, tokenizer: Path) -> Measured:
    """The baseline of the slope: gigatoken over the shards, one after the other."""
    return measure([sys.executable, "-c", BARE_LOOP, str(tokenizer), *map(str, sorted(corpus.glob("*.parquet")))])


def run_reference(corpus: Path, tokenizer: Path) -> float:
    """Seconds that `tokenizers` needs to encode a corpus, reading and start-up left out."""
    command = [sys.executable, "-c", REFERENCE, str(tokenizer), *map(str, sorted(corpus.glob("*.parquet")))]
    return float(measure(command).output.split()[-1])


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(median(values))


def read_once(corpus: Path) -> None:
    """Bring a corpus into the page cache, so that the first measurement is like the others."""
    for path in sorted(corpus.glob("*.parquet")):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def peer_environment(folder: Path, requirements: Sequence[str]) -> str | None:
    """The interpreter of an environment with other programs, made on first use; None, and why is printed, without.

    Args:
        folder: of the environment.
        requirements: as pip takes them.
    """
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        try:
            venv.create(folder, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"skipped: no environment with {', '.join(requirements)} could be made ({error})")
            return None
        (folder / "ready").touch()
    return str(python)
