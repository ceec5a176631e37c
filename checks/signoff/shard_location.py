"""The folder or URL of the shards of a signed run, which may have moved since the audit."""

from __future__ import annotations

from dataclasses import dataclass

from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import VerificationError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.signoff import Refusal
from corpus_audit.schemas.spec.audit import SnapshotSpec


@dataclass(frozen=True, slots=True)
class ShardLocation:
    """The folder or URL of the shards, and how the audit listed them; None where that is unknown after a move."""

    corpus: str
    snapshot: SnapshotSpec | None

    @classmethod
    def of(cls, run: RunDirectory, moved: str | None) -> ShardLocation:
        """The location by the run's timings, or under ``moved``, the folder or URL to which the shards were moved."""
        timings = strict_json.loads((run.folder / "timings.json").read_bytes())
        before = timings.get("corpus")
        if not isinstance(before, str) or not before:
            if moved is None:
                raise VerificationError(
                    Refusal.CORPUS_UNKNOWN,
                    "the run does not say where its shards are; give their folder with --corpus",
                )
            return cls(moved.rstrip("/"), None)
        corpus = (moved or before).rstrip("/")
        paths = [str(path) for path in timings.get("paths", ())]
        ignore = [str(pattern) for pattern in timings.get("ignore", ())]
        below = [path for path in paths if path == before or path.startswith(f"{before}/")]
        if not paths or (moved is not None and below != paths):
            return cls(corpus, None)
        current = tuple(f"{corpus}{path[len(before) :]}" for path in paths) if moved is not None else tuple(paths)
        ignored = tuple(
            f"{corpus}{pattern[len(before) :]}" if pattern.startswith(f"{before}/") else pattern for pattern in ignore
        )
        format_ = run.facts.spec.get("snapshot", {}).get("format", "auto")
        return cls(corpus, SnapshotSpec(paths=current, format=format_, ignore=ignored))
