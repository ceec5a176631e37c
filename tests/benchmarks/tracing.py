"""What tracing costs: building segments beside other suffix arrays, and queries beside scanning the text.

``python -m tests.benchmarks.tracing [--megabytes N] [--rounds N] [--out FILE]``

Segments of real text are built in processes of their own, in turn with two other ways to a suffix array of the same
text: prefix doubling in numpy (Manber and Myers 1993) over the same words, and `pydivsufsort` over all bytes, if it is
installed (`pip install pydivsufsort`; nothing else here needs it). Times are CPU seconds of the process without its
imports, and memory is what it takes beyond a process that only reads the documents. The array of words has to be that
of prefix doubling.

Queries are stretches of documents. Each is traced, without its reference, and the count of every span is compared with
a scan of the text for it. The scan's time is that of all its spans. Exits 1 if a count differs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.reading.documents.batches import DocumentBatch
from corpus_audit.pipelines.tracing.index import SegmentOrigin, TraceIndex, domain_counts
from corpus_audit.pipelines.tracing.segment import SEGMENT_BYTES, map_segment, write_segment
from corpus_audit.pipelines.tracing.trace import TraceSettings, trace_text
from tests.benchmarks.measuring import measure, middle
from tests.corpora import real_texts

QUERIES, WORDS = 20, 200

WORKER = """
import json, sys, time
from pathlib import Path
import numpy as np
from tests.benchmarks.tracing import built, divided, doubled
way, texts, target = sys.argv[1:]
documents = json.loads(Path(texts).read_text())
ways = {"segment": built, "numpy": doubled, "pydivsufsort": divided, "nothing": lambda *_: 0}
ways[way]([""], Path(target))  # compiles
began = time.process_time()
print("size", ways[way](documents, Path(target)))
print("seconds", time.process_time() - began)
"""


def batch_of(texts: Sequence[str]) -> DocumentBatch:
    """The documents as a reader would hand them over, all of one domain."""
    domain = pa.array(["all"] * len(texts)).dictionary_encode()
    rows = np.arange(len(texts), dtype=np.int64)
    return DocumentBatch(rows, pa.array(texts, pa.large_string()), None, {"domain": domain}, None)


def built(texts: Sequence[str], target: Path) -> int:
    """Build and write a segment; returns the bytes of its file."""
    write_segment(target, [batch_of(texts)])
    return target.stat().st_size


def doubled(texts: Sequence[str], target: Path) -> int:
    """The suffix array of a segment's symbols by prefix doubling in numpy; the symbols are read from ``target``."""
    symbols = _symbols(target, texts)
    ranks, size = symbols.astype(np.int64), 1
    order = np.argsort(ranks, kind="stable")
    while True:
        behind = np.zeros(len(ranks), np.int64)
        behind[: len(ranks) - size] = ranks[size:] + 1
        keys = ranks * (int(behind.max(initial=0)) + 1) + behind
        order = np.argsort(keys, kind="stable")
        changed = np.concatenate([[0], np.cumsum(np.diff(keys[order]) != 0)])
        ranks = np.empty(len(keys), np.int64)
        ranks[order] = changed
        if changed[-1] + 1 == len(keys):
            break
        size *= 2
    np.save(target.with_suffix(".npy"), order.astype(np.int32))
    return 4 * len(order)


def _symbols(target: Path, texts: Sequence[str]) -> np.ndarray:
    if len(texts) < 2:
        return np.array([1, 2, 0], np.int32)
    return np.load(target.with_name("symbols.npy"))


def divided(texts: Sequence[str], target: Path) -> int:
    """The suffix array of all bytes of the text."""
    import pydivsufsort  # type: ignore[import-not-found]

    data = np.frombuffer(bytearray("\x00".join([*texts, ""]).encode()), np.uint8)
    suffixes = pydivsufsort.divsufsort(data)
    return 5 * len(suffixes)


def part(texts: list[str], limit: int) -> list[list[str]]:
    """Documents in parts of at most ``limit`` bytes, as segments are."""
    parts: list[list[str]] = [[]]
    size = 0
    for text in texts:
        added = len(text.encode())
        if parts[-1] and size + added > limit:
            parts.append([])
            size = 0
        parts[-1].append(text)
        size += added
    return parts


