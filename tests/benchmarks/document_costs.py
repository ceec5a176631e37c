"""What following documents by identity adds to the profile: processor time by part, and its share of the slope.

    python -m tests.benchmarks.document_costs --tokenizer gpt2.json --out documents.json

Counts and merges two corpora in one thread of this process, in turn. Each part is timed where it is called, so that it
and all the rest share whatever else the machine does: two runs, with the parts and without, differ by more than that.
The parts: sketches (what they take beyond the first MinHash alone, which a kernel here computes from the same tokens),
the list of identities, the sample of whole documents. Exits 1 if they add more than 5 % to the slope.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

from corpus_audit.pipelines.counting import blocks
from corpus_audit.pipelines.counting import job as jobs
from corpus_audit.pipelines.counting.job import Job, SplitTask
from corpus_audit.pipelines.counting.store import ProfileStore
from corpus_audit.pipelines.counting.tasks import MergeTask, merge_partials, merge_tree
from corpus_audit.pipelines.kernels.compiler.jit import kernel
from corpus_audit.pipelines.kernels.text.ngrams import SHINGLE, padded_to_shingle, shingle_hash
from corpus_audit.pipelines.kernels.text.sketches import sketches
from corpus_audit.pipelines.measures.base import Accumulator, Block, Measure
from corpus_audit.pipelines.measures.document_sample import DocumentSample
from corpus_audit.pipelines.measures.identities import Identities
from corpus_audit.pipelines.reading.snapshot.listing import list_shards
from corpus_audit.pipelines.tokens.file import load_tokenizer
from corpus_audit.schemas.spec.audit_file import load_audit
from tests.benchmarks import corpus as corpora
from tests.benchmarks.measuring import middle, read_once, write_spec

LIMIT = 1.05
SKETCHES = "sketches"
MERGING = ", merging"
PARTS = (SKETCHES, *(name + stage for name in (Identities.name, DocumentSample.name) for stage in ("", MERGING)))
REST = "rest"

Seconds = Counter[str]


@kernel
def _first_minhash(ids, offsets, padded, firsts):
    for d in range(len(offsets) - 1):
        t = padded_to_shingle(ids[offsets[d] : offsets[d + 1]], padded)
        n = len(t) - SHINGLE + 1
        t0, t1, t2, t3, t4 = t[:n], t[1 : n + 1], t[2 : n + 2], t[3 : n + 3], t[4 : n + 4]
        lowest = np.uint32(0xFFFFFFFF)
        for j in range(n):
            lowest = min(lowest, shingle_hash(t0[j], t1[j], t2[j], t3[j], t4[j]))
        firsts[d] = lowest


class Clock:
    """Processor seconds by part."""

    def __init__(self) -> None:
        self.seconds: Seconds = Counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        began = time.process_time()
        yield
        self.seconds[name] += time.process_time() - began

    def sketches(self, ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `kernels.text.sketches`; the first MinHash alone is timed too."""
        firsts = np.empty(len(offsets) - 1, np.uint32)
        with self.part("first MinHash"):
            _first_minhash(ids, offsets, np.empty(SHINGLE, ids.dtype), firsts)
        with self.part(SKETCHES):
            result = sketches(ids, offsets)
        assert (result[0] == firsts).all()
        return result

    def accumulator(self, measure: Measure) -> Accumulator:
        """An accumulator whose work counts for its measure."""
        clock = self

        class Timed(Accumulator):
            def add(self, block: Block) -> None:
                with clock.part(measure.name):
                    super().add(block)

            def write(self, path: Path) -> None:
                with clock.part(measure.name):
                    super().write(path)

        return Timed(measure)

    def merge(self, tasks: list[MergeTask], level: int) -> None:
        """Merge, by measure."""
        for task in tasks:
            with self.part(task.measure.name + MERGING):
                merge_partials(task)


