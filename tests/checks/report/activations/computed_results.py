"""Tables of a run that copied attributions and scores of heads from beside its index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.schemas.tables.index_result_tables import INDEX_RESULT_TABLES

PROVENANCE = {
    "parameters": {"tolerance": 1e-3, "steps": 16}, "model": {"digest": "ab" * 32}, "snapshot": "cd" * 32,
    "versions": {"corpus-audit": "0.1.0", "torch": "2.9.0"},
}  # fmt: skip


def attribution(unit: str, name: str, **other: Any) -> dict[str, Any]:
    """A row of ``unit_attributions``; ``name`` stands wherever text from a corpus can."""
    words = [name, "and", "quoted", "bodies", name]
    text = " ".join(words)
    starts = [sum(len(word) + 1 for word in words[:i]) for i in range(len(words))]
    return {
        "unit": unit, "method": "integrated_gradients", "caveat": "It depends on the baseline.", "examples": 12,
        "documents": 10, "completeness_error": 4e-4, "tolerance": 1e-3, "converged": 12, "checked": 3,
        "deletion": 0.057, "insertion": 0.856, "random_mean": 0.364, "random_low": 0.052, "random_high": 0.834,
        "random_orders": 60, "deletion_beaten": 4, "insertion_beaten": 0, "randomised_block": 0.27,
        "randomised_all": -0.04, "baseline": "mask", "baseline_length": 0.9, "domain": name, "document": name,
        "value": 4.5, "baseline_value": -0.5, "whole": 5.0, "text": text, "peak": 3, "starts": starts,
        "ends": [start + len(word) for start, word in zip(starts, words, strict=True)],
        "attribution": [0.5, 0.0, 1.0, 4.0, -0.6], "file": ".attributions/i/mlp.0/1.parquet",
        "provenance": json.dumps(PROVENANCE | {"settings of a user": name}), "reason": None,
    } | other  # fmt: skip


def write_results(folder: Path, *names: str, units: int = 2, **scores: float) -> None:
    """Write the tables below a run's folder.

    Args:
        folder: of the run.
        names: stand wherever text from a corpus can; units and documents of heads take them in turn.
        units: how many there are.
        scores: prefix matching of heads, by names such as head_1_0.
    """
    names = names or ("email",)
    unit_names = [(f"mlp.4:{unit}", names[unit % len(names)]) for unit in range(units)]
    tokens = [
        {
            "unit": unit, "method": "integrated_gradients", "domain": f"{name}-{domain}", "examples": 10,
            "domain_documents": 9, "rank": rank, "text": name, "tokens": 1 + rank // 2, "occurrences": 5,
            "documents": 4, "mean": 1.8 - rank, "share": 0.488 - rank / 5, "low": 0.41 - rank / 5,
            "high": 0.567 - rank / 5,
        }
        for unit, name in unit_names for domain in range(2) for rank in range(3)
    ]  # fmt: skip
    prefixes = scores or {"head_1_0": 0.925, "head_1_1": 0.798, "head_0_0": 0.004}
    heads = {"head.{1}:{2}".format(*key.split("_")): prefix for key, prefix in prefixes.items()}
    induction = [head for head, prefix in heads.items() if prefix >= 0.3]
    tables: dict[str, list[dict[str, Any]]] = {
        "unit_attributions": [
            *(attribution(unit, name) for unit, name in unit_names),
            {"unit": "mlp.9:9", "method": "", "file": ".attributions/i/mlp.9/9.parquet", "reason": "is damaged"},
        ],
        "unit_attribution_tokens": tokens,
        "head_results": [
            {
                "heads": len(heads), "threshold": 0.3, "windows": 100, "file": ".attention/i/heads-ab", "reason": None,
                "provenance": json.dumps(PROVENANCE),
            }
        ],
        "head_scores": [
            {
                "head": head, "previous": 0.01, "duplicate": 0.02, "prefix": prefix, "chance": 0.031,
                "copying": -0.153, "eigenvalues": 0.993, "first": 0.02, "entropy": 0.64,
            }
            for head, prefix in heads.items()
        ],
        "head_domains": [
            {
                "head": head, "domain": domain, "measure": "completing", "value": 0.103, "low": 0.083, "high": 0.122,
                "chance": 0.054, "queries": 500, "documents": 40, "tokens": 4000,
            }
            for head in induction for domain in ("(all)", *names)
        ],
        "head_evidence": [
            {
                "head": head, "rank": rank, "mass": 0.997 - rank / 100, "length": 5, "distance": 3, "domain": name,
                "document": name, "text": f"start {name} resources then resources", "query_start": len(name) + 22,
                "query_end": len(name) + 31, "key_start": len(name) + 7, "key_end": len(name) + 16,
            }
            for head in induction for rank, name in enumerate((*names, names[0]))
        ],
    }  # fmt: skip
    for key, rows in tables.items():
        table = pa.Table.from_pylist(rows, schema=INDEX_RESULT_TABLES[key])
        pq.write_table(table, folder / "tables" / f"{key}.parquet")
