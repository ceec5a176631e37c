"""The registry of measures. Adding one is a new file and a line here."""

from __future__ import annotations

from corpus_audit.pipelines.measures.base import Measure
from corpus_audit.pipelines.measures.coverage import Coverage, Verification
from corpus_audit.pipelines.measures.document_sample import DocumentSample
from corpus_audit.pipelines.measures.domains import Domains
from corpus_audit.pipelines.measures.duplicates import Duplicates
from corpus_audit.pipelines.measures.identities import Identities
from corpus_audit.pipelines.measures.lengths import Lengths
from corpus_audit.pipelines.measures.minhash_sample import MinHashSample
from corpus_audit.pipelines.measures.records import Records
from corpus_audit.pipelines.measures.samples import Samples
from corpus_audit.pipelines.measures.split_totals import SplitTotals
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.schemas.spec.audit import AuditSpec

ALWAYS: tuple[Measure, ...] = (
    Domains(),
    Tokens(),
    Lengths(),
    Duplicates(),
    Identities(),
    MinHashSample(),
    Samples(),
)
READING: tuple[Measure, ...] = (Coverage(), Verification())
"""Counted from the reader and the verifier, not from blocks."""


def measures_of(spec: AuditSpec) -> tuple[Measure, ...]:
    """The measures of documents that an audit asks for, in a fixed order."""
    measures = list(ALWAYS)
    if spec.excerpts:
        measures.append(DocumentSample())
    if spec.per_document:
        measures.append(Records())
    if spec.sample is not None:
        measures.append(SplitTotals())
    return tuple(measures)
