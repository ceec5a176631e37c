"""Whether two runs can be compared at all: the same tokenizer, read in the same way."""

from __future__ import annotations

import hashlib
from typing import Any

from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run import strict_json

_READING = {
    "document.text": "the text field",
    "document.cluster": "the cluster field",
    "filter": "the filter",
    "limits.document_bytes": "limits.document_bytes",
}


def check_comparable(baseline: dict[str, Any], current: dict[str, Any], name: str) -> None:
    """Refuse a baseline whose figures cannot be compared with the current run's.

    Args:
        baseline, current: the facts of the runs (run.json).
        name: what the user calls the baseline.

    Raises:
        UsageError: the tokenizers or the ways of reading differ, or one of them is a sampled audit.
    """
    one, two = baseline["tokenizer"], current["tokenizer"]
    if one["sha256"] != two["sha256"]:
        raise UsageError(
            f"the baseline {name} was counted with another tokenizer ({one['name']}, sha256 {one['sha256'][:12]}) than "
            f"the current snapshot ({two['name']}, sha256 {two['sha256'][:12]}): token counts cannot be compared; "
            "audit the baseline again with the current tokenizer"
        )
    differing = [
        f"{what} ({_at(baseline['spec'], path)!r} and {_at(current['spec'], path)!r})"
        for path, what in _READING.items()
        if _at(baseline["spec"], path) != _at(current["spec"], path)
    ]
    sources = [_domain_source(facts["spec"]) for facts in (baseline, current)]
    if sources[0] != sources[1]:
        differing.append(f"the domain ({sources[0]!r} and {sources[1]!r})")
    if differing:
        raise UsageError(
            f"the baseline {name} was read in another way than the current snapshot: {', '.join(differing)} differ; "
            "audit the baseline again with the current settings"
        )
    for facts, which in ((baseline, f"the baseline {name}"), (current, "the current run")):
        if facts["coverage"]["sample_share"] < 1.0:
            raise UsageError(
                f"{which} read a sample of its splits: which documents two samples share says nothing of the "
                "snapshots; compare audits without `sample:`"
            )
        if facts["format"] != 1:
            raise UsageError(f"{which} has run format {facts['format']}, which this version does not know")


def reading_key(facts: dict[str, Any]) -> str:
    """SHA-256 of all that a run's figures depend on besides its corpus; equal for comparable runs.

    It covers what `check_comparable` asks for; of sampled audits it also holds the share that was read.

    Args:
        facts: the facts of the run (run.json).
    """
    read = {path: _at(facts["spec"], path) for path in _READING}
    read |= {
        "tokenizer": facts["tokenizer"]["sha256"],
        "domain": _domain_source(facts["spec"]),
        "sample_share": facts["coverage"]["sample_share"],
        "format": facts["format"],
    }
    return hashlib.sha256(strict_json.dumps(read)).hexdigest()


def _at(spec: dict[str, Any], path: str) -> Any:
    value: Any = spec
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _domain_source(spec: dict[str, Any]) -> Any:
    """Where domains come from; patterns of paths may differ, as snapshots lie in different folders."""
    source = _at(spec, "document.domain")
    return "path" if isinstance(source, dict) and "path" in source else source
