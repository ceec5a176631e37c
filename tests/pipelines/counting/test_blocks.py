"""Batches into blocks: nothing depends on where a batch ends, and nothing is lost."""

from __future__ import annotations

import threading
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.counting import blocks
from corpus_audit.pipelines.counting.blocks import BlockBuilder
from corpus_audit.pipelines.kernels.text.hashing import digests
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.measures.samples import EXCERPT_CHARACTERS
from corpus_audit.pipelines.reading.documents.batches import DocumentBatch
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.pipelines.tokens.verification import Verifier
from tests import corpora, oracle
from tests.oracle import Document
from tests.pipelines.making import Numbered, batch_of, block_of


def rows_of(block: Block) -> list[dict[str, Any]]:
    """Every document of a block as plain values."""
    ids = [block.ids[a:b].tolist() for a, b in pairwise(block.offsets.tolist())]
    hashes = [row.tobytes() for row in digests(block.high, block.low)]
    clusters = [None] * len(block) if block.clusters is None else [r.tobytes() for r in digests(*block.clusters)]
    facets = {name: column.values.take(pa.array(column.codes)).to_pylist() for name, column in block.facets.items()}
    excerpts = [None] * len(block) if block.excerpts is None else block.excerpts.to_pylist()
    return [
        {
            "row": int(block.rows[d]),
            "sizes": (int(block.bytes[d]), int(block.characters[d]), int(block.words[d]), int(block.tokens[d])),
            "ids": ids[d],
            "hash": hashes[d],
            "domain": block.names[block.domains[d]],
            "facets": {name: values[d] for name, values in facets.items()},
            "cluster": clusters[d],
            "alone": bool(block.alone[d]),
            "id": block.document_ids[d].as_py(),
            "excerpt": excerpts[d],
        }
        for d in range(len(block))
    ]


