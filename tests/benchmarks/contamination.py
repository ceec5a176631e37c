"""How fast a corpus is audited with benchmarks to look for, every rule on, and that planted items are found.

``python -m tests.benchmarks.contamination --tokenizer FILE [--cache FOLDER] [--out FILE] [--sizes SMALL LARGE]
[--items N] [--rounds N] [--cases unlike alike]``

Items are passages of 100 to 200 words of some packages of this Python installation, the corpus is the text of the
others, with 200 items planted. There are two cases. In ``unlike`` the words of the items are shuffled, so that nothing
but what is planted is found: a corpus and benchmarks that have little to do with each other, as is usual. In ``alike``
they stand as they are: both sides share licences and vendored code, and a quarter of the corpus's 10-grams are those of
an item. What is measured is the whole job in fresh processes, with benchmarks and without, at two sizes: the slope is
what a further megabyte takes (reading, tokens, counters, scan), the plain figure holds start-up, index and tables too.
Beside it stands the 13-gram rule in plain Python, a set of tuples. CPU seconds are those of the process; on a machine
that does other work too they say more than wall time. The scan's own rate is what it adds to a job without benchmarks:
text that is read and has its tokens. Exits 1 if a limit is missed; that of the rate is for the scan of ``unlike``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import string
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, read_benchmark
from corpus_audit.pipelines.contamination.index import build_index
from corpus_audit.pipelines.contamination.index_file import load_index
from corpus_audit.pipelines.tokens.tokenization import Tokenization, load_tokenizer
from corpus_audit.schemas.spec.benchmarks import BenchmarkSpec
from tests.benchmarks.corpus import Row, build, size_of
from tests.benchmarks.measuring import WORKERS, Measured, measure, middle, read_once, write_spec
from tests.corpora import source_files

ITEMS, PLANTED, ITEMS_OF_A_FILE = 28_000, 200, 20
ITEM_PACKAGES = 3
"""Of every ten packages, those that the items are taken from."""

MEGABYTES_A_SECOND, INDEX_SECONDS = 40.0, 15.0
PLAIN_BYTES = 4_000_000
"""How much the plain rule is given."""


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


def write_items(path: Path, count: int, shuffled: bool) -> None:
    """Passages of 100 to 200 words, the last 1 to 30 of them the answer; their words in any order if ``shuffled``.

    Raises:
        SystemExit: the installation has too little text.
    """
    rng = random.Random(3)
    rows: list[str] = []
    for text in texts_of(True):
        words = text.split()
        at = 0
        for _ in range(ITEMS_OF_A_FILE):
            size, answer = rng.randint(100, 200), rng.randint(1, 30)
            if at + size > len(words) or len(rows) == count:
                break
            passage = words[at : at + size]
            if shuffled:
                rng.shuffle(passage)
            item = {"id": str(len(rows)), "prompt": " ".join(passage[:-answer]), "answer": " ".join(passage[-answer:])}
            rows.append(json.dumps(item) + "\n")
            at += size
    if len(rows) < count:
        raise SystemExit(f"the text of this installation gives only {len(rows)} items: --items {len(rows)} or fewer")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(rows), encoding="utf-8")


def planted_in(benchmark: Benchmark) -> list[int]:
    """The numbers of the items that the corpora hold."""
    return random.Random(7).sample(range(len(benchmark.items)), min(PLANTED, len(benchmark.items)))


def rows_of(megabytes: float, benchmark: Benchmark) -> Iterator[Row]:
    """Pages with an item each, among files that are repeated, each time without another tenth of their lines."""
    pages = [f"From an archive.\n\n{benchmark.items[i].text}\n\nEnd of the page." for i in planted_in(benchmark)]
    for number, page in enumerate(pages):
        yield f"page-{number}", page, "archive"
    done = round_ = number = 0
    while True:
        for text in texts_of(False):
            lines = text.splitlines(keepends=True)
            kept = text if not round_ else "".join(line for i, line in enumerate(lines) if i % 10 != round_ % 10)
            yield f"{round_}-{number}", kept, f"domain-{number % 10}"
            done, number = done + len(kept.encode()), number + 1
            if done >= megabytes * 1e6:
                return
        round_ += 1


def words_of(text: str, gone: dict[int, None]) -> list[str]:
    """GPT-3's words: lower-case, without punctuation."""
    return text.lower().translate(gone).split()


