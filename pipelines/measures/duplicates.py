"""Exact duplicates: each distinct text's content hash by domain, with its documents and tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial
from corpus_audit.schemas.spec.audit import AuditSpec

HASHES = TableSpec(
    (
        ("high", ColumnKind.KEY),
        ("low", ColumnKind.KEY),
        ("domain", ColumnKind.DOMAIN),
        ("documents", ColumnKind.SUM),
        ("tokens", ColumnKind.FIRST),
    )
)


class Duplicates(Measure):
    """Sorted runs of (content hash, domain): exact duplicates within and across domains, and turnover later on."""

    name = "duplicates"
    version = 1

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain."""
        return {"domain": domain_settings(spec.document)["domain"]}

    def tables(self) -> dict[str, TableSpec]:
        """One table of hashes."""
        return {"hashes": HASHES}

    def count(self, block: Block) -> Partial:
        """Count one block."""
        rows = CountTable(
            HASHES,
            {
                "high": block.high,
                "low": block.low,
                "domain": block.domains,
                "documents": np.ones(len(block), np.int64),
                "tokens": block.tokens,
            },
        )
        return Partial(block.names, {"hashes": merging.merge([rows])})


class DuplicateTotals:
    """Folds merged chunks of `HASHES` into totals by domain; a text's rows never straddle two chunks.

    Attributes:
        documents, distinct, across_documents, tokens, distinct_tokens, across_tokens: int64 [domains].
        overall_distinct, overall_distinct_tokens: distinct texts of the corpus.
    """

    def __init__(self, domains: int) -> None:
        self.documents = np.zeros(domains, np.int64)
        self.distinct = np.zeros(domains, np.int64)
        self.across_documents = np.zeros(domains, np.int64)
        self.tokens = np.zeros(domains, np.int64)
        self.distinct_tokens = np.zeros(domains, np.int64)
        self.across_tokens = np.zeros(domains, np.int64)
        self.overall_distinct = 0
        self.overall_distinct_tokens = 0

    def add(self, chunk: CountTable) -> None:
        """Add a merged chunk."""
        if not len(chunk):
            return
        high, low = chunk.columns["high"], chunk.columns["low"]
        domain, documents = chunk.columns["domain"], chunk.columns["documents"]
        each = chunk.columns["tokens"]
        new = np.ones(len(chunk), bool)
        new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        starts = np.flatnonzero(new)
        sizes = np.diff(starts, append=len(chunk))
        across = np.repeat(sizes > 1, sizes)
        all_tokens = documents * each
        for target, values in (
            (self.documents, documents),
            (self.distinct, np.ones(len(chunk), np.int64)),
            (self.across_documents, documents * across),
            (self.tokens, all_tokens),
            (self.distinct_tokens, each),
            (self.across_tokens, all_tokens * across),
        ):
            np.add.at(target, domain, values)
        self.overall_distinct += len(starts)
        self.overall_distinct_tokens += int(each[starts].sum())
