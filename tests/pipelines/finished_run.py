"""A finished run directory with the tables that the sampling analyses read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables import run_tables
from tests.run_files import digest, write_run_json


def finished_run(folder, domains, *, tokenizer="t", sample_share=1.0, samples=(), per_document=()):
    """A run with ``domains`` {name: (documents, distinct, tokens, distinct_tokens)}.

    ``samples`` are (domain, hash number, tokens, {bucket: count}), ``per_document`` (id, domain).
    """
    (folder / "tables").mkdir(parents=True)
    write_run_json(folder, tokenizer={"sha256": digest(tokenizer)}, coverage={"sample_share": sample_share})
    rows = [{"domain": "(all)", **dict.fromkeys(run_tables.DUPLICATES.names[1:], 0)}]
    for name, (documents, distinct, tokens, distinct_tokens) in domains.items():
        row = dict.fromkeys(run_tables.DUPLICATES.names[1:], 0) | {"domain": name, "documents": documents}
        rows.append(row | {"distinct": distinct, "tokens": tokens, "distinct_tokens": distinct_tokens})
    _write(folder, "duplicates", rows)
    sampled = [
        {
            "domain": domain,
            "hash": int(number).to_bytes(16, "big"),
            "documents": 1,
            "tokens": tokens,
            "excerpt": f"text {number}",
            "buckets": sorted(features),
            "counts": [features[bucket] for bucket in sorted(features)],
        }
        for domain, number, tokens, features in samples
    ]
    _write(folder, "samples", sampled)
    if per_document:
        records = [
            {"shard": "s", "split": 0, "row": i, "id": id_, "domain": domain, "hash": bytes(16)}
            | dict.fromkeys(("bytes", "characters", "words", "tokens"), 1)
            for i, (id_, domain) in enumerate(per_document)
        ]
        _write(folder, "per_document", records)
    return RunDirectory(folder)


def _write(folder, name, rows):
    pq.write_table(pa.Table.from_pylist(rows, schema=run_tables.TABLES[name]), folder / "tables" / f"{name}.parquet")


def hash_numbers(rng, size):
    """128-bit hash numbers, Python integers."""
    halves = rng.integers(0, 2**64, (size, 2), dtype=np.uint64)
    return [(int(high) << 64) | int(low) for high, low in halves]
