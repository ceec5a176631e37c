"""Reads manifests of shards, as ``sha256sum`` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from corpus_audit.pipelines.reading.files import filesystems
from corpus_audit.schemas.errors import UsageError

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def read_manifest(path: str) -> dict[str, str]:
    """Names and lower-case SHA-256 digests of a manifest, ``<sha256>  <name>`` or ``<sha256> *<name>`` a line.

    Raises:
        UsageError: the file cannot be read, a line is not of that form, a name is escaped, absolute or leaves the
            folder, a name has two digests, or the file is empty.
    """
    try:
        with filesystems.open_binary(path) as file:
            text = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"manifest {path}: cannot be read: {error}") from error
    entries: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line:
            continue
        location = f"manifest {path}, line {number}"
        if line.startswith("\\"):
            raise UsageError(
                f"{location}: escaped names (with a backslash or a line break) are refused; rename the file"
            )
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"{location}: expected '<64 hex digits>  <name>', as sha256sum writes it")
        digest, name = match[1].lower(), match[2]
        while name.startswith("./"):
            name = name[2:]
        if name.startswith("/") or ".." in name.split("/"):
            raise UsageError(f"{location}: {name!r} is absolute or leaves the folder; use names below the manifest")
        if entries.setdefault(name, digest) != digest:
            raise UsageError(f"{location}: {name!r} is listed twice, with different digests")
    if not entries:
        raise UsageError(f"manifest {path}: the file is empty")
    return entries


def manifest_folder(path: str) -> str:
    """The folder that a manifest's names are relative to."""
    return path.rpartition("/")[0] if filesystems.is_url(path) else str(Path(path).parent)
