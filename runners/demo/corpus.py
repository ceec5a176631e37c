"""The demo's corpus: two snapshots of real text from the Python installation, with tokenizer, benchmark and specs."""

from __future__ import annotations

import hashlib
import json
import shutil
import string
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import orjson
import pyarrow as pa

from corpus_audit.checks.policy.starters import starter_text
from corpus_audit.runners.demo.benchmark import benchmark_items
from corpus_audit.runners.demo.part import choose_part
from corpus_audit.runners.demo.sources import Source, choose, choose_change, find_sources
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

SHARED = 5
"""Parquet shards that both snapshots have."""

OWN = {"before": ("parquet",), "now": ("jsonl.zst", "jsonl.gz")}
"""Formats of the further shards of each snapshot. They hold what left or came, and documents of both as well."""

VOCABULARY = 8192
_TRAINING_BYTES = 3_000_000  # of text for the tokenizer: training is the demo's first step, and somebody waits for it
_ROW_GROUP = 500  # rows; small, so that shards of a few megabytes have more than one row group
_VERSION = 4
_MARKER = "demo.json"
_PARTS = (
    "data", "part", "tokenizer.json", "benchmark.jsonl", "before.yaml", "audit.yaml", "part.yaml", "policy.yaml",
)  # fmt: skip

_INTENDED = {
    "stdlib": 0.18,
    "stdlib-tests": 0.10,
    "package-tests": 0.10,
    "stubs": 0.04,
    "documentation": 0.14,
    "licences": 0.02,
    "other-packages": 0.18,
}
"""Intended shares of tokens; the named packages share the rest equally."""

COLUMNS = ("id", "text", "source", "package", "path")


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """Two snapshots that are ready to be audited.

    Attributes:
        folder: holds ``data/``, ``part/``, ``tokenizer.json``, ``benchmark.jsonl`` and the audit files.
        before, audit, part: paths of the audit files of the first and the second snapshot, and of a part of the latter.
        documents: of the second snapshot; documents_before: of the first.
        text_bytes: UTF-8 bytes of all texts of either snapshot.
        domains: documents of the second snapshot by domain, most first.
        left, came: packages that only the first, or only the second snapshot has.
        new_domain: a domain that only the second has, or None.
        reused: whether everything was there already.
        note: why it is smaller than was asked for, or None.
    """

    folder: Path
    before: Path
    audit: Path
    part: Path
    documents: int
    documents_before: int
    text_bytes: int
    domains: dict[str, int]
    left: list[str]
    came: list[str]
    new_domain: str | None
    reused: bool
    note: str | None


