"""The constants of `cost_constants.py`, measured, and its predictions held against runs of other sizes.

    python -m tests.benchmarks.cost_model --tokenizer gpt2.json --merge merge.json --out cost.json

Constants are fitted on two sizes and two numbers of documents; three other sizes are predicted, then run. What merging
takes comes from `merge_simulation.py --out merge.json`. Every run is a fresh process with an empty output folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import shutil
import sys
import time
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import nnls

from corpus_audit.pipelines.counting.job import SplitResult, SplitTask
from corpus_audit.pipelines.measures.registry import ALWAYS
from corpus_audit.schemas.run.snapshot import Shard, ShardFormat, Split
from tests.benchmarks import corpus as corpora
from tests.benchmarks.cost_constants import Constants, Corpus, constants_page, merge_levels, page, predict
from tests.benchmarks.measuring import WORKERS, measure, middle, read_once, write_spec
from tests.benchmarks.merge_simulation import DOMAINS, SHAPES

FIT = (75.0, 600.0)
PREDICTED = (150.0, 900.0, 1200.0)
DOMAIN_COUNTS, DOMAINS_SIZE = (10, 100, 1000), 300.0
NEVER_FULL = ("duplicates", "neighbours")
"""Measures with rows a document."""


class Run:
    """One run, and what it left."""

    def __init__(self, scratch: Path, corpus: Path, tokenizer: Path) -> None:
        folder = scratch / f"cost-{corpus.name}"
        shutil.rmtree(folder, ignore_errors=True)
        spec = write_spec(folder, corpus, tokenizer)
        command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet", "--json"]
        done = measure([*command, "--workers", str(WORKERS)], accept=(0, 4))
        run_dir = Path(json.loads(done.output)["run"])
        timings = json.loads((run_dir / "timings.json").read_text(encoding="utf-8"))
        self.seconds, self.peak = done.seconds, done.peak_bytes
        self.count = timings["stages"]["count"]
        partials = folder / "runs" / ".store" / "partials"
        sizes = {
            path.name: sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            for path in partials.iterdir()
        }
        self.never = sum(sizes.get(name, 0) for name in NEVER_FULL)
        self.full = sum(sizes.values()) - self.never
        self.splits = int(timings["splits_read"])
        shards = pq.read_table(run_dir / "tables" / "shards.parquet", columns=["documents"])
        self.shards, self.documents = len(shards), sum(shards["documents"].to_pylist())
        shutil.rmtree(folder)


def hashing(corpus: Path) -> float:
    """Core-seconds of SHA-256 a byte of shards that are in the page cache."""
    began, read = time.process_time(), 0
    for path in corpus.glob("*.parquet"):
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
            read += file.tell()
    return (time.process_time() - began) / read


def driver_bytes() -> tuple[float, float]:
    """What the driver holds a split, and the bytes of a task and its result when they are sent."""
    many = 20_000
    measures = tuple(f"measure-{number}" for number in range(8))
    tracemalloc.start()
    held = []
    for number in range(many):
        path = f"s3://a-bucket-of-text/a/folder/of/shards/part-{number:08d}.parquet"
        shard = Shard(path, path[-20:], ShardFormat.PARQUET, number, f"{number}-etag:{number:032x}")
        task = SplitTask(number, shard, f"{number:064x}", Split(0, 0, number, number), measures)
        paths = [f"/an/output/folder/runs/.store/partials/{name}/ab/{number:064x}" for name in measures]
        held.append((task, SplitResult(number, 0, None, 1, 1, 0.5), paths))
    bytes_a_split = tracemalloc.get_traced_memory()[0] / many
    tracemalloc.stop()
    sent = sum(len(pickle.dumps(entry)) for entry in held[0][:2])
    return bytes_a_split, float(sent)


def merging(rows: list[dict[str, float]]) -> tuple[float, float]:
    """Core-seconds of a partial and of a byte, from merges of many sizes: least squares of relative errors."""
    design, seconds = [], []
    for row in rows:
        levels = list(
            merge_levels(int(row["partials"]), row["partial_bytes"] / row["partials"], float(row["merged_bytes"]))
        )
        shares = [min(WORKERS, merges) for _, merges, _ in levels]
        partials = sum(read / share for (read, _, _), share in zip(levels, shares, strict=True))
        read = sum(level[2] / share for level, share in zip(levels, shares, strict=True))
        design.append([1.0, partials, read])
        seconds.append(row["seconds"])
    took = np.array(seconds)
    actual, _ = nnls(np.array(design) / took[:, None], np.ones(len(took)))
    for row, modelled in zip(rows, np.array(design) @ actual, strict=True):
        name = f"{row['partials']:,} {row['shape']} {row['measure']}"
        print(f"merge of {name}: {modelled:.1f} s, took {row['seconds']:.1f} s")
    return float(actual[1]), float(actual[2])


def main() -> int:
    """Parse the command line, measure, fit, predict, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json with GPT-2's vocabulary")
    parser.add_argument("--merge", type=Path, required=True, help="what merge_simulation.py wrote")
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    arguments = parser.parse_args()
    cache: Path = arguments.cache
    merges = json.loads(arguments.merge.read_text(encoding="utf-8"))["results"]

    folders = {size: corpora.real_corpus(cache, size) for size in sorted((*FIT, *PREDICTED))}
    sizes = {size: corpora.size_of(folder) for size, folder in folders.items()}
    runs: dict[float, list[Run]] = {size: [] for size in folders}
    for folder in folders.values():
        read_once(folder)
    Run(cache / "scratch", corpora.real_corpus(cache, 1), arguments.tokenizer)
    for _ in range(arguments.runs):
        for size, folder in folders.items():
            runs[size].append(Run(cache / "scratch", folder, arguments.tokenizer))
    by_domains = {
        domains: Run(cache / "scratch", corpora.real_corpus(cache, DOMAINS_SIZE, domains), arguments.tokenizer)
        for domains in DOMAIN_COUNTS
    }

    few, many = FIT
    a_core = {size: sizes[size][1] / min(WORKERS, runs[size][0].splits) for size in FIT}
    took = {size: middle([run.count for run in runs[size]]) for size in FIT}
    last = runs[many][0]
    counters = [row for row in merges if row["measure"] == "tokens"]
    cells = [row["merged_bytes"] / (len(DOMAINS) * SHAPES[row["shape"]].vocabulary) for row in counters]
    a_cell_partial, a_cell_byte = merging(counters)
    task, message = driver_bytes()
    hashed = [row for row in merges if row["measure"] == "duplicates"]
    small = [row for row in hashed if row["shape"] == "small"]
    wide, narrow = (find(small, key=lambda row: row["partials"]) for find in (max, min))
    a_hash_partial, a_hash_byte = merging(hashed)
    listed = (wide["peak_bytes"] - narrow["peak_bytes"]) / (wide["partials"] - narrow["partials"])
    task += listed * sum(len(kind.merged_apart()) for kind in ALWAYS)  # every table is merged by itself
    constants = Constants(
        fixed=0.0,
        plan=hashing(folders[many]),
        count=(took[many] - took[few]) / (a_core[many] - a_core[few]),
        full=tuple((domains, run.full / run.splits) for domains, run in by_domains.items()),
        text_hash=last.never / last.documents,
        cell=max(cells),
        bare=24.0,
        cell_partial=a_cell_partial,
        cell_byte=a_cell_byte,
        hash_partial=a_hash_partial,
        hash_byte=a_hash_byte,
        task=task,
        message=message,
        worker=float(max(run.peak for actual in runs.values() for run in actual)),
    )

    def corpus(size: float) -> Corpus:
        return Corpus(sizes[size][1], sizes[size][0], runs[size][0].shards, runs[size][0].documents, 10)

    seconds = {size: middle([run.seconds for run in actual]) for size, actual in runs.items()}
    fixed = middle([seconds[size] - predict(corpus(size), constants, WORKERS).seconds for size in FIT])
    constants = Constants(**{**asdict(constants), "full": constants.full, "fixed": fixed})
    print(json.dumps(asdict(constants), indent=1))
    print(f"{'MB':>6} {'predicted':>10} {'measured':>9} {'error':>7}    partials: predicted, measured, error")
    rows = []
    for size in PREDICTED:
        actual = predict(corpus(size), constants, WORKERS)
        kept = float(runs[size][0].full + runs[size][0].never)
        row = {"megabytes": size, "predicted": actual.seconds, "measured": seconds[size]}
        row |= {"partials_predicted": actual.partials, "partials_measured": kept}
        rows.append(row)
        print(
            f"{size:6g} {actual.seconds:8.1f} s {seconds[size]:7.1f} s {actual.seconds / seconds[size] - 1:+7.1%}    "
            f"{actual.partials / 1e6:6.1f} MB {kept / 1e6:6.1f} MB {actual.partials / kept - 1:+7.1%}"
        )
    for line in (*constants_page(constants), *page(constants)):
        print(line)
    for domains, run in by_domains.items():
        size = run.full / run.splits / 1e6
        print(f"{domains:,} domains: counted {run.splits} splits in {run.count:.1f} s, {size:.2f} MB each")
    result = {"constants": asdict(constants), "predictions": rows, "machine": {"cores": os.cpu_count()}}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
