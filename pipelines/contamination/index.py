"""Builds the index of the benchmarks, or of a run's decoys, in an immutable file that scans map into memory.

The file is named by a digest of all that its content depends on (items, tokenizer, normalisation, parameters), so it
is built once and a partial's key can refer to it. Decoys have an index of their own: they differ between snapshots, and
counts of the benchmarks must not depend on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.contamination.benchmarks.items import Benchmark, Item, benchmarks_digest
from corpus_audit.pipelines.contamination.benchmarks.normal_form import canonical
from corpus_audit.pipelines.contamination.benchmarks.normalisation import NORMALISATION, tables
from corpus_audit.pipelines.contamination.decoys import Decoy
from corpus_audit.pipelines.contamination.grams import (
    IDF_UNIT,
    SHARED_PASSAGE,
    SHARED_TEXTS,
    WINDOW,
    Posting,
    build_posting,
    idf_weights,
)
from corpus_audit.pipelines.contamination.index_file import GRAM_KINDS, write_index_file
from corpus_audit.pipelines.kernels.contamination.scan import (
    LONG_WORD_GRAM,
    TOKEN_GRAM,
    TOKENS_A_BLOCK,
    WORD_GRAM,
    Texts,
)
from corpus_audit.pipelines.kernels.text.normalised_words import hash_texts, hash_tokens
from corpus_audit.pipelines.tokens.tokenization import Tokenization, text_buffers
from corpus_audit.schemas.spec.benchmarks import DECOYS

INDEX_VERSION = 5
"""Incremented whenever the same items would give another index, or the same index other hits."""


def index_digest(benchmarks: Sequence[Benchmark], decoys: Sequence[Decoy], tokenizer: str) -> str:
    """The name of the index of these benchmarks, or of these decoys; ``tokenizer`` identifies the tokenizer and the way
    it counts."""
    parts = {
        "version": INDEX_VERSION,
        "normalisation": NORMALISATION,
        "grams": [WORD_GRAM, LONG_WORD_GRAM, TOKEN_GRAM, SHARED_TEXTS, SHARED_PASSAGE, WINDOW, IDF_UNIT],
        "tokenizer": tokenizer,
        "benchmarks": benchmarks_digest(benchmarks),
        "decoys": [[f"{decoy.high:016x}{decoy.low:016x}", decoy.text] for decoy in decoys],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def build_index(benchmarks: Sequence[Benchmark], tokenization: Tokenization, folder: Path) -> Path:
    """The path of the benchmarks' index in ``folder``, which is built unless it exists.

    Args:
        benchmarks: the benchmarks to search for.
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
    """The path of the decoys' index in ``folder``; separate from the benchmarks' index, which does not depend on them.

    Args:
        benchmarks: their texts determine the IDF weights of the decoys' n-grams under rule decon_idf.
        decoys: in ascending order of their documents' hashes; see `decoys.DecoyPicker`.
        tokenization: the audit's tokenizer.
        folder: where indexes are kept.
    """
    path = folder / f"{index_digest(benchmarks, decoys, tokenization.identity)}.index"
    if path.exists():
        return path
    texts, _ = _distinct(benchmarks)
    items = [Item(f"{decoy.high:016x}{decoy.low:016x}", canonical(decoy.text)) for decoy in decoys]
    all_words = _words([*texts, *items])
    decoy_start = all_words[1][len(texts)]
    weights = idf_weights(*all_words, len(texts))[decoy_start:]
    words = all_words[0][decoy_start:], all_words[1][len(texts) :] - decoy_start, all_words[2][len(texts) :]
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
    for name, posting in zip(GRAM_KINDS, (words, long_words, tokens), strict=True):
        arrays |= {f"{name}.{part}": np.asarray(array) for part, array in posting.grams._asdict().items()}
    write_index_file(path, arrays, {"names": [name for name, _ in groups], **header})


def _grams(
    distinct: Sequence[Item],
    hashes: np.ndarray,
    starts: np.ndarray,
    prompts: np.ndarray,
    weights: np.ndarray,
    tokenization: Tokenization,
) -> tuple[Texts, Posting, Posting, Posting]:
    encoded = tokenization.encode(pa.array([item.text for item in distinct], pa.large_string()))
    words = build_posting(hashes, starts, WORD_GRAM, by_position=False)
    long_words = build_posting(hashes, starts, LONG_WORD_GRAM, by_position=False)
    tokens = build_posting(hash_tokens(encoded.ids), encoded.offsets, TOKEN_GRAM, by_position=True)
    blocks = np.searchsorted(encoded.offsets, np.arange(0, len(encoded.ids), TOKENS_A_BLOCK), side="right") - 1
    positions = np.flatnonzero(tokens.numbers >= 0)[::-1]
    first_positions = np.zeros(int(tokens.numbers.max(initial=-1)) + 1, np.int32)
    first_positions[tokens.numbers[positions]] = (
        positions  # reversed, so that the first position of each is written last
    )
    texts = Texts(
        starts, prompts, hashes, words.numbers, weights, encoded.offsets, encoded.ids, tokens.numbers,
        blocks.astype(np.int32), first_positions,
    )  # fmt: skip
    return texts, words, long_words, tokens
