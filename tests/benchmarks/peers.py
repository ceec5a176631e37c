"""datatrove's `TokensCounter` over the same documents, in an environment of its own, against the whole audit.

    python -m tests.benchmarks.peers --tokenizer gpt2.json --out peers.json

datatrove 0.10 counts tokens and nothing else; it encodes with `tokenizers`, document by document in batches.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from tests.benchmarks import corpus as corpora
from tests.benchmarks.measuring import WORKERS, measure, middle, read_once, run_job

REQUIREMENTS = ("datatrove==0.10.0", "tokenizers==0.22.*", "orjson", "zstandard")

COUNT = """
import sys, time
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import TokensCounter

if __name__ == "__main__":
    folder, tokenizer, logs, workers = sys.argv[1:]
    steps = [JsonlReader(folder), TokensCounter(tokenizer)]
    began = time.perf_counter()
    LocalPipelineExecutor(steps, tasks=int(workers), workers=int(workers), logging_dir=logs).run()
    print("seconds", time.perf_counter() - began)
"""


def environment(cache: Path) -> Path:
    """The interpreter of a virtual environment that holds datatrove; made on first use."""
    folder = cache / "peers-env"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        (folder / "ready").touch()
    return python


def as_json_lines(folder: Path, target: Path) -> Path:
    """The corpus as one JSONL file a worker, which is what datatrove shares out."""
    if not target.exists():
        staged = target.with_name(f"{target.name}.partial")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        files = [(staged / f"part-{number}.jsonl").open("wb") for number in range(WORKERS)]
        number = 0
        for shard in sorted(folder.glob("*.parquet")):
            for batch in pq.ParquetFile(shard).iter_batches(columns=["id", "text"]):
                for row in batch.to_pylist():
                    files[number % WORKERS].write(orjson.dumps(row) + b"\n")
                    number += 1
        for file in files:
            file.close()
        staged.rename(target)
    return target


def main() -> None:
    """Measure both, interleaved, print the ratio, write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--megabytes", type=float, default=1200, help="corpus of the audit")
    parser.add_argument("--peer-megabytes", type=float, default=20, help="what datatrove counts; scaled by bytes")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()

    python = environment(arguments.cache)
    (arguments.cache / "count_tokens.py").write_text(COUNT, encoding="utf-8")
    whole = corpora.real_corpus(arguments.cache, arguments.megabytes)
    subset = corpora.real_corpus(arguments.cache, arguments.peer_megabytes)
    lines = as_json_lines(subset, arguments.cache / f"{subset.name}-jsonl")
    read_once(whole)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(arguments.runs):
        ours.append(run_job(arguments.cache / "scratch", whole, arguments.tokenizer).seconds)
        logs = arguments.cache / "peers-logs"
        shutil.rmtree(logs, ignore_errors=True)
        script = [str(python), str(arguments.cache / "count_tokens.py")]
        done = measure([*script, str(lines), str(arguments.tokenizer.resolve()), str(logs), str(WORKERS)])
        theirs.append(float(done.output.split()[-1]))
    scale = corpora.size_of(whole)[1] / corpora.size_of(subset)[1]
    ratio = middle(theirs) * scale / middle(ours)
    print(f"whole audit {middle(ours):.2f} s")
    print(f"datatrove {middle(theirs):.2f} s on 1/{scale:.0f} of the text, start-up left out")
    print(f"datatrove over the whole audit: {ratio:.1f} (at least 30)")
    result = {"audit_s": ours, "datatrove_subset_s": theirs, "text_scale": scale, "ratio": ratio, "unit": "ratio"}
    arguments.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
