"""Tokenizers for which the fast path gave the reference's ids on every probe: recorded in the store, by versions.

The probes take half a second of processor time. Nothing depends on the record but that: every run verifies documents
of its own, and a mismatch there outlives an admission.
"""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from corpus_audit.pipelines.storage.atomic import atomic_write

PACKAGE = "corpus_audit.pipelines.tokens"


def is_admitted(copy: Path, versions: tuple[str, str]) -> bool:
    """Whether the probes were passed by the same versions, with the same probes, on this machine.

    Args:
        copy: the tokenizer.json as it is used, in the store; its name is a digest of its content.
        versions: of the fast path and the reference, such as ``gigatoken 0.10.0``.
    """
    try:
        return bool(json.loads(_path(copy).read_bytes()) == _conditions(copy, versions))
    except (OSError, ValueError):
        return False


def write_admission(copy: Path, versions: tuple[str, str]) -> None:
    """Record that the probes were passed; arguments as for `is_admitted`. A store that cannot be written stays so."""
    with suppress(OSError):
        atomic_write(_path(copy), json.dumps(_conditions(copy, versions), indent=2).encode())


def _path(copy: Path) -> Path:
    return copy.with_suffix(".admitted.json")


def _conditions(copy: Path, versions: tuple[str, str]) -> dict[str, str]:
    """All that the outcome of the probes depends on."""
    probing = hashlib.sha256()
    for name in ("probes.py", "settings.py", "tokenization.py"):
        probing.update(files(PACKAGE).joinpath(name).read_bytes())
    return {
        "tokenizer": hashlib.sha256(copy.read_bytes()).hexdigest(),
        "fast": versions[0],
        "reference": versions[1],
        "probes": probing.hexdigest(),
        "machine": f"{platform.node()} {platform.machine()}",
    }
