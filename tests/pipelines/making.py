"""Batches and blocks from the tests' own documents, without a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.blocks import BlockBuilder
from corpus_audit.pipelines.measures.base import Block
from corpus_audit.pipelines.reading.documents import DocumentBatch
from corpus_audit.pipelines.tokenization import Tokenization
from corpus_audit.pipelines.verification import Verifier
from corpus_audit.schemas.tables import NO_VALUE
from tests.oracle import Document

Numbered = tuple[int, Document]
"""A document and its row within the split."""


def batch_of(part: Sequence[Numbered], clustered: bool = True) -> DocumentBatch:
    """The batch that a reader would hand over."""
    documents = [document for _, document in part]

    def facet(name: str) -> pa.DictionaryArray:
        values = [document.facets.get(name) or NO_VALUE for document in documents]
        return pa.array(values, pa.string()).dictionary_encode()

    return DocumentBatch(
        rows=np.array([row for row, _ in part], np.int64),
        text=pa.array([document.text for document in documents], pa.large_string()),
        ids=pa.array([document.id for document in documents], pa.large_string()),
        facets={name: facet(name) for name in documents[0].facets},
        cluster=pa.array([d.cluster or NO_VALUE for d in documents], pa.large_string()) if clustered else None,
    )


def pieces(part: Sequence[Numbered], cuts: Iterable[int]) -> list[Sequence[Numbered]]:
    """The part cut at positions (taken modulo its length), without empty pieces."""
    bounds = sorted({0, len(part), *(cut % (len(part) + 1) for cut in cuts)})
    return [part[start:stop] for start, stop in itertools.pairwise(bounds)]


def block_of(
    tokenization: Tokenization,
    part: Sequence[Numbered],
    cuts: Iterable[int] = (),
    *,
    clustered: bool = True,
    excerpts: bool = True,
    split: int = 0,
) -> Block:
    """One block, added in batches that end at the cuts; its ids stay valid."""
    builder = BlockBuilder(split, 99 + split, tokenization, Verifier(tokenization, 0, "shard"), excerpts)
    for piece in pieces(part, cuts):
        builder.add(batch_of(piece, clustered))
    block = builder.take()
    assert block is not None
    return replace(block, ids=block.ids.copy())
