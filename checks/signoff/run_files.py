"""A run directory held against its own `run.json`: every file there, unchanged, and none besides."""

from __future__ import annotations

import hashlib
from pathlib import Path

from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.errors import StoreError, VerificationError
from corpus_audit.schemas.run.run_file import RUN_FILE, parse_run_file
from corpus_audit.schemas.run.signoff import Refusal


def open_intact_run(folder: Path, expected: str | None = None) -> tuple[RunDirectory, str]:
    """A run whose files are all as `run.json` says, and the SHA-256 of `run.json`.

    Args:
        folder: the run directory.
        expected: what that digest has to be.

    Raises:
        VerificationError: `run.json` is another, or a file is missing, changed, a link, or not listed.
    """
    try:
        data = (folder / RUN_FILE).read_bytes()
    except OSError as error:
        raise VerificationError(Refusal.RUN_FILES, f"{folder / RUN_FILE} cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and digest != expected:
        raise VerificationError(Refusal.RUN_DIGEST, f"{folder / RUN_FILE} is not the one that was signed")
    try:
        facts = parse_run_file(data, str(folder / RUN_FILE))
    except StoreError as error:
        raise VerificationError(Refusal.RUN_FILES, f"this is not a run's record: {error}") from None
    _check(folder, {name: (known.sha256, known.bytes) for name, known in facts.files.items()})
    return RunDirectory(folder, facts), digest


def _check(folder: Path, listed: dict[str, tuple[str, int]]) -> None:
    there = set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} is a link or not a plain file")
        if path.is_file() and name != RUN_FILE:
            there.add(name)
    for name in sorted(listed.keys() | there):
        if name not in there:
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} is missing")
        if name not in listed:
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} is not a file of the run")
        with (folder / name).open("rb") as file:
            found = (hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
        if found != listed[name]:
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} was changed after the run")
