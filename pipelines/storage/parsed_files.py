"""Keeps what was parsed of large files, so that an unchanged file is not parsed again: array files by digest.

The name of an entry is a digest of the content that was parsed and of the code that parsed it, so that an entry is
never one of another content, and never one of an earlier version of a reader.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.storage.array_files import check_arrays, map_arrays, write_arrays
from corpus_audit.schemas.errors import StoreError

_MAGIC = b"corpus-audit parsed 1\n"
_SUFFIX = ".parsed"


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(packages: Iterable[str]) -> str:
    """SHA-256 of the modules of packages: another one means that files may be read otherwise."""
    digest = hashlib.sha256()
    for package in packages:
        modules = [each for each in resources.files(package).iterdir() if each.name.endswith(".py")]
        for module in sorted(modules, key=lambda each: each.name):
            digest.update(f"{package} {module.name}\n".encode())
            digest.update(module.read_bytes())
    return digest.hexdigest()


class ParsedFiles:
    """A folder of entries; the entries that were used are remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: set[str] = set()

    def key(self, *parts: str | Sequence[Any]) -> str:
        """The name of the entry that JSON values determine."""
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def load(self, key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """(arrays, header) of an entry; None if there is none, or it is damaged."""
        path = self.folder / f"{key}{_SUFFIX}"
        try:
            with path.open("rb") as file:
                file.seek(-32, 2)
                digest = file.read().hex()
            check_arrays(path)
            arrays, header = map_arrays(path, _MAGIC, digest)
        except (OSError, StoreError):
            return None
        self._used.add(path.name)
        return arrays, header

    def save(self, key: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
        """Write an entry, atomically; on a full disk, or without write access, there is none afterwards."""
        path = self.folder / f"{key}{_SUFFIX}"
        try:
            write_arrays(path, _MAGIC, arrays, header)
        except OSError:
            return
        self._used.add(path.name)

    def remove_unused(self) -> None:
        """Remove the entries that this object has neither loaded nor saved: those of logs that have grown since."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name.endswith(_SUFFIX) and path.name not in self._used:
                    path.unlink(missing_ok=True)
