"""Small models, windows and indexes for tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.build.tables import documents_table
from corpus_audit.embeddings.index.files import IndexFacts, write_index
from corpus_audit.embeddings.index.packed import UNIT_AXIS, write_packed
from corpus_audit.embeddings.index.vectors import WindowVectors, save_codes
from corpus_audit.embeddings.scan.accumulator import (
    ActivationAccumulator,
    BatchRows,
    ListSizes,
    highest_of,
    in_histogram,
    lowest_of,
)
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key

SIZES = ListSizes(top=4, domain=2, minima=3, samples=2)
POINTS = ("mlp.0", "resid.1")
MOMENT = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Spaces:
    """A tokenizer of words: ids are made of the word, 1 to 997."""

    class _Encoding:
        def __init__(self, text: str) -> None:
            self.ids, self.offsets, at = [], [], 0
            for word in text.split(" "):
                self.ids.append(1 + sum(map(ord, word)) % 997)
                self.offsets.append((at, at + len(word)))
                at += len(word) + 1

    def encode_batch(self, texts, add_special_tokens):
        assert add_special_tokens is False
        return [self._Encoding(text) for text in texts]


PLAN = WindowPlan(
    window=8, overlap=0, causal=False, prefix=(998,), suffix=(999,), special=(998, 999), tokenizer="ab" * 32
)


def windows_from(texts, plan=PLAN):
    """Windows of texts, and the keys of the documents."""
    keys = [document_key(str(i), text) for i, text in enumerate(texts)]
    return cut(texts, keys, Spaces(), plan), keys


def values_of(windows, rows, seed=0):
    """Activations that depend on unit and token alone, float32 [T, R]: a window's values are its own."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(1000, rows)).astype(np.float32)
    return table[windows.tokens % 1000]


def add(state, batch, values):
    """Everything of a batch's activations [B, L, U] into an accumulator."""
    state.count_windows(batch)
    state.add_highest(batch, 0, highest_of(values, batch.counted), "mlp.0")
    selected = in_histogram(batch)
    state.add_histogram(0, values[selected], batch.counted[selected])
    state.add_lowest(batch, 0, lowest_of(values, batch.counted), "mlp.0")


def state_of(windows, rows, names, of_document, seed=0, sizes=SIZES, selected=None):
    """An accumulator that has seen windows, one a batch, in any order."""
    state = ActivationAccumulator(rows, sizes, np.full(rows, -np.inf, np.float32))
    values = values_of(windows, rows, seed)
    for i in range(len(windows)) if selected is None else selected:
        part = slice(windows.offsets[i], windows.offsets[i + 1])
        domain = state.positions_of([names[of_document[windows.document[i]]]])
        batch = BatchRows(
            windows.ids[i : i + 1, 0],
            domain,
            np.array([i % 16]),
            windows.counted[part][None],
            windows.contexts[part][None],
        )
        add(state, batch, values[part][None])
    return state


def vectors_of(windows, width=8):
    """Vectors of windows that depend on their tokens alone: a random one a token, those of a text near each other."""
    token = np.random.default_rng(3).normal(size=(1000, width)).astype(np.float32)
    pooled = []
    for i in range(len(windows)):
        part = slice(windows.offsets[i], windows.offsets[i + 1])
        counted_tokens = np.where(windows.counted[part])[0]
        each = token[windows.tokens[part][counted_tokens] % 1000]
        best = int(np.linalg.norm(each, axis=1).argmax())
        pooled.append((each.mean(axis=0), each[best], counted_tokens[best]))
    mean, peak, position = zip(*pooled, strict=True)
    return WindowVectors.of(
        windows.ids[:, 0].copy(), np.stack(mean), np.stack(peak), np.array(position).astype(np.uint16)
    )


def replace_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Put another array into an index, with its size in index.json, which a reader checks."""
    facts = json.loads((folder / "index.json").read_text())
    if name in UNIT_AXIS:
        facts["packed"][name] = write_packed(folder / "arrays", name, array)
    else:
        np.save(folder / "arrays" / f"{name}.npy", array)
    for path in (folder / "arrays").glob(f"{name}.*"):
        facts["files"][f"arrays/{path.name}"]["bytes"] = path.stat().st_size
    (folder / "index.json").write_text(json.dumps(facts))


def write_small_index(
    output: Path, documents: int = 60, rows: int = 12, moment=MOMENT, seed=5, snapshot="cd" * 32, points=POINTS
):
    """An index over invented documents; returns its folder, the windows, their values and the documents' texts."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(200)]
    texts = [" ".join(rng.choice(words, rng.integers(3, 30))) for _ in range(documents)]
    windows, keys = windows_from(texts)
    of_document = [i % 2 for i in range(documents)]
    state = state_of(windows, rows, ["books", "web"], of_document)
    np.add.at(state.documents, state.positions_of([("books", "web")[d] for d in of_document]), 1)
    raw = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
    table = windows.table(np.arange(len(windows)), raw)
    table = table.sort_by("window").combine_chunks()
    members = pa.table(
        {
            "document": pa.array(keys, pa.binary(16)),
            "row": pa.array(np.arange(documents), pa.int64()),
            "domain": pa.array([("books", "web")[d] for d in of_document]),
            "id": pa.array([f"doc-{i}" for i in range(documents)]),
            "shard": pa.array(["a.jsonl"] * documents),
            "split": pa.array([0] * documents, pa.int32()),
        }
    ).sort_by("document")
    half = rows // 2
    indices = {points[0]: np.arange(half), points[1]: np.arange(rows - half)}
    counts = {
        "documents": documents,
        "dead_letters": 0,
        "rows": documents,
        "tokens": int(state.tokens.sum()),
        "windows": len(windows),
    }
    sizes = {"k": 4, "domain_k": 2, "minima": 3, "samples": 2}
    vectors = WindowVectors.joined([vectors_of(windows)])
    vector_facts = {"block": 1, "one_in": 1, "width": 8, "windows": len(vectors)}
    model = {"name": "words", "digest": "01" * 32, "tokenizer": "ab" * 32}
    known = ("small", snapshot, model, PLAN.digest, 8, sizes, "ef" * 32, counts, tuple(state.domains))
    facts = IndexFacts(*known, vectors=vector_facts)
    tables = {
        "windows": table,
        "documents": documents_table(members, facts.snapshot),
    }
    parts = output / ".vectors"
    parts.mkdir(parents=True)
    vectors.save(parts)
    save_codes(vectors, parts)
    folder, _ = write_index(output, moment, facts, state.arrays(), indices, tables, parts)
    parts.rmdir()
    return folder, windows, values_of(windows, rows), texts
