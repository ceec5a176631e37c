"""Documents by id and content, with a sketch of each text: what a later run needs to follow them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.text.hashing import hash_documents
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.pipelines.tokens.tokenization import text_buffers
from corpus_audit.schemas.spec.audit import AuditSpec

NO_ID = 0
"""Identity of a document without an id."""

IDENTITIES = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("identity", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
        ("sketch", ColumnKind.BYTES),
        ("id", ColumnKind.BYTES),
    ),
    incompressible=frozenset(("high", "low", "identity", "sketch")),
)


class Identities(Measure):
    """One row for each id, text and domain: drift follows documents by id, and by sketch where the id changed."""

    name = "identities"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain and the id."""
        return {"domain": domain_settings(spec.document)["domain"], "id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """One table of documents."""
        return {"identities": IDENTITIES}

    def count(self, block: Block) -> Partial:
        """List the documents of one block."""
        rows = CountTable(
            IDENTITIES,
            {
                "high": block.high,
                "low": block.low,
                "identity": identity_hashes(block.document_ids),
                "domain": block.domains,
                "documents": np.ones(len(block), np.int64),
                "tokens": block.tokens,
                "sketch": _rows_of_bytes(block.sketches),
                "id": block.document_ids,
            },
        )
        return Partial(block.names, {"identities": merging.merge([rows])})


def identity_hashes(ids: pa.LargeBinaryArray) -> np.ndarray:
    """uint64 [D], the first 64 bits of BLAKE2b-128 of each id's bytes; `NO_ID` where the id is empty."""
    offsets, data = text_buffers(ids)
    high, _ = hash_documents(data, offsets)
    # One id in 2^64 has the hash that stands for none; it takes the next.
    return np.where(np.diff(offsets) == 0, np.uint64(NO_ID), np.maximum(high, np.uint64(NO_ID + 1)))


def _rows_of_bytes(values: np.ndarray) -> pa.LargeBinaryArray:
    """Each row of uint8 [D, W] as bytes."""
    offsets = np.arange(len(values) + 1, dtype=np.int64) * values.shape[1]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values).tobytes())]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(values), buffers)
