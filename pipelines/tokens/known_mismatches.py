"""Records tokenizers on which the fast path gave other ids, so that later runs use the reference path."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import atomic_write


@dataclass(frozen=True, slots=True)
class KnownMismatch:
    """A tokenizer for which the fast path and the reference, in two given versions, gave different ids.

    Attributes:
        sha256: SHA-256 of the tokenizer.json, in hex.
        fast, reference: package and version of both paths, such as ``gigatoken 0.10.0``.
        evidence: the message, which names the document by shard, row and content hash.
    """

    sha256: str
    fast: str
    reference: str
    evidence: str


def write_known_mismatch(folder: Path, mismatch: KnownMismatch) -> None:
    """Record a mismatch in the store's folder of tokenizers."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(_file(folder, mismatch.sha256), json.dumps(asdict(mismatch), indent=2).encode())


def read_known_mismatch(folder: Path, sha256: str) -> KnownMismatch | None:
    """The recorded mismatch of a tokenizer; None if there is none, or the record cannot be read."""
    try:
        return KnownMismatch(**json.loads(_file(folder, sha256).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _file(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.denied.json"