def expected(tokenization: Tokenization, part: list[Numbered]) -> list[dict[str, Any]]:
    encoded = tokenization.encode_reference([document.text for _, document in part])
    ids = [encoded.ids[a:b].tolist() for a, b in pairwise(encoded.offsets.tolist())]
    return [
        {
            "row": row,
            "sizes": (len(d.text.encode()), len(d.text), oracle.words(d.text), len(own)),
            "ids": own,
            "hash": blake2b(d.text.encode(), digest_size=16).digest(),
            "domain": d.facets["domain"] or "(none)",
            "facets": {name: value or "(none)" for name, value in d.facets.items()},
            "cluster": blake2b((d.cluster or d.text).encode(), digest_size=16).digest(),
            "alone": not d.cluster,
            "id": (d.id or "").encode(),
            "excerpt": d.text[:EXCERPT_CHARACTERS].encode(),
        }
        for (row, d), own in zip(part, ids, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(documents=corpora.documents(max_size=25), cuts=st.lists(st.integers(0, 25), max_size=5))
def test_any_batching_gives_the_same_block(
    tokenization: Tokenization, documents: list[Document], cuts: list[int]
) -> None:
    part = [(7 * number, document) for number, document in enumerate(documents)]
    block = block_of(tokenization, part, cuts)
    assert rows_of(block) == expected(tokenization, part)
    assert list(block.names) == sorted({d.facets["domain"] or "(none)" for d in documents}, key=str.encode)
    for column in block.facets.values():
        values = column.values.to_pylist()
        assert len(set(values)) == len(values)
        assert sorted(set(column.codes.tolist())) == list(range(len(values)))
    groups = [blake2b((d.cluster or d.text).encode(), digest_size=16).digest()[0] % 64 for d in documents]
    assert block.groups.tolist() == groups
    assert block.vocabulary == tokenization.file.vocabulary


def test_without_clusters_groups_follow_the_content(tokenization: Tokenization) -> None:
    part = [(n, Document(f"text {n}", str(n))) for n in range(50)]
    block = block_of(tokenization, part, [9], clustered=False, excerpts=False)
    assert block.clusters is None
    assert block.excerpts is None
    assert block.groups.tolist() == [blake2b(d.text.encode(), digest_size=16).digest()[0] % 64 for _, d in part]


def test_a_facet_of_many_values_in_dictionaries_of_their_own(tokenization: Tokenization) -> None:
    part = [(n, Document("x", facets={"domain": "all", "host": f"host-{n % 3000}.example"})) for n in range(5000)]
    block = block_of(tokenization, part, range(0, 5000, 400))
    host = block.facets["host"]
    assert len(host.values) == 3000
    assert host.values.take(pa.array(host.codes)).to_pylist() == [d.facets["host"] for _, d in part]


def test_dictionaries_with_unused_and_repeated_values(tokenization: Tokenization) -> None:
    builder = BlockBuilder(0, 0, tokenization, Verifier(tokenization, 0, "s"), False)
    facet = pa.DictionaryArray.from_arrays(pa.array([2, 0, 3], pa.int32()), pa.array(["a", "unused", "b", "a"]))
    text = pa.array(["1", "2", "3"], pa.large_string())
    builder.add(DocumentBatch(np.arange(3), text, None, {"domain": facet}, None))
    block = builder.take()
    assert block is not None
    assert block.names == ("a", "b")
    assert block.domains.tolist() == [1, 0, 0]
    assert block.document_ids.to_pylist() == [b""] * 3


def test_missing_ids_are_empty(tokenization: Tokenization) -> None:
    part = [(0, Document("x", None)), (1, Document("y", "id")), (2, Document("z", ""))]
    assert block_of(tokenization, part, [1]).document_ids.to_pylist() == [b"", b"id", b""]


def test_blocks_follow_one_another_and_end_with_nothing(tokenization: Tokenization) -> None:
    verifier = Verifier(tokenization, 16, "s")
    builder = BlockBuilder(3, 77, tokenization, verifier, True)
    assert builder.take() is None
    parts = [[(n, document)] for n, document in enumerate(corpora.odd_documents(30))]
    rows = []
    for part in parts:
        assert builder.add(batch_of(part)) == len(part[0][1].text.encode())
        block = builder.take()
        assert block is not None
        assert (block.split, block.split_key) == (3, 77)
        rows += rows_of(block)
    assert rows == expected(tokenization, [row for part in parts for row in part])
    assert builder.take() is None
    assert builder.nul_documents == sum("\0" in part[0][1].text for part in parts) > 0
    verifier.finish()
    assert verifier.documents == 16


def test_a_block_of_empty_documents_before_any_token(tokenization: Tokenization) -> None:
    """There is no buffer of ids yet."""
    blocks.release_buffers()
    block = block_of(tokenization, [(n, Document("", str(n))) for n in range(3)])
    assert (len(block), len(block.ids), block.offsets.tolist()) == (3, 0, [0, 0, 0, 0])


def test_ids_survive_a_growing_buffer(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_SPARE_IDS", 1)
    blocks.release_buffers()
    part = [(n, Document(f"some text {n} " * n)) for n in range(40)]
    for _ in range(2):  # the second block finds the first one's buffer
        block = block_of(tokenization, part, range(40))
        assert [row["ids"] for row in rows_of(block)] == [row["ids"] for row in expected(tokenization, part)]


def test_threads_have_buffers_of_their_own(tokenization: Tokenization) -> None:
    parts = [[(n, Document(f"thread {turn} text {n}")) for n in range(60)] for turn in range(4)]
    right: list[bool] = []

    def work(part: list[Numbered]) -> None:
        ids = [row["ids"] for row in expected(tokenization, part)]
        for _ in range(5):
            block = block_of(tokenization, part, range(0, 60, 7))
            right.append([row["ids"] for row in rows_of(block)] == ids)

    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 20


def test_when_a_block_is_full(tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(blocks, "BLOCK_DOCUMENTS", 5)
    monkeypatch.setattr(blocks, "MANY_DOMAINS", 2)
    monkeypatch.setattr(blocks, "MANY_DOMAINS_BYTES", 10)

    def full(texts: list[str], domains: int) -> bool:
        builder = BlockBuilder(0, 0, tokenization, Verifier(tokenization, 0, "s"), False)
        builder.add(batch_of([(n, Document(t, facets={"domain": str(n % domains)})) for n, t in enumerate(texts)]))
        return builder.full

    assert [full(["x" * 99], 1), full(["x" * 100], 1)] == [False, True]
    assert [full(["x"] * 4, 1), full(["x"] * 5, 1)] == [False, True]
    assert [full(["xxx"] * 3, 3), full(["xxxx"] * 3, 3), full(["xxxx"] * 3, 2)] == [False, True, False]
