"""The file of a benchmark index: writing it, and mapping it into memory as a `BenchmarkIndex`.

Layout: a magic line; the arrays, 64-byte aligned; a JSON header with their offsets, types and sizes; the header's
length (8 bytes); the SHA-256 of all that precedes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.contamination.scan import Grams, Texts
from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.schemas.errors import StoreError

_MAGIC = b"corpus-audit benchmark index 3\n"
_ALIGNED = 64  # arrays are views into the file's bytes, so each must begin where its type may

GRAM_KINDS = ("words", "long_words", "tokens")
"""The n-grams of an index: 8-grams and 13-grams of words, 10-grams of tokens; prefixes of the arrays' names."""


class GramStarts(NamedTuple):
    """First numbers of the n-grams of each length in one numbering of all, and how many there are in all.

    Numbers are dense: first the 8-grams of words, then the 13-grams, then the 10-grams of tokens.
    """

    words: int
    long_words: int
    tokens: int
    end: int


@dataclass(frozen=True)
class BenchmarkIndex:
    """Everything that a scan and the rules need of the benchmarks; arrays are read-only views of the file.

    X texts are the distinct (prompt, answer) pairs, or the decoys; I items refer to them.

    Attributes:
        digest: the file's name.
        names: names of the benchmarks, or `DECOYS` alone.
        item_benchmarks, item_texts: int32 [I]; items of one benchmark are adjacent.
        item_ids: pa.LargeStringArray [I].
        texts: the texts' words and tokens.
        words, long_words, tokens: their 8-grams and 13-grams of words and 10-grams of tokens.
        long_numbers: int32 [W], number of the 13-gram that begins at a word, or -1.
        decoys: how many of the texts are decoys, all of them or none.
        sources: (high, low), uint64 [decoys] each: content hashes of the decoys' documents, ascending.
        rows, bad, remarks: rows, bad rows by reason, and remarks on the items, of each benchmark.
    """

    digest: str
    names: tuple[str, ...]
    item_benchmarks: np.ndarray
    item_texts: np.ndarray
    item_ids: pa.LargeStringArray
    texts: Texts
    words: Grams
    long_words: Grams
    tokens: Grams
    long_numbers: np.ndarray
    decoys: int
    sources: tuple[np.ndarray, np.ndarray]
    rows: tuple[int, ...]
    bad: tuple[dict[str, int], ...]
    remarks: tuple[str, ...]

    @property
    def size(self) -> int:
        """X, the number of texts."""
        return len(self.texts.prompts)

    @property
    def gram_starts(self) -> GramStarts:
        """The first number of each length in one numbering of all n-grams."""
        first, second = len(self.words.keys), len(self.words.keys) + len(self.long_words.keys)
        return GramStarts(0, first, second, second + len(self.tokens.keys))


def write_index_file(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Write an index file; ``header`` are the entries of its JSON header beside ``arrays``."""
    digest = hashlib.sha256()
    layout: dict[str, list[Any]] = {}
    offset = 0
    with AtomicFile(path) as file:

        def put(data: Any) -> None:
            nonlocal offset
            digest.update(data)
            file.write(data)
            offset += len(data)

        put(_MAGIC)
        for name, array in arrays.items():
            put(bytes(-offset % _ALIGNED))
            layout[name] = [offset, array.dtype.str, array.size]
            put(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        encoded = json.dumps(header | {"arrays": layout}, sort_keys=True).encode()
        put(encoded)
        put(len(encoded).to_bytes(8, "little"))
        file.write(digest.digest())


def load_index(path: Path) -> BenchmarkIndex:
    """Map an index into memory after checking its digest.

    Raises:
        StoreError: the file is missing, damaged, cut, or of another version.
    """
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read the benchmark index {path}: {error}") from error
    body = len(data) - 32
    if body < len(_MAGIC) + 8 or bytes(data[: len(_MAGIC)]) != _MAGIC:
        raise StoreError(f"{path} is not a benchmark index of this version; remove it and run again")
    if hashlib.sha256(data[:body]).digest() != bytes(data[body:]):
        raise StoreError(f"the benchmark index {path} is damaged: its digest does not match; remove it and run again")
    length = int.from_bytes(data[body - 8 : body], "little")
    header = json.loads(bytes(data[body - 8 - length : body - 8]))
    arrays = {
        name: np.frombuffer(data, np.dtype(kind), size, offset)
        for name, (offset, kind, size) in header["arrays"].items()
    }
    ids = pa.LargeStringArray.from_buffers(
        len(arrays["item_texts"]), pa.py_buffer(arrays["id_offsets"]), pa.py_buffer(arrays["id_data"])
    )
    return BenchmarkIndex(
        digest=path.stem,
        names=tuple(header["names"]),
        item_benchmarks=arrays["item_benchmarks"],
        item_texts=arrays["item_texts"],
        item_ids=ids,
        texts=Texts(*(arrays[f"texts.{name}"] for name in Texts._fields)),
        words=_loaded_grams(arrays, "words"),
        long_words=_loaded_grams(arrays, "long_words"),
        tokens=_loaded_grams(arrays, "tokens"),
        long_numbers=arrays["long_numbers"],
        decoys=len(arrays["source_high"]),
        sources=(arrays["source_high"], arrays["source_low"]),
        rows=tuple(header["rows"]),
        bad=tuple(header["bad"]),
        remarks=tuple(header["remarks"]),
    )


def _loaded_grams(arrays: dict[str, np.ndarray], name: str) -> Grams:
    def part(field: str) -> np.ndarray:
        return arrays[f"{name}.{field}"]

    shifts = part("directory_shift")[0], part("filter_shift")[0]
    return Grams(part("keys"), part("directory"), part("filter"), *shifts, part("starts"), part("posted"))
