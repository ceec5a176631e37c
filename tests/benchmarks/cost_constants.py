"""What an audit takes beyond the machines at hand: time, memory, shuffle and storage from constants that were measured.

Every constant is of two virtual cores with GPT-2's vocabulary; `tests/benchmarks/cost_model.py` measures them again and
holds predictions against runs. The page in README.md is printed by `page`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from corpus_audit.pipelines.measures.base import FAN_IN
from corpus_audit.pipelines.measures.tokens import GROUP_CELLS
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES

GROUPS = 64
"""Hash groups of token counters."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is audited.

    Attributes:
        text: bytes of text.
        stored: bytes of the shards' files.
        shards: how many files.
        documents: how many.
        domains: how many.
        vocabulary: entries of the tokenizer.
    """

    text: float
    stored: float
    shards: float
    documents: float
    domains: int
    vocabulary: int = 50_257


@dataclass(frozen=True, slots=True)
class Constants:
    """Measured on one machine; seconds are core-seconds.

    Attributes:
        fixed: seconds of a run that do not grow: imports, engine, tables, report.
        plan: seconds a stored byte: SHA-256 of the shards.
        count: seconds a byte of text: reading, tokens, all measures, partials.
        full: bytes of partials a split, by domains, that fill up: counters, examples, lengths.
        text_hash: bytes of partials a document, which never fill up: content hashes and signatures.
        cell: most bytes of a token in a domain once it is full, with its hash groups; bare: without them.
        cell_partial, cell_byte: seconds of merging a partial's counters, and a byte of them.
        hash_partial, hash_byte: the same of what never fills up.
        task: bytes that the driver holds a split: task, result, and the paths of its partials when they are merged.
        message: bytes of a task and its result as they go through a shuffle.
        worker: bytes of a process of two threads, whatever it counts or merges.
    """

    fixed: float
    plan: float
    count: float
    full: tuple[tuple[int, float], ...]
    text_hash: float
    cell: float
    bare: float
    cell_partial: float
    cell_byte: float
    hash_partial: float
    hash_byte: float
    task: float
    message: float
    worker: float


MEASURED = Constants(
    fixed=9.6,
    plan=8.8e-10,
    count=1.77e-8,
    full=((10, 2.43e6), (100, 3.08e6), (1_000, 3.16e6)),
    text_hash=22.8,
    cell=561.0,
    bare=24.0,
    cell_partial=5.3e-3,
    cell_byte=6.8e-9,
    hash_partial=1.54e-3,
    hash_byte=3.35e-8,
    task=28_900.0,
    message=557.0,
    worker=1.17e9,
)
"""Of November 2026, on two virtual cores (x86-64 with AVX-512) with GPT-2's vocabulary."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an audit takes.

    Attributes:
        splits: parts of the corpus that are counted by themselves.
        levels: of the tree of merges, compaction of shards apart.
        plan, count, merge: wall seconds on the cores given. Merging parallel work as far as its last level, which is
            one core a table.
        seconds: all of it, once, with nothing in the store.
        partials: bytes in the store.
        merged: bytes of the merged tables.
        shuffle: bytes of tasks and results through the engine.
        driver: bytes that the driver holds for all splits.
        worker: bytes of the largest worker, which does not grow.
    """

    splits: int
    levels: int
    plan: float
    count: float
    merge: float
    seconds: float
    partials: float
    merged: float
    shuffle: float
    driver: float
    worker: float


def levels_of(partials: int, fan_in: int = FAN_IN) -> int:
    """Levels of a tree of merges: one more than the times that ``partials`` can be divided; at least 1."""
    levels = 0
    while partials > 1 or levels == 0:
        partials = math.ceil(partials / fan_in)
        levels += 1
    return levels


def merge_levels(partials: int, size: float, filled: float) -> Iterator[tuple[int, int, float]]:
    """Of each level of a tree of merges: files read, merges, and bytes read, where files grow as far as ``filled``."""
    for _ in range(levels_of(partials)):
        merges = math.ceil(partials / FAN_IN)
        yield partials, merges, partials * size
        partials, size = merges, min(filled, size * FAN_IN)


def full_bytes(constants: Constants, domains: int) -> float:
    """Bytes a split of what fills up; between measured numbers of domains on a line of their logarithms."""
    known = constants.full
    if domains <= known[0][0]:
        return known[0][1]
    for (few, low), (many, high) in itertools.pairwise(known):
        if domains <= many:
            return low + (high - low) * math.log(domains / few) / math.log(many / few)
    return known[-1][1]


def filled_bytes(constants: Constants, domains: int, vocabulary: int) -> float:
    """Bytes of token counters when every token was seen in every domain; groups are kept apart while they are few."""
    cells = domains * vocabulary
    if cells * GROUPS <= GROUP_CELLS:
        return cells * constants.cell
    return cells * constants.bare + vocabulary * constants.cell


def predict(corpus: Corpus, constants: Constants, cores: int) -> Prediction:
    """What a first audit takes on so many cores, with an engine that keeps them busy."""
    splits = math.ceil(corpus.shards) * math.ceil(corpus.text / math.ceil(corpus.shards) / SPLIT_BYTES)
    full = full_bytes(constants, corpus.domains)
    filled = max(full, filled_bytes(constants, corpus.domains, corpus.vocabulary))
    hashes = corpus.documents * constants.text_hash
    plan = constants.plan * corpus.stored / cores
    count = constants.count * corpus.text / min(cores, splits)
    opened = constants.cell_partial + constants.hash_partial
    merge = sum(
        (parts * opened + read * constants.cell_byte + hashes * constants.hash_byte) / min(cores, tasks)
        for parts, tasks, read in merge_levels(splits, full, filled)
    )
    levels = levels_of(splits)
    return Prediction(
        splits=splits,
        levels=levels,
        plan=plan,
        count=count,
        merge=merge,
        seconds=constants.fixed + plan + count + merge,
        partials=splits * full + hashes,
        merged=min(filled, splits * full) + hashes,
        shuffle=2 * splits * constants.message,
        driver=splits * constants.task,
        worker=constants.worker,
    )


SIZES = ((1e12, 64), (100e12, 1_024), (10e15, 16_384))
"""Bytes of text, and cores."""

BYTES_A_DOCUMENT, BYTES_A_SHARD, STORED_SHARE = 4_000, 1e9, 0.3
"""Of the corpora of the page: the mean document, text of a shard, and what zstd leaves of text."""


def constants_page(constants: Constants) -> Iterator[str]:
    """Rows of the table of constants in README.md."""
    full = ", ".join(f"{size / 1e6:.2f} MB" for _, size in constants.full)
    yield f"| a run, however small: imports, engine, tables, report | {constants.fixed:.1f} s |"
    yield f"| SHA-256 of the shards | {1e-6 / constants.plan:,.0f} MB/s of files |"
    yield f"| reading, tokens, all measures, partials | {1e-6 / constants.count:.0f} MB/s of text |"
    for what, partial, byte in (
        ("counters", constants.cell_partial, constants.cell_byte),
        ("hashes", constants.hash_partial, constants.hash_byte),
    ):
        yield f"| merging {what} | {1e3 * partial:.1f} ms a partial, {1e-6 / byte:.0f} MB/s |"
    yield f"| partials a split: what fills up, with 10, 100, 1,000 domains | {full} |"
    yield f"| partials a document: content hash and signature | {constants.text_hash:.1f} bytes |"
    cell = f"{constants.cell:.0f} bytes with hash groups, {constants.bare:.0f} without"
    yield f"| merged counters of a token in a domain, full | {cell} |"
    yield f"| a task and its result, sent | {constants.message:.0f} bytes |"
    yield f"| the driver, a split | {constants.task / 1e3:.1f} kB |"
    yield f"| a worker of two threads, at most | {constants.worker / 1e9:.2f} GB |"


def page(constants: Constants) -> Iterator[str]:
    """Rows of the table in README.md."""
    for text, cores in SIZES:
        for domains in (10, 100, 1_000):
            corpus = Corpus(text, STORED_SHARE * text, text / BYTES_A_SHARD, text / BYTES_A_DOCUMENT, domains)
            result = predict(corpus, constants, cores)
            yield (
                f"| {text / 1e12:,.0f} TB | {domains:,} | {cores:,} | {result.splits:,} | {result.levels} | "
                f"{_time(result.plan)} | {_time(result.count)} | {_time(result.merge)} | {_size(result.partials)} | "
                f"{_size(result.merged)} | {_size(result.shuffle)} | {_size(result.driver)} |"
            )


def _time(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _size(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e3:,.0f} kB"
