"""Policies and runs in a few lines, for tests of what judges them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.policy_file import LoadedPolicy, read_policy
from corpus_audit.schemas.tables.run_tables import METRICS
from tests.run_files import run_record


def rule(id_: str = "r", **more: Any) -> dict[str, Any]:
    """A rule; ``fail`` at most 0.5 of metric ``m`` unless told otherwise."""
    given = {
        "title": f"Rule {id_}",
        "metric": "m",
        "fail": {"maximum": 0.5},
        "owner": "ann@example.org",
        "rationale": "Because.",
    }
    return {"id": id_} | given | more


def waiver(id_: str = "W-1", **more: Any) -> dict[str, Any]:
    """A waiver of rule ``r`` in slice ``all`` that holds in November 2026 while the figure is at most 0.8."""
    given = {
        "rule": "r",
        "holds_while": {"maximum": 0.8},
        "reason": "Known.",
        "ticket": "DATA-7",
        "owner": "ann@example.org",
        "approved_by": "bob@example.org",
        "created": "2026-11-01",
        "expires": "2026-11-30",
    }
    return {"id": id_} | given | more


def policy(*rules: dict[str, Any], **more: Any) -> LoadedPolicy:
    """A policy of these rules; JSON is YAML."""
    given = {"name": "test", "version": "1", "rules": list(rules)}
    return read_policy(json.dumps(given | more).encode())


def figure(
    metric: str = "m",
    slice_: str = "all",
    value: float | None = 0.1,
    n: int = 1000,
    low: float | None = None,
    high: float | None = None,
    unit: str = "share",
) -> dict[str, Any]:
    """A row of the metrics table."""
    return {"metric": metric, "slice": slice_, "value": value, "n": n, "low": low, "high": high, "unit": unit}


def fact(metric: str = "m", slice_: str = "all", value: float = 0.1, n: int = 1000) -> dict[str, Any]:
    """A row whose bounds are its value."""
    return figure(metric, slice_, value, n, value, value)


def metrics(*rows: dict[str, Any]) -> pa.Table:
    """The metrics table of these rows."""
    return pa.Table.from_pylist(list(rows), schema=METRICS)


def facts(**more: Any) -> RunFile:
    """run.json of a complete run."""
    return run_record(**{"name": "corpus", "run": "20261125T120000Z"} | more)
