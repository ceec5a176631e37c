"""Writes files and folders atomically: under a temporary name, then fsync, rename, and fsync of the folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any


def fsync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class AtomicFile:
    """A file that is written under a temporary name and renamed when the block ends without an exception.

    ``durable=False`` skips fsync: for files with a digest that can be computed again if the machine fails.
    """

    def __init__(self, path: Path, durable: bool = False) -> None:
        self._path = path
        self._durable = durable
        # In the same folder, because a rename is atomic within one file system only. Process and random digits, because
        # two runs that share a store may write the same content-addressed file at once.
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        self._file: Any = None

    def __enter__(self) -> AtomicFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("wb")
        return self

    def write(self, data: Any) -> None:
        """Append bytes."""
        self._file.write(data)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                self._file.flush()
                if self._durable:
                    os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                self._temporary.replace(self._path)
                if self._durable:
                    fsync_folder(self._path.parent)
        finally:
            self._temporary.unlink(missing_ok=True)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file durably and atomically."""
    with AtomicFile(path, durable=True) as file:
        file.write(data)


def publish_folder(staged: Path, destination: Path) -> None:
    """Make a staged folder durable and rename it to ``destination``.

    Raises:
        FileExistsError: the destination exists.
    """
    # Files, then the folders that list them, then the rename: after a power failure the folder is there whole or not.
    for folder, _, files in os.walk(staged):
        for name in files:
            descriptor = os.open(Path(folder) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_folder(Path(folder))
    if destination.exists():  # rename() replaces an empty folder without an error
        raise FileExistsError(destination)
    staged.rename(destination)
    fsync_folder(destination.parent)
