"""What a Flink cluster costs beside the threads of one process, on the same machine and the same shards.

    python -m tests.benchmarks.engine_overhead --tokenizer gpt2.json --out overhead.json

A round audits both sizes on both engines, each from an empty output folder. Start-up is told apart by slope: seconds
between the two sizes over the text between them. The cluster is up before the first round: a JobManager and two
TaskManagers of one slot each, so that as many Python workers are at work as the other engine has threads. Exits 1 if
Flink's throughput per core is under 0.6 of the embedded engine's. Needs Java 11 or 17, and once Maven.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import corpus as corpora
from tests.benchmarks.measuring import WORKERS, middle, read_once, run_job
from tests.benchmarks.profile import Figures

LEAST = 0.6
ENGINES = ("embedded", "flink")


@contextmanager
def cluster(folder: Path) -> Iterator[list[str]]:
    """The flags of a run on a cluster that is up for as long as the block lasts."""
    program = [sys.executable, "-m", "corpus_audit.runners.cli.main", "flink"]
    up = [*program, "up", "--folder", str(folder), "--task-managers", str(WORKERS), "--slots", "1"]
    subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
    try:
        yield ["--engine", "flink", "--flink-master", str(folder), "--parallelism", str(WORKERS)]
    finally:
        subprocess.run([*program, "down", "--folder", str(folder)], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    """Parse the command line, measure, print, write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json with GPT-2's vocabulary")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder of the corpora")
    parser.add_argument("--sizes", type=float, nargs=2, default=(300, 2400), metavar="MB", help="text of the corpora")
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    arguments = parser.parse_args()

    sizes = sorted(arguments.sizes)
    folders = {size: corpora.real_corpus(arguments.cache, size) for size in sizes}
    text = {size: corpora.size_of(folder)[1] for size, folder in folders.items()}
    for folder in folders.values():
        read_once(folder)
    runs: dict[str, dict[float, list[float]]] = {engine: {size: [] for size in sizes} for engine in ENGINES}
    stages: dict[str, dict[float, list[dict[str, float]]]] = {
        engine: {size: [] for size in sizes} for engine in ENGINES
    }
    with tempfile.TemporaryDirectory() as temporary, cluster(Path(temporary) / "cluster") as on_flink:
        flags = {"embedded": [], "flink": on_flink}
        for engine in ENGINES:  # kernels are compiled and classes are loaded once
            run_job(
                arguments.cache / "scratch", corpora.real_corpus(arguments.cache, 1), arguments.tokenizer, flags[engine]
            )
        for number in range(arguments.runs):
            for engine in ENGINES if number % 2 == 0 else reversed(ENGINES):
                for size in sizes:
                    job = run_job(arguments.cache / "scratch", folders[size], arguments.tokenizer, flags[engine])
                    runs[engine][size].append(job.seconds)
                    stages[engine][size].append(job.stages)

    small, large = sizes
    figures = Figures()
    rate = {}
    for engine in ENGINES:
        seconds = {size: middle(runs[engine][size]) for size in sizes}
        for size in sizes:
            figures.add(f"{engine}, {size:g} MB", seconds[size], "s", f"{text[size] / 1e6:.0f} MB of text")
        slope = (seconds[large] - seconds[small]) / (text[large] - text[small])
        rate[engine] = 1e-6 / slope / WORKERS
        figures.add(f"{engine}, throughput per core", rate[engine], "MB/s", "text bytes by slope")
        figures.add(f"{engine}, fixed cost", seconds[small] - slope * text[small], "s", "intercept of the line")
        for name in sorted({name for actual in stages[engine][large] for name in actual}):
            seconds_there = middle([actual.get(name, 0.0) for actual in stages[engine][large]])
            figures.add(f"{engine}, stage {name}, {large:g} MB", seconds_there, "s")
    ratio = rate["flink"] / rate["embedded"]
    figures.add("throughput per core, flink over embedded", ratio, "ratio", f"at least {LEAST}")
    result = {"figures": figures.rows, "seconds": runs, "workers": WORKERS, "machine": {"cores": os.cpu_count()}}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
