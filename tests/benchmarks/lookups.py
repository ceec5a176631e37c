"""How long lookups take: of units in an open index, cold from the command line, and of the vectors nearest to one.

``python -m tests.benchmarks.lookups [--cache FOLDER] [--out FILE] [--units N] [--vectors N]``

The index is invented, but written as a scan writes it: lists of 20 windows a unit, of real text, shared between units,
with heat maps and documents. A fresh process opens it and looks units up at random, no unit twice; another is
``corpus-audit lookup``, whole. The vectors are clustered and of length 1; every query is also answered by plain numpy.
Exits 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from array import array
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.bins import HISTOGRAM_BINS
from corpus_audit.embeddings.index.files import FORMAT, LATEST, IndexFacts, write_index
from corpus_audit.embeddings.index.nearest import encode, nearest
from corpus_audit.schemas.tables.activation_tables import DOCUMENTS, WINDOWS
from tests.benchmarks.measuring import WORKERS, measure, middle
from tests.corpora import real_texts

UNITS, VECTORS, WIDTH = 100_000, 1_000_000, 384
WARM_RATIO, COLD_RATIO, NEAREST_RATIO = 2.0, 1.5, 0.6
"""Most that a lookup may take over reading the same windows' text and tokens with pyarrow alone, a lookup from the
command line over importing numpy, pyarrow and click, and an exact search over plain numpy."""
K, WINDOW, WINDOWS_A_UNIT = 20, 64, 2
POINTS = DOMAINS = 10
LOOKUPS, COLD_RUNS, QUERIES = 5000, 9, 30
CLUSTERS = 2000
HEAVY = ("torch", "apache_beam", "numba", "pandas", "scipy", "great_expectations")

TOKEN = re.compile(r"\s*(\w{1,6}|[^\w\s])")

WARM = """
import json, sys, time
import numpy as np
from corpus_audit.embeddings import open_index
began = time.perf_counter()
index = open_index(sys.argv[1])
index.lookup("mlp.0:0")
opened = time.perf_counter() - began
units = [str(unit) for unit in index.units()]
chosen = np.random.default_rng(1).permutation(len(units))
seconds, processor, bare, characters = [], [], [], 0
table = index.windows.combine_chunks()
for at in chosen[: int(sys.argv[2]) + 500]:
    began, used = time.perf_counter(), time.thread_time()
    found = index.lookup(units[at], k=20)
    processor.append(time.thread_time() - used)
    seconds.append(time.perf_counter() - began)
    began = time.thread_time()
    read = []
    for row in index.array("top.row")[at].tolist():
        read.append([table[name][row].as_py() for name in ("text", "document")])
        read.append([table[name][row].values.to_numpy() for name in ("starts", "ends", "tokens")])
    bare.append(time.thread_time() - began)
    assert len(found) == 20 and all(one.locations and one.heat is not None for one in found)
    characters += sum(len(one.text[slice(*one.peak)]) for one in found)