def count(folder: Path, tokenizer: Path, scratch: Path) -> Seconds:
    """Processor seconds of counting and merging a corpus: of each part, and of all the rest."""
    shutil.rmtree(scratch, ignore_errors=True)
    audit = load_audit(write_spec(scratch, folder, tokenizer))
    # A name of its own for each run: a process remembers the keys that it has counted for a run by that.
    work = scratch / f"{time.monotonic_ns()}"
    work.mkdir()
    file = load_tokenizer(str(tokenizer.resolve()), scratch, work / "tokenizers", "auto")
    job = Job(audit.spec, file, ProfileStore(work / "store"), work).with_tokenizer_path()
    shards = [job.plan(shard, None, lambda size: None) for shard in list_shards(audit.spec.snapshot, scratch)]
    clock = Clock()
    with (
        patch.object(jobs, "Accumulator", clock.accumulator),
        patch.object(blocks, "sketches", clock.sketches),
        clock.part("all"),
    ):
        for planned in shards:
            plan = planned.plan
            for split, measures in planned.pending:
                result = job.count(SplitTask(0, plan.shard, plan.sha256, split, measures))
                assert result.error is None, result
            job.compact(planned)
        sources = {
            measure: [job.path_of(measure.name, planned.plan.shard, planned.plan.sha256) for planned in shards]
            for measure in job.measures
            if measure.merges
        }
        merge_tree(sources, work, clock.merge)
    seconds = clock.seconds
    alone = seconds["first MinHash"]
    parts = {name: seconds[name] - (alone if name == SKETCHES else 0.0) for name in PARTS}
    store = sum(path.stat().st_size for path in (work / "store").rglob("*") if path.is_file())
    shutil.rmtree(scratch)
    return Counter(parts | {REST: seconds["all"] - alone - sum(parts.values()), "store": store})


def main() -> int:
    """Parse the command line, measure, print, write; 1 over the limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json with GPT-2's vocabulary")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder of the corpora")
    parser.add_argument("--sizes", type=float, nargs=2, default=(300, 1200), metavar="MB", help="text of the corpora")
    parser.add_argument("--domains", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"  # before the tokenizers begin to work

    sizes = sorted(arguments.sizes)
    folders = {size: corpora.real_corpus(arguments.cache, size, arguments.domains) for size in sizes}
    text = {size: corpora.size_of(folder)[1] for size, folder in folders.items()}
    for folder in folders.values():
        read_once(folder)
    scratch = arguments.cache / "scratch" / "document-costs"
    count(folders[sizes[0]], arguments.tokenizer, scratch)  # kernels are compiled
    rounds: dict[float, list[Seconds]] = {size: [] for size in sizes}
    for _ in range(arguments.runs):
        for size in sizes:
            rounds[size].append(count(folders[size], arguments.tokenizer, scratch))
    names = (*PARTS, REST)
    small, large = ({name: middle([r[name] for r in rounds[size]]) for name in (*names, "store")} for size in sizes)
    more = text[sizes[1]] - text[sizes[0]]
    print(f"{'CPU ms a MB of text':24s} {f'{sizes[0]:g} MB':>10s} {'slope':>10s} {'of the rest':>12s}")
    slopes = {name: (large[name] - small[name]) / more for name in names}
    for name in names:
        row = (1e9 * small[name] / text[sizes[0]], 1e9 * slopes[name], slopes[name] / slopes[REST])
        print(f"{name:24s} {row[0]:10.3f} {row[1]:10.3f} {row[2]:12.2%}")
    ratios = {
        "first corpus": sum(small[name] for name in names) / small[REST],
        "slope": sum(slopes.values()) / slopes[REST],
        "store": (large["store"] - small["store"]) / more,
    }
    print(f"with the parts over without, {sizes[0]:g} MB: {ratios['first corpus']:.3f}")
    print(f"with the parts over without, slope: {ratios['slope']:.3f}, at most {LIMIT}")
    print(f"bytes of the store over bytes of text: {small['store'] / text[sizes[0]]:.3f}, slope {ratios['store']:.3f}")
    arguments.out.write_text(json.dumps({"rounds": {str(s): r for s, r in rounds.items()}, "ratios": ratios}, indent=1))
    return int(ratios["slope"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
