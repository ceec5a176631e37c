"""How long drift between two finished runs takes at the size of a real vocabulary, and how much memory.

``python -m tests.benchmarks.drift [--cache FOLDER] [--out FILE] [--documents N] [--vocabulary N ...]``

Two snapshots of one source over 20 domains are written as text (words of a Zipf law, mixed anew for every domain and
topic, so that cells are sparse and tokens bursty), audited by the real job, and kept in the cache. What is measured is
``corpus-audit drift A B`` in a fresh process: reading the tables, 1,999 permutations a slice, every token, mix and
text, lengths, turnover, the classifier and near-duplicates. Beside it stands the permutation null of one slice and one
statistic, written plainly in numpy, with fewer permutations and scaled. Exits 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from corpus_audit.pipelines.statistics.drift.permutation import PERMUTATIONS
from tests.benchmarks.corpus import Row, build
from tests.benchmarks.measuring import WORKERS, measure, write_spec

DOMAINS = 20
VOCABULARIES = (50_257, 250_000)
SECONDS, PEAK_BYTES = 20.0, 10**9
KEPT = 0.5
"""Share of the baseline's documents that the current snapshot holds too."""

TOKENS = 400
TOPICS = 8
PLAIN_PERMUTATIONS = 20

STAGES = """
import json, sys, time
from pathlib import Path
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.runners.audit.baselines import compare
seconds, last = {}, ["turnover", time.perf_counter()]
def stage_begins(stage):
    now = time.perf_counter()
    seconds[last[0]] = seconds.get(last[0], 0.0) + now - last[1]
    last[:] = ["overall" if stage == "(all)" else "domains" if stage.startswith("domain-") else stage, now]
compare(RunDirectory(Path(sys.argv[1])), RunDirectory(Path(sys.argv[2])), "baseline", int(sys.argv[3]), stage_begins)
stage_begins("end")
print(json.dumps(seconds))
"""


