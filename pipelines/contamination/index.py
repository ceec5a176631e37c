"""The benchmark index: an immutable file that scans map into memory.

The file is named by a digest of all that its content depends on (items, tokenizer, normalisation, parameters), so that
it is built once and a partial profile can name it in its key. Decoys have an index of their own: they are other ones in
every snapshot, and what was counted for the benchmarks must not depend on them.

Layout: a magic line; the arrays, 64-byte aligned; a JSON header that says where they are; the header's length (8
bytes); the SHA-256 of all that precedes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item, digest_of
from corpus_audit.pipelines.contamination.benchmarks.normal_form import canonical
from corpus_audit.pipelines.contamination.benchmarks.normalisation import NORMALISATION, tables
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.contamination.grams import (
    IDF_UNIT,
    SHARED_PASSAGE,
    SHARED_TEXTS,
    WINDOW,
    Posting,
    idf_weights,
    post,
)
from corpus_audit.pipelines.kernels.contamination.scan import (
    LONG_WORD_GRAM,
    PLACES_A_BLOCK,
    TOKEN_GRAM,
    WORD_GRAM,
    Grams,
    Texts,
)
from corpus_audit.pipelines.kernels.text.normalised_words import hash_texts, hash_tokens
from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.spec.benchmarks import DECOYS

INDEX_VERSION = 5
"""Raised whenever the same items would give another index or the same index other hits."""

_MAGIC = b"corpus-audit benchmark index 3\n"
_ALIGNED = 64
_GRAMS = ("words", "long_words", "tokens")


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
        names: of the benchmarks, or `DECOYS` alone.
        item_benchmarks, item_texts: int32 [I]; items of one benchmark stand together.
        item_ids: pa.LargeStringArray [I].
        texts: the texts' words and tokens.
        words, long_words, tokens: their 8-grams and 13-grams of words and 10-grams of tokens.
        long_numbers: int32 [W], number of the 13-gram that begins at a word, or -1.
        decoys: how many of the texts are decoys, all of them or none.
        sources: (high, low), uint64 [decoys] each: content hashes of the decoys' documents, ascending.
        rows, bad, remarks: rows, bad rows by reason, and what is said of the items of each benchmark.
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
        """Where n-grams of each length begin in one numbering of all."""
        first, second = len(self.words.keys), len(self.words.keys) + len(self.long_words.keys)
        return GramStarts(0, first, second, second + len(self.tokens.keys))


def index_digest(benchmarks: Sequence[Benchmark], decoys: Sequence[Decoy], tokenizer: str) -> str:
    """The name of the index of these benchmarks, or of these decoys; ``tokenizer`` identifies the tokenizer and the way
    it counts."""
    parts = {
        "version": INDEX_VERSION,
        "normalisation": NORMALISATION,
        "grams": [WORD_GRAM, LONG_WORD_GRAM, TOKEN_GRAM, SHARED_TEXTS, SHARED_PASSAGE, WINDOW, IDF_UNIT],
        "tokenizer": tokenizer,
        "benchmarks": digest_of(benchmarks),
        "decoys": [[f"{decoy.high:016x}{decoy.low:016x}", decoy.text] for decoy in decoys],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def build_index(benchmarks: Sequence[Benchmark], tokenization: Tokenization, folder: Path) -> Path:
    """The file of the benchmarks' index in ``folder``; it is only built if it is not there already.

    Args:
        benchmarks: what is looked for.
        tokenization: the audit's tokenizer.
        folder: where indexes are kept.
    """
    path = folder / f"{index_digest(benchmarks, (), tokenization.identity)}.index"
    if path.exists():
        return path
    distinct, item_texts = _distinct(benchmarks)
    groups = [(b.name, list(b.items)) for b in benchmarks]
    header = {
        "rows": [b.rows for b in benchmarks],
        "bad": [dict(sorted(b.bad.items())) for b in benchmarks],
        "remarks": ["; ".join(b.remarks) for b in benchmarks],
    }
    words = _words(distinct)
    weights = idf_weights(*words, len(distinct))
    _write_index(path, groups, item_texts, distinct, (*words, weights), (), tokenization, header)
    return path


def build_decoy_index(
    benchmarks: Sequence[Benchmark], decoys: Sequence[Decoy], tokenization: Tokenization, folder: Path
) -> Path:
    """The file of the decoys' index in ``folder``; apart from that of the benchmarks, which does not change with them.

    Args:
        benchmarks: whose texts say what weight a decoy's n-grams have under rule decon_idf.
        decoys: in ascending order of their documents' hashes; see `decoys.DecoyPicker`.
        tokenization: the audit's tokenizer.
        folder: where indexes are kept.
    """
    path = folder / f"{index_digest(benchmarks, decoys, tokenization.identity)}.index"
    if path.exists():
        return path
    texts, _ = _distinct(benchmarks)
    items = [Item(f"{decoy.high:016x}{decoy.low:016x}", canonical(decoy.text)) for decoy in decoys]
    both = _words([*texts, *items])
    first = both[1][len(texts)]
    weights = idf_weights(*both, len(texts))[first:]
    words = both[0][first:], both[1][len(texts) :] - first, both[2][len(texts) :]
    header = {"rows": [len(decoys)], "bad": [{}], "remarks": [""]}
    numbers = list(range(len(items)))
    _write_index(path, [(DECOYS, items)], numbers, items, (*words, weights), decoys, tokenization, header)
    return path


def _distinct(benchmarks: Sequence[Benchmark]) -> tuple[list[Item], list[int]]:
    """The distinct texts of the benchmarks in Normalization Form C, and the text of each item."""
    text_of: dict[tuple[str, str], int] = {}
    distinct: list[Item] = []
    item_texts: list[int] = []
    for benchmark in benchmarks:
        for item in benchmark.items:
            prompt, answer = canonical(item.prompt), canonical(item.answer)
            number = text_of.setdefault((prompt, answer), len(distinct))
            if number == len(distinct):
                distinct.append(Item(item.id, prompt, answer))
            item_texts.append(number)
    return distinct, item_texts


def _words(texts: Sequence[Item]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hashes, starts, prompts) of texts; see `Texts`."""
    parts = pa.array([part for item in texts for part in (item.prompt, item.answer)], pa.large_string())
    offsets, data = text_buffers(parts)
    hashes, stops = hash_texts(data, offsets, *tables())
    starts = stops[::2].copy()
    return hashes, starts, stops[1::2] - starts[:-1]


