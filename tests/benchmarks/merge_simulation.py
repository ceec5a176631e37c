"""The tree of merges at sizes that no corpus here has: time and peak memory for 1,000 to 100,000 partial profiles.

    python -m tests.benchmarks.merge_simulation --out merge.json

Partials are of two kinds. *Distinct texts* (measure ``duplicates``) grow with every document: each partial holds hashes
of its own, so that the merged file is as large as all of them. *Token counters* (measure ``tokens``) fill up: 256
partials of a fixed vocabulary are repeated, and the merged file is hardly larger than one of them. Every size is merged
by the embedded engine, level by level as in a run, in a fresh process whose peak memory the kernel reports. Then fewer
partials as large as those of a split of 100 MB, which tell what a byte costs from what a partial costs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.measures.duplicates import HASHES, Duplicates
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.pipelines.storage import count_tables, merging
from corpus_audit.pipelines.storage.count_tables import CountTable
from corpus_audit.pipelines.storage.partials import Partial, PartialReader, write_partial
from tests.benchmarks.measuring import WORKERS, measure

SIZES = (1_000, 10_000, 100_000)
LARGE_SIZES = (100, 1_000)
DOMAINS = tuple(f"domain-{number:02d}" for number in range(10))


@dataclass(frozen=True)
class Shape:
    """How large a partial is: distinct texts, token cells, of a vocabulary times the domains, and distinct partials."""

    texts: int
    words: int
    vocabulary: int
    pool: int


SHAPES = {"small": Shape(200, 2_000, 1_000, 256), "split": Shape(25_000, 150_000, 50_257, 32)}


def duplicates_partial(number: int, shape: Shape) -> Partial:
    """Texts that no other partial has."""
    rng = np.random.default_rng(number)
    rows = CountTable(
        HASHES,
        {
            "high": rng.integers(0, 2**64, shape.texts, np.uint64),
            "low": np.full(shape.texts, number, np.uint64),
            "domain": rng.integers(0, len(DOMAINS), shape.texts),
            "documents": np.ones(shape.texts, np.int64),
            "tokens": rng.integers(1, 5_000, shape.texts),
        },
    )
    return Partial(DOMAINS, {"hashes": merging.merge([rows])})


def tokens_partial(number: int, shape: Shape) -> Partial:
    """Counts of some tokens in some hash groups of some domains."""
    rng = np.random.default_rng(number)
    tables = {}
    for name, spec in Tokens().tables().items():
        cells = np.unique(
            rng.integers(0, len(DOMAINS), shape.words).astype(np.uint64) << np.uint64(32)
            | rng.integers(0, shape.vocabulary, shape.words).astype(np.uint64)
        )
        columns, counts = {}, None
        for column, kind in spec.columns:
            if kind is count_tables.ColumnKind.CELL:
                columns[column] = cells
            elif kind is count_tables.ColumnKind.GROUPS:
                columns[column] = np.uint64(1) << rng.integers(0, 64, len(cells)).astype(np.uint64)
                counts = rng.integers(1, 100, len(cells))
            elif kind in (count_tables.ColumnKind.KEY, count_tables.ColumnKind.TIE):
                columns[column] = np.sort(rng.integers(0, 2**63, len(cells)).astype(np.uint64))
            elif kind is count_tables.ColumnKind.BYTES:
                columns[column] = None
            else:
                columns[column] = rng.integers(1, 100, len(cells))
        if None not in [value if value is None else 0 for value in columns.values()]:
            tables[name] = merging.merge([CountTable(spec, columns, counts)])
        else:
            tables[name] = count_tables.empty(spec)
    return Partial(DOMAINS, tables, {"vocabulary": shape.vocabulary})


def made(folder: Path, name: str, kind: str, partials: int) -> list[Path]:
    """Paths of so many partials, of a thousand a folder; those of the pool are repeated."""
    shape = SHAPES[kind]
    distinct = partials if name == "duplicates" else shape.pool
    build = duplicates_partial if name == "duplicates" else tokens_partial
    paths = []
    for number in range(distinct):
        path = folder / f"{name}-{kind}" / f"{number // 1000:04d}" / f"{number:08d}"
        if not path.exists():
            write_partial(path, build(number, shape))
        paths.append(path)
    return [paths[number % distinct] for number in range(partials)]


def merge_here(folder: Path, name: str, shape: str, partials: int) -> dict[str, float]:
    """Merge in this process; what it came to."""
    from corpus_audit.runners.engines.launch.engines import EmbeddedEngine

    kind: Measure = Duplicates() if name == "duplicates" else Tokens()
    paths = made(folder, name, shape, partials)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        began = time.perf_counter()
        actual = EmbeddedEngine(WORKERS, Path(scratch)).merge({kind: paths})
        seconds = time.perf_counter() - began
        merged = sum(path.stat().st_size for path in set(actual.values()))
        rows = sum(1 for _ in _rows(kind, set(actual.items())))
        expected = partials * SHAPES[shape].texts
        if name == "duplicates" and rows != expected:
            raise AssertionError(f"{rows:,} texts instead of {expected:,}")
        levels = {int(path.name.split("-")[-2]) for path in Path(scratch).iterdir() if path.name.count("-") >= 3}
    return {
        "seconds": seconds,
        "merged_bytes": merged,
        "partial_bytes": sum(path.stat().st_size for path in paths),
        "levels": len(levels),
    }


def _rows(kind: Measure, actual: set[tuple[tuple[str, str], Path]]) -> Iterator[int]:
    for (_, table), path in actual:
        for chunk in PartialReader(path).chunks(table, kind.tables()[table]):
            yield from range(len(chunk))


def main() -> int:
    """Parse the command line, merge every size in a process of its own, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of partials")
    parser.add_argument("--here", nargs=3, metavar=("NAME", "SHAPE", "PARTIALS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.cache / "merge"
    if arguments.here:
        print(json.dumps(merge_here(folder, *arguments.here[:2], int(arguments.here[2]))))
        return 0
    results = []
    print("measure      shape   partials       MB merged MB levels  seconds  peak MB")
    for name in ("duplicates", "tokens"):
        for shape, size in [*(("small", size) for size in arguments.sizes), *(("split", size) for size in LARGE_SIZES)]:
            made(folder, name, shape, size)  # making them is no part of the figure
            command = [sys.executable, "-m", "tests.benchmarks.merge_simulation", "--cache", str(arguments.cache)]
            done = measure([*command, "--here", name, shape, str(size)])
            actual = json.loads(done.output)
            row = {"measure": name, "shape": shape, "partials": size, **actual}
            row |= {"peak_bytes": done.peak_bytes, "cpu": done.cpu_seconds}
            results.append(row)
            print(
                f"{name:12} {shape:6} {size:9,} {actual['partial_bytes'] / 1e6:8.1f} "
                f"{actual['merged_bytes'] / 1e6:9.1f} "
                f"{actual['levels']:6} {actual['seconds']:8.1f} {done.peak_bytes / 1e6:8.0f}",
                flush=True,
            )
    if arguments.out is not None:
        result = {"results": results, "workers": WORKERS, "machine": {"cores": os.cpu_count()}}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