assert characters > 0
print(json.dumps({"open": opened, "seconds": seconds[500:], "processor": processor[500:], "bare": bare[500:]}))
"""

BARE = "import numpy, pyarrow, pyarrow.parquet, click"


def invented_index(cache: Path, units: int) -> Path:
    """The folder of an index of ``units`` units, made once."""
    output = cache / f"lookup-index-{units}-v{FORMAT.rpartition('/')[2]}"
    if (output / LATEST).exists():
        return output
    rng = np.random.default_rng(0)
    windows, documents, held = _tables(max(50, WINDOWS_A_UNIT * units))
    lengths, names = held["lengths"], held["names"]
    # Windows at even steps from a random one, so that no unit has one twice; the order of names is random in itself.
    first, step = rng.integers(len(names), size=(units, 1)), rng.integers(1, len(names) // K, (units, 1))
    selected = (first + step * np.arange(K)) % len(names)
    heat = rng.standard_normal((units, K, WINDOW), np.float32).astype(np.float16)
    heat[np.arange(WINDOW) >= lengths[selected][..., None]] = np.nan
    tokens = rng.integers(10**5, 10**6, (DOMAINS, 16))
    fired = rng.integers(0, 10**4, (DOMAINS, 16, units))
    arrays = {
        "top.value": -np.sort(-rng.exponential(size=(units, K)).astype(np.float32), axis=1),
        "top.window": names[selected],
        "top.position": (rng.random((units, K)) * lengths[selected]).astype(np.uint16),
        "top.context": rng.integers(2**63, size=(units, K)).astype(np.uint64),
        "heat": heat,
        "tokens": tokens,
        "fired": fired,
        "total": fired * 0.5,
        "documents": np.full(DOMAINS, len(documents) // DOMAINS),
        "histogram": rng.integers(0, 10**3, (units, HISTOGRAM_BINS)),
    }
    facts = IndexFacts(
        name="invented",
        snapshot="ab" * 32,
        model={"name": "none"},
        windows="cd" * 32,
        window=WINDOW,
        sizes={"k": K, "domain_k": 0, "minima": 0, "samples": 0},
        scan="ef" * 32,
        counts={
            "documents": len(documents),
            "dead_letters": 0,
            "rows": len(documents),
            "tokens": int(tokens.sum()),
            "windows": len(names),
        },
        domains=tuple(f"domain-{d}" for d in range(DOMAINS)),
    )
    indices = {f"mlp.{i}": part for i, part in enumerate(map(np.arange, [units // POINTS] * POINTS))}
    tables = {
        "windows": windows,
        "documents": documents,
    }
    write_index(output, datetime(2026, 1, 1, tzinfo=UTC), facts, arrays, indices, tables)
    return output


def _tables(size: int) -> tuple[pa.Table, pa.Table, dict[str, np.ndarray]]:
    """``size`` windows of real text, their documents, and names and lengths of the windows in their order."""
    starts, ends, offsets = array("i"), array("i"), [0]
    rows: list[tuple[bytes, bytes, int, str, int]] = []
    rows_of_windows: list[tuple[bytes, str, int, str]] = []
    for row, (name, text) in enumerate(real_texts(size * WINDOW * 8)):
        if len(rows) == size:
            break
        key = hashlib.blake2b(f"{row} {name}".encode(), digest_size=16).digest()
        rows_of_windows.append((key, f"shard-{row % 50:03d}.parquet", row // 50, name))
        spans = [actual.span(1) for actual in TOKEN.finditer(text)]
        for number, begin in enumerate(range(0, len(spans), WINDOW)):
            part = spans[begin : begin + WINDOW]
            at = part[0][0]
            starts.extend([start - at for start, _ in part])
            ends.extend([end - at for _, end in part])
            offsets.append(len(starts))
            window = hashlib.blake2b(key + number.to_bytes(4, "big"), digest_size=16).digest()
            rows.append((window, key, number, text[at : part[-1][1]], at))
            if len(rows) == size:
                break
    if len(rows) < size:
        raise RuntimeError(f"there is text for {len(rows):,} of {size:,} windows")
    ids, keys, numbers, texts, text_starts = zip(*rows, strict=True)
    names = np.array([int.from_bytes(window[:8], "big") for window in ids], np.uint64)
    order = np.argsort(names)
    begins = pa.array(offsets, pa.int32())
    columns = {
        "window": pa.array(names),
        "id": pa.array(ids, pa.binary(16)),
        "document": pa.array(keys, pa.binary(16)),
        "number": pa.array(numbers, pa.int32()),
        "text": pa.array(texts, pa.string()),
        "text_start": pa.array(text_starts, pa.int64()),
        "tokens": pa.ListArray.from_arrays(begins, pa.array(np.arange(len(starts), dtype=np.int32) % 50_257)),
        "starts": pa.ListArray.from_arrays(begins, pa.array(np.frombuffer(starts, np.int32))),
        "ends": pa.ListArray.from_arrays(begins, pa.array(np.frombuffer(ends, np.int32))),
        "counted": pa.ListArray.from_arrays(begins, pa.array(np.ones(len(starts), np.bool_))),
    }
    rows_of_windows.sort()
    documents = {
        "document": pa.array([window_row[0] for window_row in rows_of_windows], pa.binary(16)),
        "snapshot": pa.array(["ab" * 32] * len(rows_of_windows)).dictionary_encode(),
        "shard": pa.array([window_row[1] for window_row in rows_of_windows]).dictionary_encode(),
        "row": pa.array([window_row[2] for window_row in rows_of_windows], pa.int64()),
        "split": pa.array([0] * len(rows_of_windows), pa.int32()),
        "domain": pa.array(
            [f"domain-{window_row[0][0] % DOMAINS}" for window_row in rows_of_windows]
        ).dictionary_encode(),
        "id": pa.array([window_row[3] for window_row in rows_of_windows], pa.string()),
    }
    windows = pa.table(columns, schema=WINDOWS).take(pa.array(order))
    return windows, pa.table(documents, schema=DOCUMENTS), {"names": names[order], "lengths": np.diff(offsets)[order]}


def warm(index: Path) -> dict[str, Any]:
    """Seconds of lookups in a process that has the index open."""
    done = measure([sys.executable, "-c", WARM, str(index), str(LOOKUPS)])
    actual = json.loads(done.output)
    seconds = np.array(actual["seconds"])
    return {
        "lookups": len(seconds),
        "open_and_first_seconds": actual["open"],
        "p50_seconds": float(np.quantile(seconds, 0.5)),
        "p99_seconds": float(np.quantile(seconds, 0.99)),
        "p99_processor_seconds": float(np.quantile(actual["processor"], 0.99)),
        "most_seconds": float(seconds.max()),
        "ratio_to_bare": float(np.median(np.array(actual["processor"]) / np.maximum(np.array(actual["bare"]), 1e-9))),
        "peak_bytes": done.peak_bytes,
    }


def cold(index: Path) -> dict[str, Any]:
    """The command line, a process each, and which of the slow packages it imports."""
    command = ["-m", "corpus_audit.runners.cli.main", "lookup", "--index", str(index)]
    seconds, bare = [], []
    for run in range(COLD_RUNS):
        seconds.append(measure([sys.executable, *command, f"mlp.{run % POINTS}:{run}"]).seconds)
        bare.append(measure([sys.executable, "-c", BARE]).seconds)
    timed = [sys.executable, "-X", "importtime", *command, "mlp.0:0"]
    log = subprocess.run(timed, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in log.splitlines() if "import time:" in line}
    return {
        "seconds": middle(seconds),
        "all_seconds": seconds,
        "bare_seconds": middle(bare),
        "ratio_to_bare": middle(seconds) / middle(bare),
        "heavy": sorted(imported.intersection(HEAVY)),
        "imported": len(imported),
    }


def clustered(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1, float32 [n, WIDTH], about centres, a few of which have most of them; and the centres."""
    centres = rng.standard_normal((CLUSTERS, WIDTH)).astype(np.float32)
    shares = 1 / np.arange(1, CLUSTERS + 1) ** 0.7
    cluster = rng.choice(CLUSTERS, n, p=shares / shares.sum())
    vectors = np.empty((n, WIDTH), np.float32)
    for begin in range(0, n, 50_000):
        part = slice(begin, begin + 50_000)
        vectors[part] = centres[cluster[part]]
        vectors[part] += 0.7 * rng.standard_normal(vectors[part].shape, np.float32)
        vectors[part] /= np.linalg.norm(vectors[part], axis=1, keepdims=True)
    return vectors, centres


