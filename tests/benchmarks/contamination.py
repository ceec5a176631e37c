"""How fast a corpus is scanned for benchmark items, with every rule on, and that planted items are found.

``python -m tests.benchmarks.contamination CACHE TOKENIZER [--megabytes N] [--items N] [--json FILE]``

The items are passages of 100 to 200 words of real text (the standard library and site-packages), the corpus is the text
of other packages, with some items planted in it; both sides share licences and vendored code, so there is more to match
than in most corpora. Two threads work as a run's do: tokenise, hash, scan. The scan's own rate is printed beside it,
and the rate on text that shares nothing (the words of each document shuffled).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.canaries import plant
from corpus_audit.pipelines.contamination.evaluate import contamination_tables
from corpus_audit.pipelines.contamination.hits import Hits
from corpus_audit.pipelines.contamination.index import build_index, load_index
from corpus_audit.pipelines.contamination.items import Benchmark, Item
from corpus_audit.pipelines.kernels.hashing import hash_documents
from corpus_audit.pipelines.measures.contamination import Contamination, evidence
from corpus_audit.pipelines.partials import Partial
from corpus_audit.pipelines.tokenization import Tokenization, load_tokenizer, text_buffers
from corpus_audit.schemas.benchmarks import BenchmarkSpec, ContaminationSpec
from tests.corpora import source_files
from tests.pipelines.contamination.making import Pages

THREADS = 2
BATCH_BYTES = 4_000_000
PLANTED = 200
ITEM_PACKAGES = 3
"""Of every ten packages, those that the items are taken from."""


def texts_of(for_items: bool) -> Iterator[str]:
    """The text files of the packages that serve as source of items, or of the others."""
    for name, path in source_files():
        package = "/".join(name.split("/")[:2])
        drawn = hashlib.blake2b(package.encode(), digest_size=1).digest()[0] % 10 < ITEM_PACKAGES
        if drawn == for_items:
            try:
                yield path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def make_items(count: int) -> Benchmark:
    """Passages of 100 to 200 words, the last 1 to 30 of them the answer; at most 20 of one file."""
    rng = random.Random(3)
    items: list[Item] = []
    for text in texts_of(True):
        words = text.split()
        at = 0
        for _ in range(20):
            size, answer = rng.randint(100, 200), rng.randint(1, 30)
            if at + size > len(words) or len(items) == count:
                break
            passage = words[at : at + size]
            items.append(Item(str(len(items)), " ".join(passage[:-answer]), " ".join(passage[-answer:])))
            at += size
    return Benchmark("passages", tuple(items), len(items))


def make_batches(megabytes: float, planted: Sequence[Item]) -> list[pa.LargeStringArray]:
    """The corpus, batch by batch as a reader hands it over; every planted item is a page of its own."""
    waiting = [f"From an archive.\n\n{item.text}\n\nEnd of the page." for item in planted]
    batches: list[pa.LargeStringArray] = []
    held: list[str] = []
    size, total, every = 0, 0.0, megabytes * 1e6 / max(1, len(planted))
    for text in texts_of(False):
        held.append(text)
        size += len(text.encode())
        if waiting and total + size > every * (len(planted) - len(waiting)):
            held.append(waiting.pop())
        if size >= BATCH_BYTES:
            batches.append(pa.array(held, pa.large_string()))
            total, size, held = total + size, 0, []
        if total >= megabytes * 1e6:
            break
    return [*batches, pa.array([*held, *waiting], pa.large_string())]


def shuffled(batch: pa.LargeStringArray) -> pa.LargeStringArray:
    """The documents with their words in another order."""
    rng = random.Random(5)
    texts = []
    for text in batch.to_pylist():
        words = text.split(" ")
        rng.shuffle(words)
        texts.append(" ".join(words))
    return pa.array(texts, pa.large_string())


def rate(batches: Sequence[pa.LargeStringArray], work: Callable[[int], object], repeats: int = 3) -> tuple[float, list]:
    """(MB/s of text on `THREADS` threads, the best of some repeats; what the batches gave)."""
    size = sum(len(text_buffers(batch)[1]) for batch in batches) / 1e6
    best, results = 0.0, []
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(min(THREADS, len(batches)))))  # compile, and load what a thread keeps
        for _ in range(repeats):
            began = time.perf_counter()
            results = list(pool.map(work, range(len(batches))))
            best = max(best, size / (time.perf_counter() - began))
    return best, results


def joined(measure: Contamination, batches: Sequence[pa.LargeStringArray], hits: Sequence[Hits]) -> Partial:
    """The merged partial of all batches."""
    parts = []
    for batch, found in zip(batches, hits, strict=True):
        high, low = hash_documents(*reversed(text_buffers(batch)))
        ids = pa.array([b""] * len(batch), pa.large_binary())
        pages = Pages(("corpus",), np.zeros(len(batch), np.int64), high, low, ids, found)
        parts.append(evidence(measure.scanner.index, found, pages))
    return measure.merge(parts)


def main() -> None:
    """Run it and print what came out; with ``--json`` write it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cache", type=Path)
    parser.add_argument("tokenizer")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--items", type=int, default=28_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.cache / "contamination"
    tokenization = Tokenization(load_tokenizer(arguments.tokenizer, Path.cwd(), arguments.cache / "tokenizers"))
    benchmark = make_items(arguments.items)
    planted = random.Random(7).sample(benchmark.items, min(PLANTED, len(benchmark.items)))
    batches = make_batches(arguments.megabytes, planted)
    build_index([Benchmark("small", benchmark.items[:10], 10)], (), tokenization, folder)  # compiles
    shutil.rmtree(folder)
    began = time.perf_counter()
    path = build_index([benchmark], (), tokenization, folder)
    build_seconds = time.perf_counter() - began
    began = time.perf_counter()
    load_index(path)
    load_seconds = time.perf_counter() - began
    measure = Contamination(path)
    scan = measure.scanner.scan

    def whole(number: int) -> Hits:
        batch = batches[number]
        high, low = hash_documents(*reversed(text_buffers(batch)))
        return scan(batch, tokenization.encode(batch), high, low)

    encoded = [tokenization.encode(batch) for batch in batches]
    hashes = [hash_documents(*reversed(text_buffers(batch))) for batch in batches]

    def tokenised(number: int) -> object:
        return hash_documents(*reversed(text_buffers(batches[number]))), tokenization.encode(batches[number])

    without, _ = rate(batches, tokenised)
    with_scan, hits = rate(batches, whole)
    scan_only, _ = rate(batches, lambda i: scan(batches[i], encoded[i], *hashes[i]))
    others = [shuffled(batch) for batch in batches]
    others_encoded = [tokenization.encode(batch) for batch in others]
    unrelated, _ = rate(others, lambda i: scan(others[i], others_encoded[i], *hashes[i]))
    began = time.perf_counter()
    partial = joined(measure, batches, hits)
    evidence_seconds = time.perf_counter() - began
    spec = ContaminationSpec(benchmarks=(BenchmarkSpec(name="passages", paths=("-",)),), llama3_threshold=0.9)
    tables = contamination_tables(spec, measure.scanner.index, partial, plant(measure, [benchmark], tokenization, 200))
    names = {item.id for item in planted}
    outcomes = [row for row in tables["contamination_items"].to_pylist() if row["item"] in names]
    found: dict[str, float] = {}
    for rule in spec.rules:
        judged = [row["outcome"] for row in outcomes if row["rule"] == rule and row["outcome"] != "untestable"]
        found[rule] = sum(outcome in ("contaminated", "boilerplate") for outcome in judged) / max(1, len(judged))
    result = {
        "items": len(benchmark.items),
        "words": int(measure.scanner.index.texts.starts[-1]),
        "tokens": int(measure.scanner.index.texts.token_starts[-1]),
        "corpus_megabytes": sum(len(text_buffers(batch)[1]) for batch in batches) / 1e6,
        "index_build_seconds": build_seconds,
        "index_load_seconds": load_seconds,
        "index_megabytes": path.stat().st_size / 1e6,
        "threads": THREADS,
        "tokenise_and_hash_mb_s": without,
        "tokenise_hash_and_scan_mb_s": with_scan,
        "scan_alone_mb_s": scan_only,
        "scan_alone_unrelated_text_mb_s": unrelated,
        "evidence_seconds": evidence_seconds,
        "planted_found": found,
        "canary_recall": {row["rule"]: row["recall"] for row in tables["contamination_check"].to_pylist()},
        "contaminated": {row["rule"]: row["contaminated"] for row in tables["contamination"].to_pylist()},
    }
    print(json.dumps(result, indent=1))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
