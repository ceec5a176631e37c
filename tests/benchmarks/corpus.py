"""Corpora of the benchmarks, built once into a cache folder: zstd Parquet of real text, of short and of wide ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tests.corpora import real_texts

SHARD_BYTES = 75_000_000
ROW_GROUP_ROWS = 4000
BATCH = 20_000

Row = tuple[str, str, str]
"""(id, text, domain)"""


def _write(folder: Path, rows: Iterable[Row]) -> None:
    part: list[Row] = []
    size = number = 0

    def flush() -> None:
        nonlocal part, size, number
        ids, texts, domains = zip(*part, strict=True)
        table = pa.table({"id": ids, "text": texts, "domain": domains})
        pq.write_table(table, folder / f"shard-{number:04d}.parquet", compression="zstd", row_group_size=ROW_GROUP_ROWS)
        part, size, number = [], 0, number + 1

    for row in rows:
        part.append(row)
        size += len(row[1])
        if size >= SHARD_BYTES:
            flush()
    if part:
        flush()


def build(cache: Path, name: str, rows: Iterable[Row]) -> Path:
    """The folder of a corpus; rows are only drawn if it is not there already."""
    folder = cache / name
    if not folder.exists():
        staged = cache / f"{name}.partial"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        _write(staged, rows)
        staged.rename(folder)
    return folder


def _bucket(name: str, buckets: int) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % buckets


def _real_rows(megabytes: float, domains: int) -> Iterator[Row]:
    for name, text in real_texts(int(megabytes * 1e6)):
        yield name, text, f"domain-{_bucket(name.rpartition('/')[0], domains):04d}"


def real_corpus(cache: Path, megabytes: float, domains: int = 10) -> Path:
    """Real text of this machine, repeated with small edits where it runs out; the domain follows from the folder."""
    return build(cache, f"real-{megabytes:g}mb-{domains}", _real_rows(megabytes, domains))


def _short_rows(documents: int, size: int) -> Iterator[Row]:
    done = 0
    for name, text in real_texts(2 * documents * size):
        ascii_text = text.encode("ascii", "replace").decode()
        for start in range(0, len(ascii_text) - size, size):
            if done == documents:
                return
            head = f"{done} "
            yield str(done), head + ascii_text[start : start + size - len(head)], f"domain-{_bucket(name, 10):04d}"
            done += 1


def short_corpus(cache: Path, documents: int, size: int = 200) -> Path:
    """Many distinct documents of ``size`` bytes, cut from real text and numbered."""
    return build(cache, f"short-{documents}x{size}", _short_rows(documents, size))


WIDE_VOCABULARY = 250_000


def _syllables() -> tuple[list[str], list[str], list[str]]:
    """A small letter and a capital; first letters of the three lists are apart, so that no merge competes."""
    capitals = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    first, second, third = (
        [small + capital for small in letters for capital in capitals]
        for letters in ("abcdefghi", "jklmnopqr", "stuvwxyz")
    )
    return first, second, third


def _wide_merges() -> list[tuple[str, str]]:
    first, second, third = _syllables()
    merges = [(syllable[0], syllable[1]) for syllable in (*first, *second, *third)]
    pairs = [(left, right) for left in first for right in second]
    merges += pairs
    triples = WIDE_VOCABULARY - 256 - len(merges)
    step = len(pairs) * len(third) // triples
    for number in range(triples):
        pair, tail = divmod(number * step, len(third))
        merges.append(("".join(pairs[pair]), third[tail]))
    return merges


def wide_tokenizer(cache: Path) -> Path:
    """A byte-level BPE tokenizer of 250,000 entries whose longest 194,000 are words of three syllables."""
    path = cache / "wide.json"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        merges = _wide_merges()
        entries = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(merge) for merge in merges)]
        vocabulary = {entry: number for number, entry in enumerate(entries)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.save(str(path))
    return path


def _wide_rows(megabytes: float, domains: int) -> Iterator[Row]:
    merges = _wide_merges()
    words = [left + right for left, right in merges if len(left) == 4]
    table = np.frombuffer("".join(word + " " for word in words).encode(), np.uint8).reshape(len(words), 7)
    rng = np.random.default_rng(0)
    documents = int(megabytes * 1e6 / 7 / 600)
    for number in range(documents):
        text = table[rng.integers(0, len(words), 600)].tobytes().decode()
        yield str(number), text, f"domain-{number % domains:04d}"


def wide_corpus(cache: Path, megabytes: float, domains: int = 1000) -> Path:
    """Words of the wide tokenizer, drawn evenly in every domain: about as many token cells as there are tokens."""
    return build(cache, f"wide-{megabytes:g}mb-{domains}", _wide_rows(megabytes, domains))


def size_of(folder: Path) -> tuple[int, int]:
    """(bytes of the files, bytes of the texts) of a corpus of `build`; remembered beside it."""
    note = folder.with_name(f"{folder.name}.size.json")
    if not note.exists():
        shards = sorted(folder.glob("*.parquet"))
        text = 0
        for shard in shards:
            for batch in pq.ParquetFile(shard).iter_batches(batch_size=BATCH, columns=["text"]):
                text += sum(len(value.as_buffer()) for value in batch.column(0))
        note.write_text(json.dumps([sum(shard.stat().st_size for shard in shards), text]))
    files, text = json.loads(note.read_text())
    return files, text