def compare_builds(texts: list[str], folder: Path, rounds: int) -> dict[str, object]:
    """CPU seconds, peak memory and size of each way to a suffix array of the first segment's text."""
    source = folder / "texts.json"
    source.write_text(json.dumps(texts), encoding="utf-8")
    size = sum(len(text.encode()) for text in texts)
    sha256 = write_segment(folder / "whole", [batch_of(texts)])
    segment = map_segment(folder / "whole", sha256)
    np.save(folder / "symbols.npy", segment.symbols)
    ways = ["nothing", "segment", "numpy"]
    try:
        import pydivsufsort  # noqa: F401

        ways.append("pydivsufsort")
    except ImportError:
        print("pydivsufsort is not installed and not measured")
    measured: dict[str, list[tuple[float, int, int]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            done = measure([sys.executable, "-c", WORKER, way, str(source), str(folder / way)])
            figures = dict(line.split() for line in done.output.splitlines())
            measured[way].append((float(figures["seconds"]), done.peak_bytes, int(figures["size"])))
    order = np.load(folder / "numpy.npy")
    begins = segment.lengths[segment.symbols[order]] > 0
    if not np.array_equal(order[begins], segment.suffixes):
        raise AssertionError("the suffix array is not that of prefix doubling")
    plain = middle([peak for _, peak, _ in measured.pop("nothing")])
    return {
        way: {
            "cpu_seconds": round(middle([seconds for seconds, _, _ in runs]), 2),
            "megabytes_per_second": round(size / 1e6 / middle([seconds for seconds, _, _ in runs]), 1),
            "memory_over_text": round((middle([peak for _, peak, _ in runs]) - plain) / size, 1),
            "bytes_per_byte": round(runs[0][2] / size, 2),
        }
        for way, runs in measured.items()
    }


def compare_queries(parts: list[list[str]], folder: Path) -> dict[str, object]:
    """Milliseconds of a trace, and of scanning the text for its spans; every count is compared."""
    segments = []
    for number, texts in enumerate(parts):
        path = folder / f"part{number}"
        segments.append(map_segment(path, write_segment(path, [batch_of(texts)])))
    totals: dict[str, int] = {"documents": 0, "words": 0}
    for segment in segments:
        for key, value in domain_counts(segment)["all"].items():
            totals[key] += value
    counts = {**totals, "words_and_marks": sum(len(segment.suffixes) for segment in segments)}
    facts = {"name": "benchmark", "counts": counts, "domains": {"all": totals}, "splits": []}
    index = TraceIndex(folder, facts, tuple(segments), tuple(SegmentOrigin(str(n), 0) for n in range(len(parts))))
    settings = TraceSettings(shortest=4, spans=10_000, stretches=0)
    generator = np.random.default_rng(1)
    texts = [text for part in parts for text in part]
    traced, scanned, spans, wrong = [], [], 0, 0
    trace_text(index, texts[0][:500] or "a", settings)  # compiles
    while len(traced) < QUERIES:
        words = texts[generator.integers(len(texts))].split(" ")
        if len(words) < 2 * WORDS:
            continue
        start = generator.integers(len(words) - WORDS)
        # Half of another document, so that spans end in the middle of sentences.
        text = " ".join([*words[start : start + WORDS // 2], *words[: WORDS // 2]])
        began = time.process_time()
        trace = trace_text(index, text, settings)
        traced.append(time.process_time() - began)
        began = time.process_time()
        counts_by_scan = [sum(whole(span.text, document) for document in texts) for span in trace.spans]
        scanned.append(time.process_time() - began)
        spans += len(trace.spans)
        wrong += sum(count != span.occurrences for count, span in zip(counts_by_scan, trace.spans, strict=True))
    return {
        "segments": len(parts),
        "milliseconds": round(1000 * middle(traced), 1),
        "scan_milliseconds": round(1000 * middle(scanned), 1),
        "spans": spans,
        "wrong_counts": wrong,
    }


WORD = re.compile(r"[^\W_]|_")


def whole(span: str, document: str) -> int:
    """How often a span of letters and ASCII marks occurs in a document as whole words."""
    count, at = 0, document.find(span)
    while at >= 0:
        before, after = document[at - 1 : at], document[at + len(span) : at + len(span) + 1]
        count += not (WORD.match(before) or WORD.match(after))
        at = document.find(span, at + 1)
    return count


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = [text for _, text in real_texts(options.megabytes * 1_000_000)]
    parts = part(texts, SEGMENT_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "build": compare_builds(parts[0], Path(folder), options.rounds),
            "query": compare_queries(parts, Path(folder)),
        }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    query = result["query"]
    return int(bool(query["wrong_counts"]))


if __name__ == "__main__":
    sys.exit(main())
