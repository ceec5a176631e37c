"""Whole documents of each domain by the hash of their id, in tokens: what compares the versions of edited documents.

Of a domain, the profile of a corpus holds the 1,000 documents of lowest key. So would the partial of each of its
shards, and most of that would be of no use: with ten domains it is nearly all of the text. A split therefore leaves out
documents that are above 1,125 lower ones counted so far in the run (`key_limits`), and notes in table ``limits`` up to
which key it is complete. Merging keeps the lowest limit; with 3 documents a domain and limits by 4 lower ones::

    shard 1   keys  2  5  9          no limit
    shard 2   keys  3  8 | limit 8   11, 25 and 40 are left out: above 2, 3, 5, 8
    merged    keys  2  3  5          three keys are within the limit: complete

A limit comes from keys of the same corpus, so the merged sample is complete. It may not be where shards that one run
counted are later part of a corpus that lacks more than a tenth of the documents: `incomplete_domains` says so, and the
documents of those shards are counted again by `CompleteDocumentSample`. The published sample is the same in all cases.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from corpus_audit.pipelines.kernels.counters import gather
from corpus_audit.pipelines.measures.base import Block, Measure, domain_settings
from corpus_audit.pipelines.measures.identities import NO_ID, identity_hashes
from corpus_audit.pipelines.measures.key_limits import NO_LIMIT, KeyLimits, limits_of_run
from corpus_audit.pipelines.measures.samples import packed_runs
from corpus_audit.pipelines.storage import merging
from corpus_audit.pipelines.storage.count_tables import ColumnKind, CountTable, TableSpec
from corpus_audit.pipelines.storage.partials import Partial, PartialReader
from corpus_audit.schemas.spec.audit import AuditSpec

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

LIMITS = TableSpec((("domain", ColumnKind.DOMAIN), ("limit", ColumnKind.TIE)))
"""The highest key up to which a domain's rows are complete; the lowest of several. Without a row, all are."""


class DocumentSample(Measure):
    """A bottom-k sample by the hash of the id (of the content, without one), with every token of each document.

    Sampling by id coordinates snapshots (Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches", PODC): a
    document that was edited is in both samples, so that pairs can be compared, whatever its bytes.
    """

    name = "document_sample"
    version = 2

    def __init__(self, counted: KeyLimits | None = None) -> None:
        """A measure that leaves out what is above the keys in ``counted``; nothing without it."""
        self._counted = counted

    def in_run(self, run: str) -> Measure:
        """The measure that leaves out what this process knows cannot be in the sample of the run's corpus."""
        # An eighth more than are kept, so that a later corpus may lack a tenth of a domain's documents before shards
        # that this run counts have to be read again.
        return DocumentSample(limits_of_run(run, DOCUMENTS_KEPT + DOCUMENTS_KEPT // 8))

    def settings(self, spec: AuditSpec) -> dict[str, Any]:
        """The domain and the id."""
        return {"domain": domain_settings(spec.document)["domain"], "id": spec.document.id}

    def tables(self) -> dict[str, TableSpec]:
        """The documents, and up to which key they are complete."""
        return {"documents": DOCUMENTS, "limits": LIMITS}

    def merged_apart(self) -> tuple[tuple[str, ...], ...]:
        """Both tables in one file: the limits are a few bytes."""
        return (("documents", "limits"),)

    def count(self, block: Block) -> Partial:
        """Select the documents of one block that may be among the lowest of their domain."""
        identity = identity_hashes(block.document_ids)
        key = np.where(identity == NO_ID, block.high, identity)
        limit = np.full(len(block.names), NO_LIMIT)
        if self._counted is not None:
            limit = self._counted.limits(block.names, block.domains, key)
        within = np.flatnonzero(key <= limit[block.domains])
        order = within[merging.sort_order([c[within] for c in (block.domains, key, block.high, block.low, identity)])]
        columns = [column[order] for column in (block.domains, key, block.high, block.low, identity)]
        new = np.ones(len(order), bool)
        new[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
        first = np.flatnonzero(new)  # of the copies of a document, which are one row
        copies = np.diff(first, append=len(order))
        domain = columns[0][first]
        kept = np.arange(len(first)) - np.searchsorted(domain, domain, side="left") < DOCUMENTS_KEPT
        selected = order[first[kept]]
        every = np.bincount(block.domains, minlength=len(limit))
        left_out = np.bincount(block.domains[within], minlength=len(limit)) < every
        # Where as many remain as are kept, they are the lowest of the block.
        limited = np.flatnonzero(left_out & (np.bincount(domain, minlength=len(limit)) < DOCUMENTS_KEPT))
        limits = CountTable(LIMITS, {"domain": limited, "limit": limit[limited]})
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
                "ids": packed_runs(ids.astype(f"<u{ids.itemsize}", copy=False), offsets),
            },
        )
        return Partial(block.names, {"documents": table, "limits": limits}, {"vocabulary": block.vocabulary})


class CompleteDocumentSample(DocumentSample):
    """The sample without limits, for shards whose partial has too low ones for a corpus."""

    name = "complete_document_sample"

    def in_run(self, run: str) -> Measure:
        """The measure itself: nothing is left out."""
        return self


def incomplete_domains(merged: PartialReader) -> frozenset[str]:
    """Domains of a merged sample that has fewer documents within its limit than a sample keeps."""
    limits = merged.table("limits", LIMITS)
    if not len(limits):
        return frozenset()
    domain, key = merged.columns("documents", DOCUMENTS, ("domain", "key"))
    limit = np.full(len(merged.names), NO_LIMIT)
    limit[limits.columns["domain"]] = limits.columns["limit"]
    within = np.bincount(domain[key <= limit[domain]], minlength=len(limit))
    return frozenset(merged.names[d] for d in limits.columns["domain"].tolist() if within[d] < DOCUMENTS_KEPT)


def limited_domains(partial: PartialReader) -> frozenset[str]:
    """Domains of which a partial may lack documents."""
    return frozenset(partial.names[d] for d in partial.table("limits", LIMITS).columns["domain"].tolist())
