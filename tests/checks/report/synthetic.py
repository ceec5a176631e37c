"""Small published run directories made of invented figures that hang together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS, TABLES

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NAMES = (
    "web/common-crawl",
    "code/permissive",
    "papers/arxiv",
    "books/public-domain",
    "encyclopedia",
    "forums/q-and-a",
    "law/court-opinions",
    "news",
    "日本語ウェブ",
    "patents",
    "mathematics/proofs",
    "ويكي العربية",
)
INTENDED = (0.42, 0.16, 0.10, 0.08, 0.07, 0.06, 0.04, 0.03, 0.02, 0.01, 0.005, 0.005)


def _bucket_edges() -> np.ndarray:
    edges = list(range(0, 101))
    while edges[-1] < 10**9:
        edges.append(max(edges[-1] + 1, int(edges[-1] * 1.02)))
    return np.array(edges, dtype=np.int64)


EDGES = _bucket_edges()


def build_run(
    run_dir: Path,
    names: Sequence[str] = NAMES,
    intended: Mapping[str, float] | None = None,
    mixture: bool = True,
    complete: bool = True,
    sample_share: float = 1.0,
    documents: int = 400_000,
    seed: int = 7,
    draws: int = 4000,
    **overrides: Any,
) -> Path:
    """Write `run.json` and the tables of a run with these domains; ``overrides`` replace keys of `run.json`."""
    random = np.random.default_rng(seed)
    if intended is None:
        intended = (
            dict(zip(NAMES, INTENDED, strict=True)) if tuple(names) == NAMES else {n: 1 / len(names) for n in names}
        )
    base = np.array([intended.get(name, 0.001) for name in names])
    centres, widths = random.uniform(5, 8, len(names)), random.uniform(0.5, 1.3, len(names))
    drawn = base * random.lognormal(0, 0.12, len(names)) / np.exp(centres + widths**2 / 2)
    counts = np.maximum((drawn / drawn.sum() * documents).astype(np.int64), 3)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    per_domain = []
    for name, n, centre, width in zip(names, counts, centres, widths, strict=True):
        lengths = np.maximum(random.lognormal(centre, width, min(int(n), draws)), 1)
        weights = int(n) / len(lengths)
        tokens = lengths.astype(np.int64)
        per_domain.append((name, int(n), tokens, weights, int(random.uniform(3, 5) * tokens.sum() * weights)))
    total_documents = sum(row[1] for row in per_domain)
    token_counts = {row[0]: int(row[2].sum() * row[3]) for row in per_domain}
    total_tokens, total_bytes = sum(token_counts.values()), sum(row[4] for row in per_domain)
    for name, n, lengths, weight, size in sorted(per_domain, key=lambda row: (-token_counts[row[0]], row[0])):
        tokens = token_counts[name]
        tables["domains"].append(
            _domain_row("domain", name, n, tokens, size, int((lengths.astype(float) ** 2).sum() * weight))
        )
        for unit, count, total in (
            ("bytes", size, total_bytes),
            ("documents", n, total_documents),
            ("tokens", tokens, total_tokens),
        ):
            share = count / total
            error = 1.96 * np.sqrt(share * (1 - share) / documents) * (1 if unit == "documents" else 3)
            target = intended.get(name, 0.0) if mixture and unit == "tokens" else None
            tables["proportions"].append(_share_row(name, unit, count, total, n, share, error, target))
        for unit, factor in (("characters", 4.2), ("tokens", 1.0)):
            tables["lengths"] += _histogram(name, unit, (lengths * factor).astype(np.int64), n)
            tables["length_quantiles"] += _quantiles(name, unit, lengths * factor, n)
        within, across = int(n * random.uniform(0, 0.08)), int(n * random.uniform(0, 0.03))
        tables["duplicates"].append(_duplicates(name, n, within, across, tokens))
        types = min(50_257, 3000 + n // 10)
        tables["vocabulary"].append(
            {
                "domain": name,
                "tokens": tokens,
                "types": types,
                "coverage": types / 50_257,
                "effective": types / 9.7,
                "effective_low": types / 9.9,
                "effective_high": types / 9.5,
            }
        )
    pooled = np.concatenate([row[2] for row in per_domain])
    tables["length_quantiles"] += _quantiles(ALL_DOMAINS, "tokens", pooled, total_documents)
    tables["length_quantiles"] += _quantiles(ALL_DOMAINS, "characters", pooled * 4.2, total_documents)
    within = sum(row["duplicate_documents"] for row in tables["duplicates"]) + 100
    across = sum(row["across_documents"] for row in tables["duplicates"])
    tables["duplicates"].insert(0, _duplicates(ALL_DOMAINS, total_documents, within, across, total_tokens))
    tables["vocabulary"].insert(
        0,
        {
            "domain": ALL_DOMAINS,
            "tokens": total_tokens,
            "types": 49_871,
            "coverage": 49_871 / 50_257,
            "effective": 4_812.4,
            "effective_low": 4_790.0,
            "effective_high": 4_835.1,
        },
    )
    for value, share in (("en", 0.71), ("de", 0.12), ("fr", 0.09), ("ja", 0.05), ("(none)", 0.03)):
        tables["domains"].append(
            _domain_row(
                "language", value, int(total_documents * share), int(total_tokens * share), int(total_bytes * share), 1
            )
        )
    dead = {"invalid_utf8": 21, "missing_text": 9, "too_large": 2}
    dropped = {"no_boilerplate": 5_120, "licensed": 311}
    tables["outcomes"] = [
        *({"outcome": "dead_letter", "reason": reason, "rows": rows} for reason, rows in dead.items()),
        {"outcome": "document", "reason": "", "rows": total_documents},
        *({"outcome": "filtered", "reason": reason, "rows": rows} for reason, rows in sorted(dropped.items())),
    ]
    if mixture:
        tvd = {"metric": "mixture_tvd_tokens", "slice": "all", "n": total_tokens, "unit": "share"}
        distance = sum(abs(token_counts.get(n, 0) / total_tokens - intended.get(n, 0)) for n in {*names, *intended}) / 2
        tables["metrics"].append(tvd | {"value": distance, "low": distance * 0.9, "high": distance * 1.1})
    for row in tables["duplicates"]:
        part = "all" if row["domain"] == ALL_DOMAINS else f"domain={row['domain']}"
        for unit in ("documents", "tokens"):
            share = row[f"duplicate_{unit}"] / row[unit]
            figure = {
                "metric": f"duplicate_share_{unit}",
                "slice": part,
                "value": share,
                "n": row[unit],
                "unit": "share",
            }
            tables["metrics"].append(figure | {"low": share * 0.97, "high": share * 1.03})
    tables["shards"] = _shards(total_documents, sum(dead.values()), sum(dropped.values()), complete, sample_share)
    run_dir.mkdir(parents=True, exist_ok=True)
    files = {f"tables/{name}.parquet": _write(run_dir, name, rows) for name, rows in tables.items()}
    run = _run_json(tables, mixture, intended, complete, sample_share, files) | overrides
    (run_dir / "run.json").write_text(json.dumps(run), "utf-8")
    return run_dir


def _domain_row(facet: str, value: str, documents: int, tokens: int, size: int, squared: int) -> dict[str, Any]:
    return {
        "facet": facet,
        "value": value,
        "documents": documents,
        "clusters": documents,
        "bytes": size,
        "characters": int(size * 0.97),
        "words": int(tokens * 0.75),
        "tokens": tokens,
        "sum_bytes_squared": size**2 // max(documents, 1),
        "sum_tokens_squared": squared,
    }


def _share_row(
    name: str, unit: str, count: int, total: int, clusters: int, share: float, error: float, target: float | None
) -> dict[str, Any]:
    low, high = max(share - error, 0.0), min(share + error, 1.0)
    return {
        "facet": "domain",
        "value": name,
        "unit": unit,
        "count": count,
        "total": total,
        "clusters": clusters,
        "share": share,
        "low": low,
        "high": high,
        "low_simultaneous": max(share - 1.5 * error, 0.0),
        "high_simultaneous": min(share + 1.5 * error, 1.0),
        "method": "clustered ratio estimator" if share > 0.01 else "Korn-Graubard",
        "intended": target,
        "difference": None if target is None else share - target,
        "difference_low": None if target is None else low - target,
        "difference_high": None if target is None else high - target,
    }


def _histogram(name: str, unit: str, lengths: np.ndarray, documents: int) -> list[dict[str, Any]]:
    at, counts = np.unique(np.searchsorted(EDGES, lengths, side="right") - 1, return_counts=True)
    counts = np.diff(np.round(np.cumsum(counts) / len(lengths) * documents).astype(np.int64), prepend=0)
    return [
        {"domain": name, "unit": unit, "low": int(EDGES[i]), "high": int(EDGES[i + 1]) - 1, "documents": int(count)}
        for i, count in zip(at, counts, strict=True)
        if count
    ]


def _quantiles(name: str, unit: str, lengths: np.ndarray, documents: int) -> list[dict[str, Any]]:
    return [
        {
            "domain": name,
            "unit": unit,
            "quantile": quantile,
            "value": float(np.round(np.quantile(lengths, quantile))),
            "low": None,
            "high": None,
            "documents": documents,
            "mean": float(lengths.mean()),
        }
        for quantile in QUANTILES
    ]


def _duplicates(name: str, documents: int, within: int, across: int, tokens: int) -> dict[str, Any]:
    repeated = tokens * within // documents // 2
    return {
        "domain": name,
        "documents": documents,
        "distinct": documents - within,
        "duplicate_documents": within,
        "across_documents": across,
        "tokens": tokens,
        "distinct_tokens": tokens - repeated,
        "duplicate_tokens": repeated,
        "across_tokens": tokens * across // documents // 2,
    }


def _shards(documents: int, dead: int, filtered: int, complete: bool, sample_share: float) -> list[dict[str, Any]]:
    rows, shards = [], 24
    for index in range(shards):
        status = "cached" if index < 9 else "read"
        error = None
        if not complete and index in (5, 17):
            status, error = "error", "gzip: the stream ends inside a member at byte 4,194,304"
        elif sample_share < 1 and index % 4:
            status = "not_sampled"
        used = status in ("read", "cached")
        here = (dead, filtered) if index == 3 else (0, 0)
        counted = documents // shards + (documents % shards if index == 0 else 0) if used else 0
        rows.append(
            {
                "shard": f"data/part-{index:05d}.parquet",
                "sha256": hashlib.sha256(str(index).encode()).hexdigest(),
                "bytes": 48_000_000 + 1234 * index,
                "format": "parquet",
                "status": status,
                "copies": 1,
                "splits": 4,
                "splits_counted": 4 if used else 0,
                "rows": counted + sum(here),
                "documents": counted,
                "dead_letters": here[0],
                "filtered": here[1],
                "nul_documents": 0,
                "error": error,
            }
        )
    return rows


def _write(run_dir: Path, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    schema = TABLES[name]
    path = run_dir / "tables" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, path, write_page_checksum=True, compression="zstd")
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}


def _run_json(
    tables: dict[str, list[dict[str, Any]]],
    mixture: bool,
    intended: Mapping[str, float],
    complete: bool,
    sample_share: float,
    files: dict[str, Any],
) -> dict[str, Any]:
    shards = tables["shards"]
    by_status = {
        status: sum(s["status"] == status for s in shards) for status in ("read", "cached", "error", "not_sampled")
    }
    outcomes = tables["outcomes"]
    rows = {
        kind: sum(o["rows"] for o in outcomes if o["outcome"] == kind)
        for kind in ("document", "dead_letter", "filtered")
    }
    failed = f"{by_status['error']} of {len(shards)} shards could not be read"
    detail = "every shard that was to be read was read" if complete else failed
    return {
        "format": 1,
        "name": "pretraining-mix 2026-11",
        "run": "20261122-7f3a91c2",
        "snapshot": {
            "digest": hashlib.sha256(b"snapshot").hexdigest(),
            "shards": len(shards),
            "bytes": sum(shard["bytes"] for shard in shards),
        },
        "coverage": {
            "shards": len(shards),
            **{f"shards_{status}": count for status, count in by_status.items()},
            "splits": sum(shard["splits"] for shard in shards),
            "splits_counted": sum(shard["splits_counted"] for shard in shards),
            "rows": sum(rows.values()),
            "documents": rows["document"],
            "dead_letters": rows["dead_letter"],
            "filtered": rows["filtered"],
            "sample_share": sample_share,
            "conserved": True,
            "manifest": False,
            "digests_computed": len(shards) - 9,
            "digests_remembered": 9,
            "duplicate_shards": 0,
        },
        "integrity": [
            {"check": "coverage", "status": "pass" if complete else "fail", "detail": detail},
            {
                "check": "conservation",
                "status": "pass",
                "detail": "rows read = documents + dead letters + filtered, in every shard",
            },
            {"check": "digests", "status": "pass", "detail": "15 computed in this run, 9 remembered"},
            {"check": "tokenizer_verification", "status": "pass", "detail": "12,408 documents compared, 0 differ"},
            {"check": "dead_letter_budget", "status": "pass", "detail": "0.008 % of rows, at most 0.01 %"},
        ],
        "complete": complete,
        "reasons": [] if complete else [f"{failed}: data/part-00005.parquet, data/part-00017.parquet"],
        "tokenizer": {
            "name": "gpt2",
            "sha256": hashlib.sha256(b"tokenizer").hexdigest(),
            "vocabulary": 50_257,
            "path": "gigatoken",
            "path_version": "0.10.2",
            "path_reason": "byte-level BPE, supported by the fast path",
            "switched_off": ["truncation at 128 tokens"],
            "verified": 12_408,
            "verified_needed": 1_000,
        },
        "facets": {
            "primary": "domain",
            "names": ["domain", "language"],
            "sources": {"domain": "column meta.source", "language": "column meta.language"},
        },
        "cluster": None,
        "token_groups": "domain",
        "mixture": {"unit": "tokens", "shares": dict(intended)} if mixture else None,
        "filter": [
            {"name": "no_boilerplate", "clause": "meta.boilerplate < 0.5"},
            {"name": "licensed", "clause": "meta.license in ['cc-by', 'cc0', 'mit']"},
        ],
        "versions": {"corpus-audit": "0.1.0", "python": "3.11.9", "pyarrow": "25.0.1", "apache-beam": "2.77.0"},
        "files": files,
        "spec": {
            "version": 1,
            "name": "pretraining-mix 2026-11",
            "snapshot": {"paths": ["data/*.parquet"]},
            "tokenizer": "gpt2/tokenizer.json",
            "limits": {"dead_letter_share": 0.0001},
        },
    }
