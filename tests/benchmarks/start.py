"""What a run costs before it reads much: the start, the first run of an installation, and a rerun with nothing to read.

``python -m tests.benchmarks.start [--cache FOLDER] [--out FILE] [--rounds N] [--only start cold rerun]``

Every figure is of whole processes, in rounds that are interleaved with the baseline, ``import apache_beam`` in a
process of its own; JSON goes to standard output.

* ``start``: an audit of 0.8 MB into an empty output folder, kernels compiled before. Limit: `START` times the baseline.
* ``cold``: the same audit with an empty cache of kernels, and what it takes more than ``start``. Limit: `COLD_SECONDS`.
* ``rerun``: the demo's audit of 25 MB with its baseline, benchmark and a policy of `RULES` rules, all of it counted
  before. Limit: `RERUN_CPU_SECONDS` of processor time, children included.

Processor time over that of the baseline is what holds on a machine with other work; ``ratio`` is of wall time.

Exits 1 if a limit is missed. ``PYTHONDONTWRITEBYTECODE`` is unset, because with it every process compiles its sources.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.corpus import real_corpus
from tests.benchmarks.measuring import WORKERS, Measured, measure, middle, read_once, write_spec
from tests.corpora import gpt2_tokenizer

START, COLD_SECONDS, RERUN_CPU_SECONDS = 1.8, 5.0, 6.0
RULES = 30
FURTHER_RULES = (
    *(f"length_{quantile}_tokens" for quantile in ("mean", "p05", "p25", "p50", "p75", "p95", "p99")),
    *("across_share_tokens", "duplicate_share_tokens", "effective_vocabulary", "vocabulary_coverage", "filtered_share"),
    *(
        "length_p50_characters",
        "length_p95_characters",
        "near_duplicate_rate_across",
        "verified_documents",
        "words",
        "characters",
        "tokens",
        "bytes",
    ),
)
"""Metrics of the rules beyond those of the starter policy, each judged in all domains where it has a value for them."""
WITHOUT_DOMAINS = ("filtered_share", "verified_documents", "words", "characters", "tokens", "bytes")
"""Metrics of the whole corpus alone."""
SMALL_MEGABYTES, RERUN_MEGABYTES = 0.8, 25
PARTS = ("start", "cold", "rerun")
BEAM = (sys.executable, "-c", "import apache_beam")


def audit(spec: Path, fresh: bool) -> Measured:
    """One ``corpus-audit run`` of a spec; ``fresh`` empties its output folder first."""
    if fresh:
        shutil.rmtree(spec.parent / "runs", ignore_errors=True)
    program = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", str(spec), "--quiet"]
    return measure([*program, "--workers", str(WORKERS)], accept=(0, 1, 3, 4))


def figures(measured: Sequence[Measured]) -> dict[str, float]:
    """Medians over the rounds."""
    return {
        "seconds": round(middle([entry.seconds for entry in measured]), 2),
        "cpu_seconds": round(middle([entry.cpu_seconds for entry in measured]), 2),
        "peak_mb": round(middle([entry.peak_bytes for entry in measured]) / 2**20),
    }


def start(spec: Path, rounds: int) -> dict[str, Any]:
    """The audit and the import in turn; the ratios are medians of the rounds' own."""
    audit(spec, fresh=True)
    pairs = [(measure(BEAM), audit(spec, fresh=True)) for _ in range(rounds)]
    return {
        "import_apache_beam": figures([beam for beam, _ in pairs]),
        "audit": figures([ours for _, ours in pairs]),
        "ratio": round(middle([ours.seconds / beam.seconds for beam, ours in pairs]), 2),
        "cpu_ratio": round(middle([ours.cpu_seconds / beam.cpu_seconds for beam, ours in pairs]), 2),
        "limit": START,
    }


