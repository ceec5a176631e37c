"""What a profile costs, as ratios against baselines that are measured in the same session, interleaved.

    python -m tests.benchmarks.profile --tokenizer gpt2.json --out results.json

Every measurement is a fresh process; every figure is the median of ``--runs`` rounds, and a round measures every job
once. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import corpus as corpora
from tests.benchmarks.measuring import WORKERS, middle, read_once, run_bare_loop, run_job, run_reference

TINY_MEGABYTES = 1
DOMAIN_COUNTS = (10, 100, 1000)


@dataclass
class Figures:
    """Named figures with their units, printed as they come."""

    rows: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, note: str = "") -> None:
        """Print a figure and keep it."""
        self.rows.append({"name": name, "value": round(value, 4), "unit": unit, "note": note})
        print(f"{name:48s} {value:12.3f} {unit:8s} {note}", flush=True)


@dataclass
class Rounds:
    """The measurements of every round, by job and size."""

    job_seconds: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    job_peaks: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    bare_seconds: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    stages: dict[float, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    verification: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    store_bytes: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    reference_seconds: list[float] = field(default_factory=list)


def main_job(arguments: argparse.Namespace, figures: Figures) -> Rounds:
    """Slope, fixed cost, verification, memory and the reference tokenizer, interleaved."""
    cache: Path = arguments.cache
    small, large = sorted(arguments.sizes)
    sizes = (TINY_MEGABYTES, small, large)
    folders = {size: corpora.real_corpus(cache, size) for size in sizes}
    subset = corpora.real_corpus(cache, arguments.reference_megabytes)
    text_bytes = {size: corpora.size_of(folder)[1] for size, folder in folders.items()}
    for folder in folders.values():
        read_once(folder)
    run_job(cache / "scratch", folders[TINY_MEGABYTES], arguments.tokenizer)  # compiled kernels are cached on disk

    rounds = Rounds()
    for _ in range(arguments.runs):
        for size, folder in folders.items():
            job = run_job(cache / "scratch", folder, arguments.tokenizer)
            rounds.job_seconds[size].append(job.seconds)
            rounds.job_peaks[size].append(job.peak_bytes)
            rounds.stages[size].append(job.stages)
            rounds.verification[size].append(job.verification_core_seconds)
            rounds.store_bytes[size].append(job.store_bytes)
            rounds.bare_seconds[size].append(run_bare_loop(folder, arguments.tokenizer).seconds)
        rounds.reference_seconds.append(run_reference(subset, arguments.tokenizer))

    job = {size: middle(rounds.job_seconds[size]) for size in sizes}
    bare = {size: middle(rounds.bare_seconds[size]) for size in sizes}
    for size in sizes:
        figures.add(f"job, {size:g} MB", job[size], "s", f"{text_bytes[size] / 1e6:.0f} MB of text")
        figures.add(f"bare gigatoken loop, {size:g} MB", bare[size], "s")
    slope, bare_slope = job[large] - job[small], bare[large] - bare[small]
    more = text_bytes[large] - text_bytes[small]
    figures.add("slope of the job", more / slope / 1e6, "MB/s", "text bytes over seconds between the two sizes")
    figures.add("slope of the bare loop", more / bare_slope / 1e6, "MB/s")
    figures.add("slope ratio", slope / bare_slope, "ratio", "job over bare loop; at most 2.0")
    intercept = job[small] - slope * text_bytes[small] / more
    figures.add("fixed cost, intercept of the line", intercept, "s", "at most 4")
    figures.add("fixed cost, 1 MB corpus", job[TINY_MEGABYTES], "s", "the whole job; at most 4")
    for name in sorted({name for stages in rounds.stages[large] for name in stages}):
        for size in (small, large):
            seconds = middle([stages.get(name, 0.0) for stages in rounds.stages[size]])
            figures.add(f"stage {name}, {size:g} MB", seconds, "s")

    for size in (small, large):
        core_seconds = middle(rounds.verification[size])
        note = f"{core_seconds:.2f} core-seconds over {WORKERS} workers; at most 1.5"
        figures.add(f"verification, {size:g} MB", core_seconds / WORKERS, "s", note)

    subset_bytes = corpora.size_of(subset)[1]
    scaled = middle(rounds.reference_seconds) * text_bytes[large] / subset_bytes
    note = f"measured on {subset_bytes / 1e6:.0f} MB, scaled by bytes"
    figures.add(f"tokenizers.encode_batch_fast, {large:g} MB", scaled, "s", note)
    figures.add("tokenizers over the whole job", scaled / job[large], "ratio", "at least 15")
    peaks = {size: middle(rounds.job_peaks[size]) for size in (small, large)}
    for size in (small, large):
        figures.add(f"peak memory, {size:g} MB", peaks[size] / 1e9, "GB", "under 1.5")
    figures.add("peak memory, large over small", peaks[large] / peaks[small], "ratio", "at most 1.15")
    return rounds


def partial_sizes(arguments: argparse.Namespace, figures: Figures) -> None:
    """What the store keeps of a corpus, by the number of domains."""
    for domains in DOMAIN_COUNTS:
        folder = corpora.real_corpus(arguments.cache, min(arguments.sizes), domains)
        job = run_job(arguments.cache / "scratch", folder, arguments.tokenizer)
        files, text = corpora.size_of(folder)
        note = f"{job.store_bytes / text:.4f} of the text's bytes"
        figures.add(f"partials over input, {domains} domains", job.store_bytes / files, "ratio", note)


def bounds(arguments: argparse.Namespace, figures: Figures) -> None:
    """Peak memory where counters, not text, are large."""
    short = corpora.short_corpus(arguments.cache, arguments.short_documents)
    wide = corpora.wide_corpus(arguments.cache, arguments.wide_megabytes)
    cases: list[tuple[str, Path, Callable[[], Path]]] = [
        (f"{arguments.short_documents} documents of 200 bytes", short, lambda: arguments.tokenizer),
        ("1,000 domains, 250,000 tokens", wide, lambda: corpora.wide_tokenizer(arguments.cache)),
    ]
    for name, folder, tokenizer in cases:
        job = run_job(arguments.cache / "scratch", folder, tokenizer())
        files, text = corpora.size_of(folder)
        figures.add(f"peak memory, {name}", job.peak_bytes / 1e9, "GB", f"under 1.5; {text / 1e6:.0f} MB of text")
        figures.add(f"job, {name}", job.seconds, "s")
        figures.add(f"partials over input, {name}", job.store_bytes / files, "ratio")


def main() -> None:
    """Parse the command line, measure, print, write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json with GPT-2's vocabulary")
    parser.add_argument("--cache", type=Path, default=Path(".bench"), help="folder of the corpora, a few gigabytes")
    parser.add_argument("--sizes", type=float, nargs=2, default=(300, 1200), metavar="MB", help="text of the corpora")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--reference-megabytes", type=float, default=20, help="text that `tokenizers` encodes alone")
    parser.add_argument("--bounds", action="store_true", help="also the two memory bounds (minutes)")
    parser.add_argument("--short-documents", type=int, default=5_000_000)
    parser.add_argument("--wide-megabytes", type=float, default=600)
    arguments = parser.parse_args()

    figures = Figures()
    rounds = main_job(arguments, figures)
    partial_sizes(arguments, figures)
    if arguments.bounds:
        bounds(arguments, figures)
    result = {
        "figures": figures.rows,
        "rounds": vars(rounds),
        "workers": WORKERS,
        "runs": arguments.runs,
        "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
        "python": platform.python_version(),
    }
    arguments.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