def _write_index(
    path: Path,
    groups: Sequence[tuple[str, list[Item]]],
    item_texts: list[int],
    distinct: Sequence[Item],
    words_of: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    decoys: Sequence[Decoy],
    tokenization: Tokenization,
    header: dict[str, Any],
) -> None:
    texts, words, long_words, tokens = _grams(distinct, *words_of, tokenization)
    ids = pa.array([item.id for _, items in groups for item in items], pa.large_string())
    id_offsets, id_data = text_buffers(ids)
    arrays: dict[str, np.ndarray] = {
        "item_benchmarks": np.repeat(np.arange(len(groups), dtype=np.int32), [len(items) for _, items in groups]),
        "item_texts": np.array(item_texts, np.int32),
        "id_offsets": id_offsets,
        "id_data": id_data,
        "long_numbers": long_words.numbers,
        "source_high": np.array([decoy.high for decoy in decoys], np.uint64),
        "source_low": np.array([decoy.low for decoy in decoys], np.uint64),
    }
    arrays |= {f"texts.{name}": array for name, array in texts._asdict().items()}
    for name, posting in zip(_GRAMS, (words, long_words, tokens), strict=True):
        arrays |= {f"{name}.{part}": np.asarray(array) for part, array in posting.grams._asdict().items()}
    _write(path, arrays, {"names": [name for name, _ in groups], **header})


def _grams(
    distinct: Sequence[Item],
    hashes: np.ndarray,
    starts: np.ndarray,
    prompts: np.ndarray,
    weights: np.ndarray,
    tokenization: Tokenization,
) -> tuple[Texts, Posting, Posting, Posting]:
    encoded = tokenization.encode(pa.array([item.text for item in distinct], pa.large_string()))
    words = post(hashes, starts, WORD_GRAM, places=False)
    long_words = post(hashes, starts, LONG_WORD_GRAM, places=False)
    tokens = post(hash_tokens(encoded.ids), encoded.offsets, TOKEN_GRAM, places=True)
    blocks = np.searchsorted(encoded.offsets, np.arange(0, len(encoded.ids), PLACES_A_BLOCK), side="right") - 1
    places = np.flatnonzero(tokens.numbers >= 0)[::-1]
    homes = np.zeros(int(tokens.numbers.max(initial=-1)) + 1, np.int32)
    homes[tokens.numbers[places]] = places  # of several the last one written stays: the first place
    texts = Texts(
        starts, prompts, hashes, words.numbers, weights, encoded.offsets, encoded.ids, tokens.numbers,
        blocks.astype(np.int32), homes,
    )  # fmt: skip
    return texts, words, long_words, tokens


def _write(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    digest = hashlib.sha256()
    places: dict[str, list[Any]] = {}
    at = 0
    with AtomicFile(path) as file:

        def put(data: Any) -> None:
            nonlocal at
            digest.update(data)
            file.write(data)
            at += len(data)

        put(_MAGIC)
        for name, array in arrays.items():
            put(bytes(-at % _ALIGNED))
            places[name] = [at, array.dtype.str, array.size]
            put(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        encoded = json.dumps(header | {"arrays": places}, sort_keys=True).encode()
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
        name: np.frombuffer(data, np.dtype(kind), size, at) for name, (at, kind, size) in header["arrays"].items()
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