def plain_rule(benchmark: Benchmark, corpus: Path) -> float:
    """MB/s of `WORKERS` cores on which the 13-gram rule runs in plain Python, if it lost nothing by sharing them."""
    gone = dict.fromkeys(map(ord, string.punctuation))
    wanted: set[tuple[str, ...]] = set()
    for item in benchmark.items:
        words = words_of(item.text, gone)
        wanted.update(zip(*(words[i:] for i in range(13)), strict=False))
    texts, size = [], 0
    for text in pq.read_table(sorted(corpus.glob("*.parquet"))[0], columns=["text"])["text"].to_pylist():
        texts.append(text)
        size += len(text.encode())
        if size > PLAIN_BYTES:
            break
    began, hits = time.process_time(), 0
    for text in texts:
        words = words_of(text, gone)
        hits += sum(gram in wanted for gram in zip(*(words[i:] for i in range(13)), strict=False))
    seconds = time.process_time() - began
    if not hits:
        raise RuntimeError("the plain rule found nothing, although items are planted")
    return WORKERS * size / 1e6 / seconds


def job(spec: Path) -> tuple[Measured, Path]:
    """One `corpus-audit run`, and the run directory that it left."""
    command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet", "--json"]
    done = measure([*command, "--workers", str(WORKERS)], accept=(0, 4))
    return done, Path(json.loads(done.output)["run"])


def recalls(run: Path, benchmark: Benchmark) -> tuple[dict[str, float], dict[str, float]]:
    """Of every rule, of canaries and of planted items: share found of those testable; boilerplate counts as found."""
    check = pq.read_table(run / "tables" / "contamination_check.parquet").to_pylist()
    items = pq.read_table(run / "tables" / "contamination_items.parquet").to_pylist()
    names = {benchmark.items[i].id for i in planted_in(benchmark)}
    actual: dict[str, float] = {}
    for rule in {row["rule"] for row in items} - {"llama3"}:  # which judges nothing without a threshold
        outcomes = [row["outcome"] for row in items if row["rule"] == rule and row["item"] in names]
        judged = [outcome in ("contaminated", "boilerplate") for outcome in outcomes if outcome != "untestable"]
        actual[rule] = sum(judged) / len(judged) if judged else 0.0
    return {row["rule"]: row["recall"] or 0.0 for row in check}, actual


def index_seconds(benchmark: Benchmark, tokenization: Tokenization, folder: Path) -> tuple[float, float]:
    """Seconds that the index takes to be built, and to be loaded again; kernels are compiled before."""
    shutil.rmtree(folder, ignore_errors=True)
    build_index([Benchmark("small", benchmark.items[:10], 10)], tokenization, folder)
    began = time.perf_counter()
    path = build_index([benchmark], tokenization, folder)
    built = time.perf_counter()
    load_index(path)
    return built - began, time.perf_counter() - built


def rounds(
    arguments: argparse.Namespace, exam: Path, corpora: Sequence[Path]
) -> tuple[dict[str, list[Measured]], Path]:
    """What every job took, by ``scan small`` and so on, and the last large run that looked for items."""
    jobs: dict[str, list[Measured]] = {}
    run = exam
    for number in range(arguments.rounds + 1):
        if number == 1:
            jobs = {}  # the first round compiled kernels
        for size, corpus in zip(("small", "large"), corpora, strict=True):
            for name in ("plain", "scan"):
                folder = arguments.cache / "contamination" / f"{name}-{size}"
                shutil.rmtree(folder, ignore_errors=True)
                wanted = [{"name": "exam", "paths": [str(exam.resolve())], "answer": "answer", "id": "id"}]
                extra = {"benchmarks": wanted} if name == "scan" else {}
                spec = write_spec(folder, corpus, arguments.tokenizer, **extra)
                done, left = job(spec)
                jobs.setdefault(f"{name} {size}", []).append(done)
                if name == "scan":
                    run = left
                    jobs.setdefault(f"again {size}", []).append(job(spec)[0])
    return jobs, run


def figures(jobs: dict[str, list[Measured]], megabytes: Sequence[float]) -> dict[str, float]:
    """Rates and CPU time a byte, by slope and plain."""
    seconds = {name: middle([each.seconds for each in runs]) for name, runs in jobs.items()}
    cpu = {name: middle([each.cpu_seconds for each in runs]) for name, runs in jobs.items()}
    more = megabytes[1] - megabytes[0]
    actual: dict[str, float] = {}
    for name in ("scan", "plain"):
        actual[f"{name}_slope_mb_s"] = more / (seconds[f"{name} large"] - seconds[f"{name} small"])
        actual[f"{name}_whole_mb_s"] = megabytes[1] / seconds[f"{name} large"]
        actual[f"{name}_cpu_ns_a_byte"] = 1e3 * (cpu[f"{name} large"] - cpu[f"{name} small"]) / more
    return actual | {
        "scan_alone_mb_s": 1 / (1 / actual["scan_slope_mb_s"] - 1 / actual["plain_slope_mb_s"]),
        "scan_slope_mb_s_by_cpu": 1e3 * WORKERS / actual["scan_cpu_ns_a_byte"],
        "first_run_seconds": seconds["scan large"],
        "second_run_seconds": seconds["again large"],
        "peak_bytes": float(max(each.peak_bytes for each in jobs["scan large"])),
    }


