"""Tokenizers on which the fast path gave other ids: recorded in the store, so that later runs use the reference."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import atomic_write


@dataclass(frozen=True, slots=True)
class Denial:
    """A record that the fast path and the reference, in two given versions, gave different ids for a tokenizer.

    Attributes:
        sha256: of the tokenizer.json.
        fast, reference: what was compared, such as ``gigatoken 0.10.0``.
        evidence: the message, which names the document by shard, row and content hash.
    """

    sha256: str
    fast: str
    reference: str
    evidence: str


def write_denial(folder: Path, denial: Denial) -> None:
    """Record a denial in the store's folder of tokenizers."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(_path(folder, denial.sha256), json.dumps(asdict(denial), indent=2).encode())


def read_denial(folder: Path, sha256: str) -> Denial | None:
    """The recorded denial of a tokenizer; None if there is none, or none that can be read."""
    try:
        return Denial(**json.loads(_path(folder, sha256).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _path(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.denied.json"
