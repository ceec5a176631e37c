"""Whether two runs can be compared at all: the same tokenizer, read in the same way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.run_file import RunFile
from corpus_audit.schemas.spec.audit import ImagesSpec

_READING = {
    "document.text": "the text field",
    "document.cluster": "the cluster field",
    "filter": "the filter",
    "limits.document_bytes": "limits.document_bytes",
}
_LIMITS = {f"images.{name}": f"images.{name}" for name in ImagesSpec.model_fields if name != "benchmarks"}
_READING_IMAGES = {"document.image": "the column of images", **_LIMITS}


@dataclass(frozen=True, slots=True)
class RunReading:
    """How a corpus was read, or will be: what the figures of a run depend on besides its shards.

    Attributes:
        tokenizer_sha256, tokenizer_name: of the tokenizer.
        spec: the audit file as `run.json` holds it.
        sample_share: share of the splits that are read.
    """

    tokenizer_sha256: str
    tokenizer_name: str
    spec: dict[str, Any]
    sample_share: float

    @classmethod
    def of(cls, run: RunFile) -> RunReading:
        """How a run was read."""
        return cls(run.tokenizer.sha256, run.tokenizer.name, run.spec, run.coverage.sample_share)


def check_comparable(baseline: RunReading, current: RunReading, name: str) -> None:
    """Refuse a baseline whose figures cannot be compared with the current run's.

    Args:
        baseline, current: how the corpora were read.
        name: what the user calls the baseline.

    Raises:
        UsageError: the tokenizers or the ways of reading differ, or one of them is a sampled audit.
    """
    if baseline.tokenizer_sha256 != current.tokenizer_sha256:
        raise UsageError(
            f"the baseline {name} was counted with another tokenizer ({baseline.tokenizer_name}, sha256 "
            f"{baseline.tokenizer_sha256[:12]}) than the current snapshot ({current.tokenizer_name}, sha256 "
            f"{current.tokenizer_sha256[:12]}): token counts cannot be compared; audit the baseline again with the "
            "current tokenizer"
        )
    differing = [
        f"{what} ({_read(baseline.spec, path)!r} and {_read(current.spec, path)!r})"
        for path, what in (_READING | _READING_IMAGES).items()
        if _read(baseline.spec, path) != _read(current.spec, path)
    ]
    sources = [_domain_source(reading.spec) for reading in (baseline, current)]
    if sources[0] != sources[1]:
        differing.append(f"the domain ({sources[0]!r} and {sources[1]!r})")
    if differing:
        raise UsageError(
            f"the baseline {name} was read in another way than the current snapshot: {', '.join(differing)} differ; "
            "audit the baseline again with the current settings"
        )
    for reading, which in ((baseline, f"the baseline {name}"), (current, "the current run")):
        if reading.sample_share < 1.0:
            raise UsageError(
                f"{which} read a sample of its splits: which documents two samples share says nothing of the "
                "snapshots; compare audits without `sample:`"
            )


def reading_key(run: RunFile) -> str:
    """SHA-256 of all that a run's figures depend on besides its corpus; equal for comparable runs.

    It covers what `check_comparable` asks for; of sampled audits it also holds the share that was read.
    """
    reading = RunReading.of(run)
    read = {path: _at(reading.spec, path) for path in _READING}
    read |= {path: value for path in _READING_IMAGES if (value := _read(reading.spec, path)) is not None}
    read |= {
        "tokenizer": reading.tokenizer_sha256,
        "domain": _domain_source(reading.spec),
        "sample_share": reading.sample_share,
        "format": run.format,
    }
    return hashlib.sha256(strict_json.dumps(read)).hexdigest()


def _read(spec: dict[str, Any], path: str) -> Any:
    """What stands at a path; of an image corpus, the default of a limit that the spec does not set."""
    value = _at(spec, path)
    if value is None and path in _LIMITS and _at(spec, "document.image") is not None:
        return ImagesSpec.model_fields[path.removeprefix("images.")].default
    return value


def _at(spec: dict[str, Any], path: str) -> Any:
    value: Any = spec
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _domain_source(spec: dict[str, Any]) -> Any:
    """Where domains come from; patterns of paths may differ, as snapshots lie in different folders."""
    source = _at(spec, "document.domain")
    return "path" if isinstance(source, dict) and "path" in source else source