def build_demo(folder: Path, megabytes: int = 40, progress: Callable[[str], None] = lambda stage: None) -> DemoCorpus:
    """Build the demo's snapshots, or find them complete from an earlier call.

    Args:
        folder: where; made if it is not there. Other files in it (run directories) are left alone.
        megabytes: how much text in both snapshots together, in units of 10^6 bytes; less if there is less.
        progress: called with what is being done, in a few words.

    Everything is built in a temporary folder beside its place and moved there; ``demo.json``, written last, says that
    the corpus is whole. Files, rows and tokenizer depend on the Python installation and ``megabytes`` alone.

    Raises:
        UsageError: the folder holds files that are not from an earlier demo, or there is no text to be found.
    """
    wanted = {"version": _VERSION, "megabytes": megabytes, "python": sys.version, "prefix": sys.prefix}
    complete = _complete(folder, wanted)
    if complete is not None:
        return complete
    marker = folder / _MARKER
    existing = [name for name in _PARTS if (folder / name).exists()]
    if existing and not marker.exists():
        raise UsageError(f"{folder} holds {', '.join(existing)} already, and not from a demo: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        progress("looking for text in the Python installation")
        summary = _build(stage, megabytes, progress)
        marker.write_text("{}")
        for name in _PARTS:
            _remove(folder / name)
            (stage / name).rename(folder / name)
        sizes = _sizes(folder)
        (stage / _MARKER).write_text(json.dumps({"wanted": wanted, "sizes": sizes, "summary": summary}, indent=1))
        (stage / _MARKER).replace(marker)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    built = _complete(folder, wanted)
    if built is None:
        raise UsageError(f"{folder}: another process changed the demo corpus while it was built; try again")
    return DemoCorpus(**{name: getattr(built, name) for name in built.__slots__} | {"reused": False})


def _complete(folder: Path, wanted: dict[str, object]) -> DemoCorpus | None:
    try:
        state = json.loads((folder / _MARKER).read_bytes())
        if state.get("wanted") != wanted:
            return None
        if _sizes(folder) != state["sizes"] or not all((folder / name).exists() for name in _PARTS):
            return None
        before, audit, part = (folder / f"{name}.yaml" for name in ("before", "audit", "part"))
        return DemoCorpus(folder, before, audit, part, reused=True, **state["summary"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in (folder / "data").rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


Documents = list[tuple[Source, str]]


def _build(stage: Path, megabytes: int, progress: Callable[[str], None]) -> dict[str, object]:
    sources = choose(find_sources(), megabytes * 1_000_000)
    read = ((source, source.read()) for source in sources)
    documents = [(source, text) for source, text in read if text is not None]
    if not documents:
        raise UsageError("the Python installation holds no source files to build a demo from")
    change = choose_change(source for source, _ in documents)
    before = [(source, text) for source, text in documents if change.before(source)]
    now = [(source, text) for source, text in documents if change.now(source)]
    progress(f"writing two snapshots, of {len(before):,} and {len(now):,} documents")
    _write_shards(stage / "data", {"before": before, "now": now})
    (stage / "part").mkdir()
    _write_shard(stage / "part" / "part-00.parquet", choose_part(now))
    progress(f"training a tokenizer of {VOCABULARY:,} tokens")
    _train_tokenizer(documents, stage / "tokenizer.json")
    progress("planting passages in a benchmark")
    items = (orjson.dumps(item) + b"\n" for item in benchmark_items(now))
    (stage / "benchmark.jsonl").write_bytes(b"".join(items))
    domains = dict(Counter(source.domain for source, _ in now).most_common())
    for name in ("before.yaml", "part.yaml"):
        (stage / name).write_text(_template(name), encoding="utf-8")
    # A budget of as many tokens as there are bytes is about three epochs.
    (stage / "audit.yaml").write_text(audit_text(domains, _bytes(now)), encoding="utf-8")
    policy = starter_text("pretraining-signoff", baseline=True, benchmarks=True)
    (stage / "policy.yaml").write_text(policy, encoding="utf-8")
    text_bytes = _bytes(documents)
    short = text_bytes < 0.9 * megabytes * 1_000_000
    note = (
        f"this Python installation holds {text_bytes / 1e6:.0f} MB of fitting text, not {megabytes}" if short else None
    )
    return {
        "documents": len(now),
        "documents_before": len(before),
        "text_bytes": text_bytes,
        "domains": domains,
        "left": list(change.left),
        "came": list(change.came),
        "new_domain": change.new_domain,
        "note": note,
    }


def audit_text(domains: Mapping[str, int], budget: int) -> str:
    """The audit file of the second snapshot.

    Args:
        domains: documents by domain.
        budget: training tokens of the sampling section.
    """
    named = sorted(domain for domain in domains if domain not in _INTENDED)
    rest = 1 - sum(_INTENDED.values())
    weights = {domain: share for domain, share in _INTENDED.items() if domain in domains}
    weights |= {domain: round(rest / len(named), 3) for domain in named}
    lines = [f"{yaml_scalar(domain)}: {share:g}" for domain, share in weights.items()]
    return string.Template(_template("audit.yaml")).safe_substitute(
        weights=f"\n{' ' * 4}".join(lines),
        strategy_weights=f"\n{' ' * 8}".join(lines),
        budget=f"{budget:.1e}",
        parameters=f"{budget / 20:.1e}",
    )


def _template(name: str) -> str:
    return resources.files("corpus_audit.runners.demo").joinpath(name).read_text(encoding="utf-8")


def _bytes(documents: Documents) -> int:
    return sum(len(text.encode()) for _, text in documents)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _write_shards(folder: Path, snapshots: dict[str, Documents]) -> None:
    """Most documents that all snapshots have go to ``both/``; a part goes to each snapshot's own shards, as where a
    shard was written anew for a few documents in it."""
    common = set.intersection(*({source.name for source, _ in documents} for documents in snapshots.values()))
    parts = SHARED + max(map(len, OWN.values()))
    shared = {name for name in common if _hash(name) % parts < SHARED}
    (folder / "both").mkdir(parents=True)
    first = next(iter(snapshots.values()))
    for shard in range(SHARED):
        rows = [
            (source, text) for source, text in first if source.name in shared and _hash(source.name) % parts == shard
        ]
        _write_shard(folder / "both" / f"part-{shard:02d}.parquet", rows)
    for snapshot, documents in snapshots.items():
        own = [(source, text) for source, text in documents if source.name not in shared]
        formats = OWN[snapshot]
        (folder / snapshot).mkdir()
        for shard, ending in enumerate(formats):
            rows = [(source, text) for source, text in own if _hash(source.name) % len(formats) == shard]
            _write_shard(folder / snapshot / f"part-{SHARED + shard:02d}.{ending}", rows)


def _write_shard(path: Path, documents: Documents) -> None:
    names = [source.name for source, _ in documents]
    columns = (
        names,
        [text for _, text in documents],
        [source.domain for source, _ in documents],
        [source.package for source, _ in documents],
        [name.partition("/")[2] for name in names],
    )
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pa.table([pa.array(column, pa.string()) for column in columns], names=list(COLUMNS))
        pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
        return
    lines = [orjson.dumps(dict(zip(COLUMNS, row, strict=True))) + b"\n" for row in zip(*columns, strict=True)]
    codec = {".zst": "zstd", ".gz": "gzip"}[path.suffix]
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, codec) as stream:
        stream.write(b"".join(lines))


def _train_tokenizer(documents: list[tuple[Source, str]], path: Path) -> None:
    """A byte-level BPE in the manner of GPT-2, from the documents of lowest hash."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    sample, size = [], 0
    for _, text in sorted(documents, key=lambda document: _hash("train " + document[0].name)):
        sample.append(text[:20_000])
        size += len(sample[-1])
        if size >= _TRAINING_BYTES:
            break
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample, trainer)
    tokenizer.save(str(path))