def search(n: int) -> dict[str, Any]:
    """Queries for the nearest vectors, ours and plain numpy's in turn: a third each of vectors moved a little, of
    centres, and of random directions."""
    rng = np.random.default_rng(2)
    vectors, centres = clustered(n, rng)
    began = time.perf_counter()
    codes = encode(vectors)
    encoding = time.perf_counter() - began
    moved = vectors[rng.integers(n, size=QUERIES // 3)] + 0.02 * rng.standard_normal((QUERIES // 3, WIDTH))
    queries = [*moved, *centres[:: CLUSTERS // (QUERIES // 3)], *rng.standard_normal((QUERIES // 3, WIDTH))]
    nearest(vectors, codes, queries[0], K, workers=WORKERS)
    seconds, plain, compared, recall = [], [], [], []
    for query in queries:
        began = time.perf_counter()
        actual = nearest(vectors, codes, query, K, workers=WORKERS)
        seconds.append(time.perf_counter() - began)
        compared.append(actual.compared)
        direction = (query / np.linalg.norm(query)).astype(np.float32)
        began = time.perf_counter()
        scores = vectors @ direction
        best = np.argpartition(scores, n - K)[n - K :]
        best = best[np.argsort(-scores[best])]
        plain.append(time.perf_counter() - began)
        recall.append(len(np.intersect1d(best, actual.rows)) / K)
    return {
        "vectors": n,
        "queries": len(queries),
        "encoding_seconds": encoding,
        "seconds": middle(seconds),
        "most_seconds": max(seconds),
        "plain_seconds": middle(plain),
        "ratio_to_plain": middle(seconds) / middle(plain),
        "least_recall": min(recall),
        "compared": [int(value) for value in np.quantile(compared, (0.5, 1))],
        "code_bytes_over_vector_bytes": (codes.codes.nbytes + codes.scale.nbytes + codes.error.nbytes) / vectors.nbytes,
    }


def main() -> int:
    """Run it and print what came out; with ``--out`` write it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--units", type=int, default=UNITS)
    parser.add_argument("--vectors", type=int, default=VECTORS)
    arguments = parser.parse_args()
    index = invented_index(arguments.cache, arguments.units)
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    one, two, three = warm(index), cold(index), search(arguments.vectors)
    print(f"{arguments.units:,} units, {size / 1e6:,.0f} MB on disk; {os.cpu_count()} cores")
    print(
        f"  lookup, warm: p50 {one['p50_seconds'] * 1e6:.0f} us, p99 {one['p99_seconds'] * 1e6:.0f} us (of the "
        f"processor {one['p99_processor_seconds'] * 1e6:.0f} us), most {one['most_seconds'] * 1e3:.1f} ms of "
        f"{one['lookups']:,}; opening and the first {one['open_and_first_seconds'] * 1e3:.1f} ms"
    )
    print(f"  a lookup over reading the same windows with pyarrow alone: {one['ratio_to_bare']:.2f} times")
    print(
        f"  lookup, command line: {two['seconds']:.3f} s, {two['ratio_to_bare']:.2f} times importing numpy, pyarrow "
        f"and click ({two['bare_seconds']:.3f} s); slow packages imported: {', '.join(two['heavy']) or 'none'}"
    )
    print(
        f"  nearest of {three['vectors']:,} vectors: {three['seconds'] * 1e3:.1f} ms, most "
        f"{three['most_seconds'] * 1e3:.1f} ms; {three['ratio_to_plain']:.2f} times plain numpy "
        f"({three['plain_seconds'] * 1e3:.1f} ms); least recall {three['least_recall']:.3f} over {three['queries']} "
        f"queries; compared in full {three['compared'][0]:,}, most {three['compared'][1]:,}; encoding "
        f"{three['encoding_seconds']:.1f} s"
    )
    limits = (
        ("lookup over pyarrow alone", one["ratio_to_bare"], WARM_RATIO),
        ("lookup by command line over its imports", two["ratio_to_bare"], COLD_RATIO),
        ("nearest vectors over plain numpy", three["ratio_to_plain"], NEAREST_RATIO),
    )
    missed = [f"{name}: {ratio:.2f} times, limit {limit:g}" for name, ratio, limit in limits if ratio >= limit]
    missed += [f"a lookup imports {', '.join(two['heavy'])}"] if two["heavy"] or not two["imported"] else []
    missed += [f"recall {three['least_recall']:.3f}"] if three["least_recall"] < 1 else []
    if arguments.out is not None:
        result = {"units": arguments.units, "bytes": size, "warm": one, "cold": two, "nearest": three}
        text = json.dumps({**result, "missed": missed}, indent=1)
        arguments.out.write_text(text + "\n", encoding="utf-8")
    for reason in missed:
        print(f"MISSED: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