def cold(spec: Path, rounds: int) -> dict[str, Any]:
    """The audit with an empty and then a filled cache of kernels, in turn."""
    more = []
    pairs = []
    before = os.environ.get("NUMBA_CACHE_DIR")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as kernels:
            os.environ["NUMBA_CACHE_DIR"] = kernels
            pairs.append((audit(spec, fresh=True), audit(spec, fresh=True)))
        more.append(pairs[-1][0].seconds - pairs[-1][1].seconds)
    if before is None:
        del os.environ["NUMBA_CACHE_DIR"]
    else:
        os.environ["NUMBA_CACHE_DIR"] = before
    return {
        "empty_cache": figures([entry for entry, _ in pairs]),
        "filled_cache": figures([entry for _, entry in pairs]),
        "more_seconds": round(middle(more), 2),
        "more_cpu_seconds": round(middle([entry.cpu_seconds - two.cpu_seconds for entry, two in pairs]), 2),
        "limit": COLD_SECONDS,
    }


def extend_policy(policy: Path) -> None:
    """Add rules to the demo's policy until it has `RULES`; they come last in the file."""
    text = policy.read_text(encoding="utf-8")
    for metric in FURTHER_RULES[: RULES - len(re.findall("^  - id:", text, re.MULTILINE))]:
        text += f"  - id: {metric}\n    title: {metric}\n    metric: {metric}\n"
        text += "" if metric in WITHOUT_DOMAINS else '    slice: "domain=*"\n'
        text += "    fail: {minimum: 0}\n    owner: benchmark\n    rationale: A rule among many.\n"
        text += "    next_step: None.\n"
    policy.write_text(text, encoding="utf-8")


def rerun(demo: Path, rounds: int) -> dict[str, Any]:
    """The demo's second audit again and again."""
    if not (demo / "runs").exists():
        shutil.rmtree(demo, ignore_errors=True)
        demo.mkdir(parents=True)
        code = "import sys, pathlib; from corpus_audit.runners.demo.corpus import build_demo; "
        code += f"build_demo(pathlib.Path(sys.argv[1]), {RERUN_MEGABYTES})"
        measure([sys.executable, "-c", code, str(demo)])
        extend_policy(demo / "policy.yaml")
        audit(demo / "before.yaml", fresh=False)
    audit(demo / "audit.yaml", fresh=False)
    pairs = [(measure(BEAM), audit(demo / "audit.yaml", fresh=False)) for _ in range(rounds)]
    newest = max((demo / "runs").glob("*/timings.json"), key=lambda path: path.parent.name)
    timings = json.loads(newest.read_text(encoding="utf-8"))
    if timings["splits_read"]:
        raise RuntimeError(f"{timings['splits_read']} splits were read: this is no rerun")
    judged = json.loads((newest.parent / "results.json").read_text(encoding="utf-8"))
    return {
        "import_apache_beam": figures([beam for beam, _ in pairs]),
        "audit": figures([ours for _, ours in pairs]),
        "cpu_ratio": round(middle([ours.cpu_seconds / beam.cpu_seconds for beam, ours in pairs]), 2),
        "judgements": len(judged["judgements"]),
        "splits_cached": timings["splits_cached"],
        "stages_of_the_last": timings["stages"],
        "limit": RERUN_CPU_SECONDS,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.start", description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path(".bench"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    corpus = real_corpus(arguments.cache, SMALL_MEGABYTES, 4)
    read_once(corpus)
    report: dict[str, Any] = {}
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        spec = write_spec(Path(scratch), corpus, gpt2_tokenizer(arguments.cache))
        if "start" in arguments.only:
            report["start"] = start(spec, arguments.rounds)
            missed += ["start"] * (report["start"]["ratio"] > START)
        if "cold" in arguments.only:
            report["cold"] = cold(spec, max(1, arguments.rounds // 2))
            missed += ["cold"] * (report["cold"]["more_seconds"] > COLD_SECONDS)
    if "rerun" in arguments.only:
        report["rerun"] = rerun(arguments.cache / "rerun", arguments.rounds)
        missed += ["rerun"] * (report["rerun"]["audit"]["cpu_seconds"] > RERUN_CPU_SECONDS)
    report["missed"] = missed
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
