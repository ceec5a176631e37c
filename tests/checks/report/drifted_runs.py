"""Runs with invented drift tables that hang together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from tests.run_files import run_record

Row = dict[str, Any]

DRIFT, NONE, INSUFFICIENT, SAME, NEW = "drift", "none", "insufficient", "same", "new"
DOMAINS = {"web": DRIFT, "forums": NONE, "papers": INSUFFICIENT, "code": SAME, "recipes": NEW}

_JSD = {
    DRIFT: {"value": 0.02, "null_mean": 0.01, "null_low": 0.008, "null_high": 0.013, "p": 0.0005, "excess": 0.01}
    | {"low": 0.004, "high": 0.016, "permutations": 1999},
    NONE: {"value": 0.011, "null_mean": 0.01, "null_low": 0.008, "null_high": 0.013, "p": 0.3, "excess": 0.001}
    | {"low": -0.002, "high": 0.004, "permutations": 1999},
    INSUFFICIENT: {"value": 0.5, "permutations": 0, "reason": "too few documents"},
    SAME: {"value": 0.0, "null_mean": 0.0, "null_low": 0.0, "null_high": 0.0, "p": 1.0, "excess": 0.0}
    | {"low": 0.0, "high": 0.0, "permutations": 0, "reason": "both hold the same documents"},
    NEW: {"permutations": 0, "reason": "the baseline holds no tokens here"},
}
_FILL = ((pa.types.is_integer, 10), (pa.types.is_floating, None), (pa.types.is_list, []))


def write_drift(
    folder: Path,
    domains: Mapping[str, str] = DOMAINS,
    overall: str = DRIFT,
    labels: Sequence[str] = ("reference",),
    tokens: int = 3,
) -> RunDirectory:
    """A run in which every domain is what the mapping says; ``tokens`` of each kind moved."""
    for name, table in made_tables(domains, overall, labels, tokens).items():
        write_table(folder / "tables" / f"{name}.parquet", table.schema, [table])
    return RunDirectory(folder, run_record())


def made_tables(
    domains: Mapping[str, str] = DOMAINS, overall: str = DRIFT, labels: Sequence[str] = ("reference",), tokens: int = 3
) -> dict[str, pa.Table]:
    """The tables of such a run."""
    rows: dict[str, list[Row]] = {name: [] for name in DRIFT_TABLES}
    for label in labels:
        for name, state in {ALL_DOMAINS: overall, **domains}.items():
            for table, row in _slice(name, state, len(domains), tokens):
                rows[table].append({"baseline": label, "domain": name, "p_adjusted": row.get("p"), **row})
    filled = {
        name: [{field.name: row.get(field.name, _default(field)) for field in schema} for row in rows[name]]
        for name, schema in DRIFT_TABLES.items()
    }
    return {name: pa.Table.from_pylist(filled[name], schema=schema) for name, schema in DRIFT_TABLES.items()}


def _default(field: pa.Field) -> Any:
    value = next((value for check, value in _FILL if check(field.type)), None if field.nullable else "x")
    return 0.0 if value is None and not field.nullable else value


def _slice(name: str, state: str, domains: int, tokens: int) -> list[tuple[str, Row]]:
    whole = name == ALL_DOMAINS
    before, now = (0 if state == NEW else 400), 500
    changed = 0 if state == SAME else 50
    sized = {"documents_baseline": before, "documents_current": now}
    result: list[tuple[str, Row]] = [
        ("drift", {"statistic": statistic, "unit": "bits", **sized, **_JSD[state]}) for statistic in ("jsd", "tvd")
    ]
    explains = 1.0 if whole else 1 / domains
    for part, share in (("mixture", 0.6), ("content", 0.4), ("total", 1.0)):
        texts = [" the", "\n        ", "x" * 60] if state != SAME else []
        figures = {"attribution": explains * share, "tvd": 0.01, "tvd_null_mean": 0.005, "top_texts": texts}
        result.append(("drift_parts", {"part": part, **figures}))
    bounds = {DRIFT: (0.01, 0.03), NONE: (-0.02, 0.02), SAME: (-0.02, 0.02), NEW: (0.1, 0.2)}.get(state, (None, None))
    if not whole:
        for unit in ("tokens", "documents"):
            shares = {"share_baseline": 0.0 if state == NEW else 0.2, "share_current": 0.22, "difference": 0.02}
            reason = "too few documents" if bounds[0] is None else None
            moved = {"low": bounds[0], "high": bounds[1], "q": 0.001 if (bounds[0] or 0) > 0 else 0.5, "reason": reason}
            moved["p"] = None if bounds[0] is None else moved["q"]
            result.append(("drift_domains", {"unit": unit, **shares, **moved}))
    for kind in ("riser", "faller", "new", "vanished") if whole else ():
        sign = 1 if kind in ("riser", "new") else -1
        for number in range(tokens):
            tested = kind in ("riser", "faller")
            move = {"log2_ratio": sign * (1.0 + number), "low": sign * (1.0 + number) - 9 if tested else None}
            move |= {"high": sign * (1.0 + number) + 0.5 if tested else None, "q": 1e-9 if tested else None}
            result.append(("drift_tokens", {"text": f" token {number}", "kind": kind, "token": number, **move}))
    if state != NEW:
        for statistic in ("p05", "p25", "p50", "p75", "p95", "p99", "mean", "ks"):
            size = {"p05": 3.0, "p25": 30.0, "p50": 90.0, "p75": 200.0, "p95": 3000.0}.get(statistic, 400.0)
            row = {"value_baseline": size, "value_current": 1.1 * size, "change": 0.1375, "low": 0.05, "high": 0.2}
            tested = {"p": 0.01 if statistic == "ks" else None}
            result.append(("drift_lengths", {"unit": "tokens", "statistic": statistic, **row, **tested}))
    counts = {"kept": before - changed if before else 0, "removed": changed if before else 0}
    counts |= {"edited": changed // 5 if before else 0, "renamed": changed // 10, "replaced": changed // 25}
    counts["kept"] -= counts["edited"]
    counts |= {"added": now - counts["kept"] if changed else 0, "added_tokens": 100, "removed_tokens": 90}
    result.append(("turnover", counts))
    if whole or state == DRIFT:
        outcome = {"auc": 0.9, "low": 0.85, "high": 0.95, "p": 0.01} if _classified(state) else {"reason": "too few"}
        words = {"features_baseline": [" import numpy", "np"], "features_current": [" torch"]}
        result.append(("drift_classifier", {**outcome, **words, "excerpts_current": ["Once upon"], **sized}))
    result.append(("near_duplicates", {"scope": "baseline", "documents": 40, "rate": 0.1, "low": 0.02, "high": 0.3}))
    return result


def _classified(state: str) -> bool:
    return state in (DRIFT, NONE)