def measured(arguments: argparse.Namespace, case: str) -> dict[str, Any]:
    """One case: rates, the index, recall, and what missed its limit."""
    exam = arguments.cache / f"{case}-{arguments.items}.jsonl"
    if not exam.exists():
        write_items(exam, arguments.items, case == "unlike")
    named = BenchmarkSpec(name="exam", paths=(str(exam.resolve()),), answer="answer", id="id")
    benchmark = read_benchmark(named, Path.cwd())
    corpora = [
        build(arguments.cache, f"{case}-{arguments.items}-{size:g}mb", rows_of(size, benchmark))
        for size in arguments.sizes
    ]
    used = arguments.cache / "contamination"
    tokenization = Tokenization(load_tokenizer(str(arguments.tokenizer), Path.cwd(), used / "tokenizers"))
    built, loaded = index_seconds(benchmark, tokenization, used / "index")
    plain = plain_rule(benchmark, corpora[0])
    for corpus in corpora:
        read_once(corpus)
    jobs, run = rounds(arguments, exam, corpora)
    canaries, planted = recalls(run, benchmark)
    actual = figures(jobs, [size_of(corpus)[1] / 1e6 for corpus in corpora])
    recall = min([*canaries.values(), *planted.values()])
    limits = {
        "rate": case == "alike" or actual["scan_alone_mb_s"] >= MEGABYTES_A_SECOND,
        "index": built < INDEX_SECONDS,
        "recall": recall == 1.0,
    }
    return {
        **actual,
        "case": case,
        "recall": recall,
        "python_13_grams_mb_s": plain,
        "index_build_seconds": built,
        "index_load_seconds": loaded,
        "canaries": canaries,
        "planted": planted,
        "jobs": {name: [[each.seconds, each.cpu_seconds] for each in runs] for name, runs in jobs.items()},
        "missed": [f"{case}: {name}" for name, holds in limits.items() if not holds],
    }


def print_result(result: dict[str, Any]) -> None:
    """Print what came out of a case."""
    rate, plain = result["scan_slope_mb_s"], result["python_13_grams_mb_s"]
    limit = " (limit 40)" if result["case"] == "unlike" else ""
    print(f"{result['case']}:")
    print(
        f"  the scan             {result['scan_alone_mb_s']:8.1f} MB/s{limit}: what it adds to a job without benchmarks"
    )
    print(
        f"  a further megabyte   {rate:8.1f} MB/s of the whole job, by CPU time {result['scan_slope_mb_s_by_cpu']:.1f}"
    )
    print(f"  the large run        {result['scan_whole_mb_s']:8.1f} MB/s with start-up, index and tables")
    print(
        f"  without benchmarks   {result['plain_slope_mb_s']:8.1f} MB/s, {result['plain_slope_mb_s'] / rate:.2f} times"
    )
    print(
        f"  13-grams in Python   {plain:8.1f} MB/s, one rule alone; the whole job is {rate / plain:.1f} times as fast"
    )
    print(f"  CPU time a byte      {result['scan_cpu_ns_a_byte']:8.1f} ns, without {result['plain_cpu_ns_a_byte']:.1f}")
    print(f"  index                {result['index_build_seconds']:8.1f} s to build (limit 15), "
          f"{result['index_load_seconds']:.2f} s to load")  # fmt: skip
    print(f"  first, second run    {result['first_run_seconds']:8.1f} s and {result['second_run_seconds']:.1f} s")
    print(
        f"  recall               {result['recall']:8.3f} at least, of canaries and planted items, over rules (limit 1)"
    )


def main() -> int:
    """Run it, print what came out and whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sizes", type=float, nargs=2, default=(200.0, 600.0), metavar="MB")
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=["unlike", "alike"], default=["unlike", "alike"])
    arguments = parser.parse_args()
    print(f"{arguments.items} items, six rules, {WORKERS} workers, medians of {arguments.rounds} rounds")
    results = []
    for case in arguments.cases:
        results.append(measured(arguments, case))
        print_result(results[-1])
    missed = [name for result in results for name in result["missed"]]
    print("limits hold" if not missed else f"MISSED: {', '.join(missed)}")
    if arguments.out is not None:
        whole = {"items": arguments.items, "rounds": arguments.rounds, "cases": results, "missed": missed}
        arguments.out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
