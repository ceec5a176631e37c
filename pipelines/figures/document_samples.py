"""Reads table ``samples`` of a run as numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.schemas.errors import StoreError


def hashed_documents(samples: pa.Table, domains: Sequence[str], per_domain: int | None = None) -> HashedDocuments:
    """The sampled texts, in the table's order (domain, hash).

    Args:
        samples: the table.
        domains: the domains; a text's domain is its position among them.
        per_domain: texts of lowest hash to select from each domain; all by default.

    Raises:
        StoreError: a domain of the table is not among ``domains``.
    """
    names = samples["domain"].cast(pa.string())
    indices = pc.index_in(names, value_set=pa.array(domains, pa.string()))
    if indices.null_count:
        name = names.filter(pc.is_null(indices))[0].as_py()
        raise StoreError(f"table samples holds domain {name!r}, which table duplicates lacks: run again")
    codes = indices.to_numpy().astype(np.int64)
    if per_domain is not None and len(codes):
        first = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1])
        rank = np.arange(len(codes)) - np.repeat(first, np.diff(first, append=len(codes)))
        selected = np.flatnonzero(rank < per_domain)
        samples, codes = samples.take(pa.array(selected)), codes[selected]
    hashes = samples["hash"].combine_chunks()
    halves = np.frombuffer(hashes.buffers()[1], ">u8", 2 * len(hashes), 16 * hashes.offset).reshape(-1, 2)
    lengths = pc.list_value_length(samples["buckets"]).to_numpy().astype(np.int64)
    return HashedDocuments(
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        buckets=pc.list_flatten(samples["buckets"]).to_numpy().astype(np.int64),
        counts=pc.list_flatten(samples["counts"]).to_numpy().astype(np.int64),
        domain=codes,
        tokens=samples["tokens"].to_numpy().astype(np.int64),
        high=halves[:, 0].astype(np.uint64),
        low=halves[:, 1].astype(np.uint64),
    )
