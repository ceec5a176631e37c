"""Samples of each domain: feature vectors and excerpts by content hash, and whole documents by the hash of their id."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.pipelines.kernels.counters import gather
from corpus_audit.pipelines.kernels.text import ngrams
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.measures.identities import NO_ID, identity_hashes
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

KEPT = 4_000
"""Distinct texts kept a domain."""

EXCERPT_CHARACTERS = 160  # two lines of a terminal: enough to recognise a text, too little to republish it

SAMPLES = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
        ("excerpt", ColumnKind.BYTES),
        ("buckets", ColumnKind.BYTES),
        ("counts", ColumnKind.BYTES),
    ),
    keep_per_domain=KEPT,
)


DOCUMENTS_KEPT = 1_000
"""Whole documents kept a domain: all of a domain of so many, or fewer."""

LONGEST = 2**15
"""Tokens of the longest document whose token ids are kept; a longer one is listed without them."""

DOCUMENTS = TableSpec(
    (
        ("domain", ColumnKind.DOMAIN),
        ("key", ColumnKind.KEY),
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("identity", ColumnKind.KEY),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
        ("ids", ColumnKind.BYTES),
    ),
    keep_per_domain=DOCUMENTS_KEPT,
    chunk_rows=256,
    compressed=False,
)
"""``ids`` are token ids, uint16 or uint32 little-endian, the narrower where every id of the tokenizer fits.

Not compressed: zstd would take a sixth of the time that counting a split takes, and save a third of the bytes."""


class Samples(Measure):
    """A bottom-k sample by content hash: uniform over distinct texts, the same for any sharding, nested in time.

    Hashed token n-gram vectors serve the classifier two-sample test and DSIR when the shards may be gone.
    """

    name = "samples"
    version = 2

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain and whether excerpts are kept."""
        return {"domain": domain_settings(spec.document)["domain"], "excerpts": spec.excerpts}

    def tables(self) -> dict[str, TableSpec]:
        """One table of samples."""
        return {"samples": SAMPLES}

    def count(self, block: Block) -> Partial:
        """Describe the documents of one block that may be among the lowest of their domain."""
        order = np.lexsort((block.low, block.high, block.domains))
        domain = block.domains[order]
        rank = np.arange(len(order)) - np.searchsorted(domain, domain, side="left")
        # Copies of one text share a place, so a domain's first KEPT documents may hold fewer texts; keep all copies of
        # those texts and let the merge count: rank among distinct texts.
        high, low = block.high[order], block.low[order]
        new = np.ones(len(order), bool)
        new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (domain[1:] != domain[:-1])
        texts = np.cumsum(new)
        rank = texts - texts[np.searchsorted(domain, domain, side="left")]
        selected = order[rank < KEPT]
        buckets, counts, stops = ngrams.feature_vectors(block.ids, block.offsets, selected)
        starts = np.concatenate(([0], stops)).astype(np.int64)
        if block.excerpts is None:
            excerpt = pa.array([b""] * len(selected), pa.large_binary())
        else:
            excerpt = block.excerpts.take(pa.array(selected))
        rows = CountTable(
            SAMPLES,
            {
                "domain": block.domains[selected],
                "high": block.high[selected],
                "low": block.low[selected],
                "documents": np.ones(len(selected), np.int64),
                "tokens": block.tokens[selected],
                "excerpt": excerpt,
                "buckets": _packed(buckets.astype("<i2"), starts),
                "counts": _packed(np.minimum(counts, 65_535).astype("<u2"), starts),
            },
        )
        return Partial(block.names, {"samples": merging.merge([rows])})


class DocumentSample(Measure):
    """A bottom-k sample by the hash of the id (of the content, without one), with every token of each document.

    Sampling by id coordinates snapshots (Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches", PODC): a
    document that was edited is in both samples, so that pairs can be compared, whatever its bytes.
    """

    name = "document_sample"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain and the id."""
        return {"domain": domain_settings(spec.document)["domain"], "id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """One table of documents."""
        return {"documents": DOCUMENTS}

    def count(self, block: Block) -> Partial:
        """Take the documents of one block that may be among the lowest of their domain."""
        identity = identity_hashes(block.document_ids)
        key = np.where(identity == NO_ID, block.high, identity)
        order = np.lexsort((identity, block.low, block.high, key, block.domains))
        columns = [column[order] for column in (block.domains, key, block.high, block.low, identity)]
        new = np.ones(len(order), bool)
        new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        first = np.flatnonzero(new)  # of the copies of a document, which are one row
        copies = np.diff(first, append=len(order))
        domain = columns[0][first]
        kept = np.arange(len(first)) - np.searchsorted(domain, domain, side="left") < DOCUMENTS_KEPT
        selected = order[first[kept]]
        tokens = block.tokens[selected]
        lengths = np.where(tokens > LONGEST, 0, tokens)
        offsets = np.zeros(len(selected) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        ids = gather.take_runs(block.ids, block.offsets[selected], offsets)
        table = CountTable(
            DOCUMENTS,
            {
                "domain": block.domains[selected],
                "key": key[selected],
                "high": block.high[selected],
                "low": block.low[selected],
                "identity": identity[selected],
                "documents": copies[kept],
                "tokens": tokens,
                "ids": _packed(ids.astype(f"<u{ids.itemsize}", copy=False), offsets),
            },
        )
        return Partial(block.names, {"documents": merging.merge([table])}, {"vocabulary": block.vocabulary})


def _packed(values: np.ndarray, starts: np.ndarray) -> pa.LargeBinaryArray:
    """Runs of the values as bytes, which are not copied."""
    offsets = starts * values.itemsize
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(values))]
    )
