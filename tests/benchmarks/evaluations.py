"""Reading and comparing evaluation items over bare orjson parsing of the same lines.

``python -m tests.benchmarks.evaluations [--items N] [--bytes N] [--out FILE]``

Writes two evaluations as lm-evaluation-harness does, a line of 3 kB an item, 60 tasks, and measures in a process of its
own each: parsing all lines of one with ``orjson.loads`` and dropping them; ``read_evaluation`` of one; and the whole
``investigate compare`` of both. Prints wall and CPU seconds, the ratios to parsing, and peak memory. Exits 1 if reading
one evaluation of a million items would take more than 30 s, or the comparison more than 1.5 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.measuring import Measured, measure

TASKS = 60
SECONDS, BYTES = 30.0, 1.5e9

PARSE = """
import sys
from pathlib import Path
import orjson
for path in sorted(Path(sys.argv[1]).rglob("*.jsonl")):
    with path.open("rb") as lines:
        for line in lines:
            orjson.loads(line)
"""

READ = """
import sys
from pathlib import Path
from corpus_audit.pipelines.evaluations.reading import read_evaluation
print(read_evaluation(Path(sys.argv[1])).items.num_rows)
"""


def write_evaluation(folder: Path, items: int, size: int, seed: int) -> None:
    """A folder of samples: ``items`` lines of about ``size`` bytes in `TASKS` tasks."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    words = json.dumps(" ".join(f"word{number}" for number in range(size // 8)))[1:-1]
    for task in range(TASKS):
        of_task = items // TASKS
        scores = rng.random(of_task) < 0.6
        with (folder / f"samples_task_{task:02}.jsonl").open("w") as file:
            for item in range(of_task):
                digest = hashlib.sha256(f"{task} {item}".encode()).hexdigest()
                file.write(
                    f'{{"doc_id": {item}, "doc": {{"q": "{words[: size - 600]}", "n": {item}}}, "target": "1", '
                    f'"arguments": {{"gen_args_0": {{"arg_0": "question {item}"}}}}, "resps": [["x"]], '
                    f'"filtered_resps": ["x"], "filter": "none", "metrics": ["acc"], "doc_hash": "{digest}", '
                    f'"prompt_hash": "{digest}", "target_hash": "{digest}", "acc": {float(scores[item])}}}\n'
                )


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=3_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, side in enumerate("ab"):
            write_evaluation(folder / side, options.items, options.bytes, seed)
        bytes_an_item = sum(path.stat().st_size for path in (folder / "a").iterdir()) / options.items
        python = [sys.executable, "-c"]
        compare = [sys.executable, "-m", "corpus_audit.runners.cli.main", "investigate", "compare"]
        measured: dict[str, Measured] = {
            "orjson alone": measure([*python, PARSE, str(folder / "a")]),
            "read_evaluation": measure([*python, READ, str(folder / "a")]),
            "investigate compare": measure([*compare, str(folder / "a"), str(folder / "b")]),
        }
    bare = measured["orjson alone"]
    print(f"{options.items:,} items an evaluation, {bytes_an_item:,.0f} bytes each, {TASKS} tasks")
    for label, one in measured.items():
        print(
            f"{label:20}{one.seconds:8.1f} s wall {one.cpu_seconds:8.1f} s CPU "
            f"{one.cpu_seconds / bare.cpu_seconds:6.2f} x  {one.peak_bytes / 1e9:6.2f} GB"
        )
    million = measured["read_evaluation"].cpu_seconds * 1e6 / options.items
    peak = measured["investigate compare"].peak_bytes
    print(f"a million items: {million:.1f} CPU seconds (limit {SECONDS:.0f}); peak {peak / 1e9:.2f} GB (limit 1.5)")
    if options.out is not None:
        rows = {label: [one.seconds, one.cpu_seconds, one.peak_bytes] for label, one in measured.items()}
        options.out.write_text(json.dumps({"items": options.items, "bytes": bytes_an_item, "measured": rows}))
    return int(million > SECONDS or peak > BYTES)


if __name__ == "__main__":
    raise SystemExit(main())
