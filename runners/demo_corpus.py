"""The demo's corpus: a few tens of megabytes of real text from the Python installation, with tokenizer and spec."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa

from corpus_audit.runners.demo_sources import Source, choose, find_sources
from corpus_audit.schemas.audit_file import SCHEMA_PATH
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.yaml_tree import yaml_scalar

SHARDS = 8
"""Files of the corpus: all Parquet, but for one .jsonl.zst and one .jsonl.gz."""

VOCABULARY = 8192
_TRAINING_BYTES = 3_000_000
_ROW_GROUP = 500
_VERSION = 1
_MARKER = "demo.json"
_PARTS = ("data", "tokenizer.json", "audit.yaml")

COLUMNS = ("id", "text", "source", "package", "path")

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


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """A corpus that is ready to be audited.

    Attributes:
        folder: holds ``data/``, ``tokenizer.json`` and ``audit.yaml``.
        audit: path of ``audit.yaml``.
        documents: how many.
        text_bytes: UTF-8 bytes of all texts.
        domains: documents by domain, most first.
        reused: whether it was there already.
        note: why it is smaller than was asked for, or None.
    """

    folder: Path
    audit: Path
    documents: int
    text_bytes: int
    domains: dict[str, int]
    reused: bool
    note: str | None


def build_demo(folder: Path, megabytes: int = 40, say: Callable[[str], None] = lambda stage: None) -> DemoCorpus:
    """Build the demo corpus, or find it complete from an earlier call.

    Args:
        folder: where; made if it is not there. Other files in it (run directories) are left alone.
        megabytes: how much text, in units of 10^6 bytes; less if the installation has less.
        say: told what is being done, in a few words.

    Everything is built in a temporary folder beside its place and moved there; ``demo.json``, written last, says that
    the corpus is whole. Files, rows and tokenizer depend on the Python installation and ``megabytes`` alone.

    Raises:
        UsageError: the folder holds files that are not from an earlier demo, or there is no text to be found.
    """
    wanted = {"version": _VERSION, "megabytes": megabytes, "python": sys.version, "prefix": sys.prefix}
    found = _complete(folder, wanted)
    if found is not None:
        return found
    marker = folder / _MARKER
    taken = [name for name in _PARTS if (folder / name).exists()]
    if taken and not marker.exists():
        raise UsageError(f"{folder} holds {', '.join(taken)} already, and not from a demo: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        say("looking for text in the Python installation")
        summary = _build(stage, megabytes, say)
        marker.write_text("{}")
        for name in _PARTS:
            _remove(folder / name)
            (stage / name).rename(folder / name)
        sizes = {path.name: path.stat().st_size for path in sorted((folder / "data").iterdir())}
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
        sizes = {path.name: path.stat().st_size for path in (folder / "data").iterdir()}
        whole = sizes == state["sizes"] and all((folder / name).exists() for name in _PARTS)
        return DemoCorpus(folder, folder / "audit.yaml", reused=True, **state["summary"]) if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _build(stage: Path, megabytes: int, say: Callable[[str], None]) -> dict[str, object]:
    sources = choose(find_sources(), megabytes * 1_000_000)
    read = ((source, source.read()) for source in sources)
    documents = [(source, text) for source, text in read if text is not None]
    if not documents:
        raise UsageError("the Python installation holds no source files to build a demo from")
    say(f"writing {len(documents):,} documents to {SHARDS} shards")
    (stage / "data").mkdir()
    for shard in range(SHARDS):
        rows = [(source, text) for source, text in documents if _hash(source.name) % SHARDS == shard]
        _write_shard(stage / "data", shard, rows)
    say(f"training a tokenizer of {VOCABULARY:,} tokens")
    _train_tokenizer(documents, stage / "tokenizer.json")
    domains = dict(Counter(source.domain for source, _ in documents).most_common())
    (stage / "audit.yaml").write_text(_audit_text(domains), encoding="utf-8")
    text_bytes = sum(len(text.encode()) for _, text in documents)
    short = text_bytes < 0.9 * megabytes * 1_000_000
    note = (
        f"this Python installation holds {text_bytes / 1e6:.0f} MB of fitting text, not {megabytes}" if short else None
    )
    return {"documents": len(documents), "text_bytes": text_bytes, "domains": domains, "note": note}


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _write_shard(folder: Path, shard: int, documents: list[tuple[Source, str]]) -> None:
    names = [source.name for source, _ in documents]
    columns = (
        names,
        [text for _, text in documents],
        [source.domain for source, _ in documents],
        [source.package for source, _ in documents],
        [name.partition("/")[2] for name in names],
    )
    stem = f"part-{shard:02d}"
    if shard < SHARDS - 2:
        import pyarrow.parquet as pq

        table = pa.table([pa.array(column, pa.string()) for column in columns], names=list(COLUMNS))
        path = folder / f"{stem}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
        return
    name, codec = (f"{stem}.jsonl.zst", "zstd") if shard == SHARDS - 2 else (f"{stem}.jsonl.gz", "gzip")
    lines = [orjson.dumps(dict(zip(COLUMNS, row, strict=True))) + b"\n" for row in zip(*columns, strict=True)]
    with pa.OSFile(str(folder / name), "wb") as file, pa.CompressedOutputStream(file, codec) as stream:
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


def _audit_text(domains: dict[str, int]) -> str:
    named = sorted(domain for domain in domains if domain not in _INTENDED)
    rest = 1 - sum(_INTENDED.values())
    weights = {domain: share for domain, share in _INTENDED.items() if domain in domains}
    weights |= {domain: round(rest / len(named), 3) for domain in named}
    mixture = "\n".join(f"    {yaml_scalar(domain)}: {share:g}" for domain, share in weights.items())
    return f"""\
# yaml-language-server: $schema={SCHEMA_PATH.as_posix()}
# The demo: source code and documentation of this machine's Python installation.
# Change something and run it again: corpus-audit run audit.yaml

version: 1
name: Python installation

snapshot:
  paths:
    - data            # six Parquet files, one .jsonl.zst, one .jsonl.gz

document:
  text: text
  id: id
  domain: source      # the primary facet: where a file comes from
  facets:
    package: package  # a second way to cut the corpus
  #cluster: package   # files of a package are alike: intervals by package are wider, and honest

tokenizer: tokenizer.json

# What a team might have meant to train on, in shares of tokens. The report shows how far the corpus is from it.
mixture:
  unit: tokens
  weights:
{mixture}

#filter:
#  - {{name: python_only, column: path, op: matches, value: '\\.pyi?$'}}

#per_document: true   # also write a table with the counts of every document

output: runs
"""
