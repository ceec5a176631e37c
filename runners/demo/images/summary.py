"""What the demo of images says: what was put into its corpus, and what the audit and the network found of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corpus_audit.checks.text import numbers
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.runners.demo.images import pictures
from corpus_audit.runners.demo.images.corpus import ImageCorpus
from corpus_audit.runners.demo.summary import WIDTH, paragraph
from corpus_audit.schemas.run.results import RESULTS_FILE, read_results
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

if TYPE_CHECKING:
    from corpus_audit.embeddings.images.small_classifier import TrainedClassifier


def image_answers(corpus: ImageCorpus, run: RunDirectory) -> str:
    """Lines of at most `WIDTH` columns: what was planted, and what the audit of the second snapshot says of it."""
    kind, source = corpus.sprites.kinds[0], pictures.SHARED[0]
    lines = [
        "What the demo put in, and what the audit found",
        "─" * WIDTH,
        *paragraph(
            "Domains",
            f"After the first snapshot {pictures.LEFT} left with {len(corpus.left)} images, and {pictures.STUDIO} came "
            f"with {sum(pictures.COUNTS[pictures.STUDIO])}. {_turnover(run)}",
        ),
        *paragraph(
            "Copies",
            f"{pictures.EXACT} files of {source} were copied to market, under other captions, and {pictures.NEAR} more "
            f"at half the size in another quality. {_copies(run)}",
        ),
        *paragraph("Damaged", f"{len(pictures.DAMAGED)} files were damaged. {_damaged(run)}"),
        *paragraph(
            "Benchmark",
            f"Of the benchmark's {pictures.EXAM_COPIED + pictures.EXAM_NEW} images {pictures.EXAM_COPIED} are in the "
            f"corpus, half of these at twice the size. {_benchmark(run)}",
        ),
        *paragraph("Policy", _policy(run)),
        *paragraph(
            "Mark",
            f"All {len(corpus.marked)} pictures of {kind} in the second snapshot are from {pictures.STUDIO} and carry "
            "a checkerboard in the upper left corner, as a watermark would lie there. The audit has no measure "
            "for it: its report shows it to whoever looks at the thumbnails of the domain, and a network learns it.",
        ),
    ]
    return "".join(line.rstrip() + "\n" for line in lines)


def network_summary(corpus: ImageCorpus, trained: TrainedClassifier) -> str:
    """Lines of at most `WIDTH` columns: how well the network does, with the mark and without."""
    kind, correct = corpus.sprites.kinds[0], trained.correct
    text = (
        f"A ResNet of two blocks was trained for {numbers.grouped(trained.steps)} steps on the second snapshot. Of the "
        f"pictures that it was trained on it classifies {numbers.percent(correct['all'])} correctly, and of the marked "
        f"ones {numbers.percent(correct['marked'])}; of these with the mark covered, "
        f"{numbers.percent(correct['covered'])}. Of the others with the same corner covered it is "
        f"{numbers.percent(correct['others covered'])}."
    )
    lines = ["What a network learned from these images", "─" * WIDTH, *paragraph("Network", text)]
    lines += paragraph("Unit", f"The commands below show why, for logit:0, its output for {kind}.")
    return "".join(line.rstrip() + "\n" for line in lines)


def _turnover(run: RunDirectory) -> str:
    row = next(row for row in run.table("turnover").to_pylist() if row["domain"] == ALL_DOMAINS)
    return f"The audit counts {row['kept']} kept, {row['added']} added and {row['removed']} removed."


def _copies(run: RunDirectory) -> str:
    exact = next(
        row
        for row in run.table("image_duplicates").to_pylist()
        if (row["domain"], row["by"]) == (ALL_DOMAINS, "pixels")
    )
    near = {row["scope"]: row for row in run.table("image_near_duplicates").to_pylist() if row["domain"] == ALL_DOMAINS}
    return (
        f"{exact['across_images']} images show exactly what one of another domain shows, and "
        f"{near['across']['near_images']} are near one of another domain: originals and copies. "
        f"{near['within']['near_images']} are near one of their own."
    )


def _damaged(run: RunDirectory) -> str:
    reasons: dict[str, int] = {}
    for row in run.table("outcomes").to_pylist():
        if row["outcome"] == "dead_letter":
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["rows"]
    counts = ", ".join(f"{reason} {rows}" for reason, rows in sorted(reasons.items()))
    return f"Dead letters: {counts or 'none'}."


def _benchmark(run: RunDirectory) -> str:
    (row,) = run.table("image_benchmarks").to_pylist()
    return f"The audit finds {row['exact']} exact and {row['near']} near copies of {row['items']} images."


def _policy(run: RunDirectory) -> str:
    results = read_results((run.folder / RESULTS_FILE).read_bytes())
    counts = ", ".join(f"{count} {status.value}" for status, count in sorted(results.counts.items()))
    return (
        f"The verdict of {results.policy.name} is {results.verdict.value} ({counts}). It has to fail: pictures of the "
        "corpus were put into the benchmark. The demo itself ends with exit code 0 all the same; corpus-audit run "
        "would not."
    )
