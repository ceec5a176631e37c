"""Files of arrays with a JSON header: written once, mapped read-only, protected by a digest.

Layout: a magic line; the arrays, 64-byte aligned; the header as JSON, with their offsets, types and lengths; its length
(8 bytes, little-endian); the SHA-256 of all that precedes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.pipelines.storage.atomic import AtomicFile
from corpus_audit.schemas.errors import StoreError

_ALIGNED = 64  # arrays are views into the file's bytes, so each must begin where its type may
_BLOCK = 2**24


def write_arrays(path: Path, magic: bytes, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> str:
    """Write a file of one-dimensional arrays, atomically.

    Args:
        path: the file.
        magic: its first bytes, which name kind and version.
        arrays: by name.
        header: JSON values beside them.

    Returns:
        The SHA-256 at the end of the file, in hexadecimal.
    """
    digest = hashlib.sha256()
    layout: dict[str, list[Any]] = {}
    offset = 0
    with AtomicFile(path, durable=True) as file:

        def put(data: Any) -> None:
            nonlocal offset
            digest.update(data)
            file.write(data)
            offset += len(data)

        put(magic)
        for name, array in arrays.items():
            put(bytes(-offset % _ALIGNED))
            layout[name] = [offset, array.dtype.str, array.size]
            put(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        encoded = json.dumps({**header, "arrays": layout}, sort_keys=True).encode()
        put(encoded)
        put(len(encoded).to_bytes(8, "little"))
        file.write(digest.digest())
    return digest.hexdigest()


def map_arrays(path: Path, magic: bytes, sha256: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Map a file into memory; (arrays, header).

    Only the digest at the end of the file is compared with ``sha256``: `check_arrays` reads the bytes.

    Raises:
        StoreError: the file is missing, cut, of another version, or not the one with this digest.
    """
    data = _mapped(path)
    body = len(data) - 32
    if body < len(magic) + 8 or bytes(data[: len(magic)]) != magic:
        raise StoreError(f"{path} is cut, or not a file of this version")
    if bytes(data[body:]).hex() != sha256:
        raise StoreError(f"{path} is cut, or not the file that its index names")
    length = int.from_bytes(data[body - 8 : body], "little")
    try:
        header = json.loads(bytes(data[body - 8 - length : body - 8]))
        arrays = {
            name: np.frombuffer(data, np.dtype(kind), size, offset)
            for name, (offset, kind, size) in header.pop("arrays").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path} is damaged: its header cannot be read ({error})") from None
    return arrays, header


def check_arrays(path: Path) -> None:
    """Compare a file's bytes with the digest at its end.

    Raises:
        StoreError: they differ, or the file cannot be read.
    """
    data = _mapped(path)
    body = len(data) - 32
    digest = hashlib.sha256()
    for start in range(0, max(body, 0), _BLOCK):
        digest.update(data[start : min(start + _BLOCK, body)])
    if body < 0 or digest.digest() != bytes(data[body:]):
        raise StoreError(f"{path} is damaged: its digest does not match")


def _mapped(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}") from None