def tokenizer_of(cache: Path, vocabulary: int) -> Path:
    """A tokenizer of one token a word: ``w0`` to ``w<vocabulary - 1>``."""
    path = cache / f"words-{vocabulary}.json"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        tokenizer = Tokenizer(models.WordLevel({f"w{word}": word for word in range(vocabulary)}, "w0"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.save(str(path))
    return path


def _documents(first: int, last: int, vocabulary: int) -> Iterator[Row]:
    """Documents by number: the same number is the same document. Half the words are of the domain's topic."""
    law = np.cumsum(1 / (np.arange(vocabulary) + 2.7) ** 1.05)
    words = np.array([f"w{word}" for word in range(vocabulary)], object)
    turns = np.random.default_rng(1).integers(0, vocabulary, (DOMAINS, TOPICS))
    for number in range(first, last):
        rng = np.random.default_rng((2, number))
        size = int(np.clip(rng.lognormal(np.log(TOKENS) - 0.5, 1.0), 10, 20 * TOKENS))
        ranks = np.searchsorted(law, rng.random(size) * law[-1])
        domain = number % DOMAINS
        topical = (ranks + turns[domain, rng.integers(0, TOPICS)]) % vocabulary
        actual = np.where(rng.random(size) < 0.5, topical, ranks)
        yield str(number), " ".join(words[actual]), f"domain-{domain:02d}"


def audited(cache: Path, name: str, span: tuple[int, int], vocabulary: int, baseline: Path | None) -> Path:
    """The run of a snapshot, audited once."""
    corpus = build(cache, f"{name}-{vocabulary}-{span[0]}-{span[1]}", _documents(*span, vocabulary))
    folder = cache / f"audit-{corpus.name}"
    runs = folder / "runs"
    if not (runs / "LATEST").exists():
        named = {} if baseline is None else {"baseline": {"run": str(baseline.resolve())}}
        spec = write_spec(folder, corpus, tokenizer_of(cache, vocabulary), **named)
        command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet", "--json"]
        measure([*command, "--workers", str(WORKERS)], accept=(0, 4))
    return runs / (runs / "LATEST").read_text(encoding="utf-8").strip()


def plain_null(vocabulary: int) -> float:
    """Seconds that `PERMUTATIONS` relabellings of two sides' 64 hash groups take in plain numpy: one slice, JSD alone.

    The cost follows from the shape, so the counts are invented.
    """
    groups = np.random.default_rng(0).poisson(3.0, (128, vocabulary)).astype(np.float64)
    rng = np.random.default_rng(3)

    def entropy(shares: np.ndarray) -> float:
        positive = shares[shares > 0]
        return float(-(positive * np.log2(positive)).sum())

    began = time.perf_counter()
    for _ in range(PLAIN_PERMUTATIONS):
        side = rng.permutation(128) < 64
        one, two = groups[side].sum(axis=0), groups[~side].sum(axis=0)
        one, two = one / one.sum(), two / two.sum()
        entropy((one + two) / 2) - (entropy(one) + entropy(two)) / 2
    return (time.perf_counter() - began) / PLAIN_PERMUTATIONS * PERMUTATIONS


def benchmark(cache: Path, documents: int, vocabulary: int) -> dict[str, Any]:
    """One vocabulary: what the comparison takes, by stage, and against the plain null."""
    own = round(documents * (1 - KEPT))
    before = audited(cache, "before", (0, documents), vocabulary, None)
    now = audited(cache, "now", (own, own + documents), vocabulary, before)
    command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "drift", str(before), str(now), "--json"]
    done = measure([*command, "--workers", str(WORKERS)], accept=(0, 4))
    outcome = json.loads(done.output)
    tested = next(row for row in outcome["drift"] if row["domain"] == "(all)" and row["statistic"] == "jsd")
    stages = json.loads(measure([sys.executable, "-c", STAGES, str(before), str(now), str(WORKERS)]).output)
    plain = plain_null(vocabulary)
    return {
        "vocabulary": vocabulary,
        "documents": documents,
        "kept": KEPT,
        "tokens": tested["tokens_current"],
        "permutations": tested["permutations"],
        "slices_tested": sum(row["statistic"] == "jsd" and row["permutations"] > 0 for row in outcome["drift"]),
        "classifiers": sum(row["auc"] is not None for row in outcome["drift_classifier"]),
        "status": outcome["drift_conclusion"][0]["status"],
        "seconds": done.seconds,
        "cpu_seconds": done.cpu_seconds,
        "peak_bytes": done.peak_bytes,
        "stages": stages,
        "plain_null_seconds": plain,
        "ratio_to_plain_null": done.seconds / plain,
    }


def main() -> int:
    """Run it and print what came out; with ``--out`` write it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--documents", type=int, default=30_000, help="of a side")
    parser.add_argument("--vocabulary", type=int, nargs="+", default=list(VOCABULARIES))
    arguments = parser.parse_args()
    results = [benchmark(arguments.cache, arguments.documents, size) for size in arguments.vocabulary]
    missed = []
    for result in results:
        size = result["vocabulary"]
        documents, tokens, plain = (result[name] for name in ("documents", "tokens", "plain_null_seconds"))
        print(f"{size:,} tokens x {DOMAINS} domains, {documents:,} documents and {tokens:,} tokens a side:")
        print(
            f"  {result['seconds']:.1f} s ({result['cpu_seconds']:.1f} CPU s), {result['peak_bytes'] / 1e9:.2f} GB; "
            f"{result['ratio_to_plain_null']:.2f} times a plain numpy null of one slice ({plain:.1f} s)"
        )
        print("  " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result["stages"].items()))
        if size == VOCABULARIES[0]:
            missed += [f"{result['seconds']:.1f} s, limit {SECONDS:g} s"] if result["seconds"] > SECONDS else []
            over = result["peak_bytes"] > PEAK_BYTES
            missed += [f"{result['peak_bytes'] / 1e9:.2f} GB, limit {PEAK_BYTES / 1e9:g} GB"] if over else []
        if result["slices_tested"] <= DOMAINS or result["classifiers"] <= 1:
            missed.append(f"{size:,} tokens: not every slice was tested, so the time says nothing")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"results": results, "missed": missed}, indent=1) + "\n", encoding="utf-8")
    for reason in missed:
        print(f"MISSED: {reason}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
