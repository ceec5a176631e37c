"""`run.json` of runs that tests make: a whole one, of which a test says what matters to it."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.run_file import RunFile, parse_run_file
from corpus_audit.schemas.spec.policy import INTEGRITY_RULES

RULES = tuple(name for name in INTEGRITY_RULES if name != "contamination_self_check")


def digest(text: str) -> str:
    """A SHA-256 in hex that stands for a text."""
    return hashlib.sha256(text.encode()).hexdigest()


_WHOLE: dict[str, Any] = {
    "format": 1,
    "name": "test corpus",
    "run": "run-1",
    "snapshot": {"digest": "12" * 32, "shards": 1, "bytes": 1000},
    "coverage": {
        "shards": 1,
        "shards_read": 1,
        "shards_cached": 0,
        "shards_error": 0,
        "shards_not_sampled": 0,
        "splits": 4,
        "splits_counted": 4,
        "rows": 10,
        "documents": 10,
        "dead_letters": 0,
        "row_bytes": 1000,
        "dead_letter_bytes": 0,
        "filtered": 0,
        "sample_share": 1.0,
        "conserved": True,
        "manifest": False,
        "digests_computed": 1,
        "digests_remembered": 0,
        "duplicate_shards": 0,
    },
    "listing": {"seen": 1, "read": 1, "unread": {}},
    "integrity": [{"check": name, "status": "pass", "detail": "it holds"} for name in RULES],
    "complete": True,
    "reasons": [],
    "tokenizer": {
        "name": "tokenizer.json",
        "sha256": digest("t"),
        "vocabulary": 400,
        "engine": "auto",
        "path": "tokenizers",
        "path_version": "0.22.0",
        "path_reason": "",
        "switched_off": [],
        "verified": 10,
        "verified_needed": 10,
    },
    "facets": {"primary": "domain", "names": ["domain"], "sources": {"domain": "column domain"}},
    "cluster": None,
    "documents_without_cluster": 0,
    "token_groups": "domain",
    "mixture": None,
    "filter": [],
    "baselines": [],
    "inputs": None,
    "versions": {"python": "3.11.9"},
    "spec": {"benchmarks": []},
    "files": {},
}

ADDED_LATER: tuple[tuple[str, ...], ...] = (
    ("listing",),
    ("coverage", "row_bytes"),
    ("coverage", "dead_letter_bytes"),
    ("documents_without_cluster",),
    ("baselines",),
    ("inputs",),
    ("tokenizer", "engine"),
)
"""Keys that runs of earlier versions lack."""


def run_json(**changes: Any) -> dict[str, Any]:
    """A whole `run.json`; ``changes`` by key, those of nested records one by one, those of `spec` and `files` whole."""
    whole = copy.deepcopy(_WHOLE)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(whole.get(key), dict) and key not in ("spec", "files")
        whole[key] = whole[key] | value if nested else value
    return whole


def early_run_json(**changes: Any) -> dict[str, Any]:
    """As the first version wrote it: without the keys that were added since."""
    whole = run_json(**changes)
    for *above, last in ADDED_LATER:
        record = whole
        for key in above:
            record = record[key]
        record.pop(last, None)
    whole["integrity"] = whole["integrity"][:5]
    return whole


def record_of(value: dict[str, Any]) -> RunFile:
    """The record of some JSON."""
    return parse_run_file(strict_json.dumps(value))


def run_record(**changes: Any) -> RunFile:
    """`run_json` as a record."""
    return record_of(run_json(**changes))


def write_run_json(folder: Path, **changes: Any) -> None:
    """Write it into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run_json(**changes)), encoding="utf-8")
