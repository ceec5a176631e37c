"""A run directory checked against its `run.json`: every listed file is there and unchanged, and no other file is."""

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
        expected: the digest that `run.json` must have; None for any.

    Raises:
        VerificationError: `run.json` has another digest, or a file is missing, changed, a link, or not listed.
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
        raise VerificationError(Refusal.RUN_FILES, f"this is not a run directory: {error}") from None
    _check_files(folder, {name: (file.sha256, file.bytes) for name, file in facts.files.items()})
    return RunDirectory(folder, facts), digest


def _check_files(folder: Path, listed: dict[str, tuple[str, int]]) -> None:
    present = set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} is a link or not a plain file")
        if path.is_file() and name != RUN_FILE:
            present.add(name)
    for name in sorted(listed.keys() | present):
        if name not in present:
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} is missing")
        if name not in listed:
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} is not a file of the run")
        with (folder / name).open("rb") as file:
            actual = (hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
        if actual != listed[name]:
            raise VerificationError(Refusal.RUN_FILES, f"{folder.name}: {name} was changed after the run")
