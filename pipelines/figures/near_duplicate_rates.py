"""Near-duplicate rates of a run from its MinHash table, within and across domains and against a baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.kernels.text.ngrams import PERMUTATIONS
from corpus_audit.pipelines.measures.minhash_sample import SAMPLE_SHARE
from corpus_audit.pipelines.statistics.intervals.near_duplicates import (
    THRESHOLD,
    NearDuplicates,
    Signatures,
    near_duplicates,
)
from corpus_audit.pipelines.statistics.intervals.proportions import Estimate
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.drift_tables import NEAR_DUPLICATES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

MOST_SIGNATURES = 1_000_000
"""Most signatures, of both sides together, that are compared; they take half a gigabyte of memory."""


def near_duplicate_rates(current: RunDirectory, label: str = "", baseline: RunDirectory | None = None) -> pa.Table:
    """Table NEAR_DUPLICATES: the scopes within and across of a run, or the scope baseline where one is given.

    Raises:
        StoreError: when a table cannot be read.
    """
    runs = [current] if baseline is None else [current, baseline]
    names = sorted({n for run in runs for n in run.table("duplicates")["domain"].to_pylist()} - {ALL_DOMAINS})
    names.sort(key=str.encode)
    scopes = ("across", "within") if baseline is None else ("baseline",)
    sizes = [pq.read_metadata(run.folder / "tables" / "minhash.parquet").num_rows for run in runs]
    if sum(sizes) > MOST_SIGNATURES:
        reason = f"the sample holds {sum(sizes)} signatures, more than the {MOST_SIGNATURES} that are compared"
        rows = [_row(label, scope, ALL_DOMAINS, sizes[0], 0.0, None, reason) for scope in scopes]
        return pa.Table.from_pylist(rows, schema=NEAR_DUPLICATES)
    sides = [_signatures(run, names) for run in runs]
    rates = near_duplicates(sides[0], len(names), SAMPLE_SHARE, sides[1] if baseline is not None else None)
    rows = [row for rate in rates if rate.scope in scopes for row in _rows(label, names, rate)]
    rows.sort(key=lambda row: (row["scope"], row["domain"] != ALL_DOMAINS, row["domain"].encode()))
    return pa.Table.from_pylist(rows, schema=NEAR_DUPLICATES)


def _rows(label: str, names: list[str], rate: NearDuplicates) -> list[dict[str, Any]]:
    estimates = [rate.overall, *rate.domains]
    documents = [int(rate.documents.sum()), *rate.documents.tolist()]
    weighted = [float(rate.near_duplicates.sum()), *rate.near_duplicates.tolist()]
    return [
        _row(label, rate.scope, name, n, hits, estimate, None if n else "no document was sampled")
        for name, n, hits, estimate in zip([ALL_DOMAINS, *names], documents, weighted, estimates, strict=True)
    ]


def _row(
    label: str, scope: str, domain: str, documents: int, hits: float, estimate: Estimate | None, reason: str | None
) -> dict[str, Any]:
    known = estimate is not None and np.isfinite(estimate.value)
    return {
        "baseline": label,
        "scope": scope,
        "domain": domain,
        "documents": documents,
        "near_duplicates": hits,
        "rate": estimate.value if known and estimate else None,
        "low": estimate.low if known and estimate else None,
        "high": estimate.high if known and estimate else None,
        "threshold": THRESHOLD,
        "reason": reason,
    }


def _signatures(run: RunDirectory, names: list[str]) -> Signatures:
    table = run.table("minhash").combine_chunks()
    index_of = {name: g for g, name in enumerate(names)}
    size = len(table)
    if not size:
        empty = np.empty(0, np.int64)
        return Signatures(np.empty((0, 2), np.uint64), empty, empty, np.empty((0, PERMUTATIONS), np.uint32))
    domain = table["domain"].combine_chunks()
    domains = np.array([index_of[name] for name in domain.dictionary.to_pylist()], np.int64)
    hashes = np.frombuffer(table["hash"].combine_chunks().buffers()[1], ">u8").reshape(-1, 2)[:size]
    signatures = np.frombuffer(table["signature"].combine_chunks().buffers()[1], "<u4").reshape(-1, PERMUTATIONS)
    return Signatures(
        hashes.astype(np.uint64), domains[domain.indices.to_numpy()], table["documents"].to_numpy(), signatures[:size]
    )
