"""Turn the path that a user gives (run directory, output folder or audit.yaml) into a run or an output folder."""

from __future__ import annotations

from pathlib import Path

from corpus_audit.schemas.errors import UsageError

# Also in pipelines/storage/run_directory.py, whose import (pyarrow) would slow every command that only finds a run.
LATEST = "LATEST"
"""File of an output folder that names the newest complete run directory."""


def resolve_run(path: Path) -> Path:
    """The run directory for a run directory itself, an output folder or an audit spec (their newest run).

    Raises:
        UsageError: there is no finished run.
        SpecError: the spec is invalid.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if path.is_file():
        if path.suffix not in (".yaml", ".yml"):
            raise UsageError(f"{path} is not a run directory, an output folder or an audit.yaml")
        from corpus_audit.schemas.spec.audit_file import load_audit

        loaded = load_audit(path)
        path = loaded.base / loaded.spec.output
    if (path / "run.json").is_file():
        return path
    try:
        name = (path / LATEST).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UsageError(
            f"{path} holds no finished run (no run.json and no {LATEST}); 'corpus-audit run' makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path / LATEST} cannot be read: {error}") from None
    run_dir = path / name
    if not name or not (run_dir / "run.json").is_file():
        raise UsageError(f"{path / LATEST} names the run {name!r}, which does not exist; name a run directory")
    return run_dir


def output_folder(path: Path | None) -> Path:
    """The output folder for a path that a user gave; without one, for the working directory.

    Raises:
        UsageError: there is no such folder.
        SpecError: the spec is invalid.
    """
    if path is None:
        path = next((candidate for candidate in (Path("audit.yaml"), Path("runs")) if candidate.exists()), None)
        if path is None:
            raise UsageError("this folder has neither audit.yaml nor runs: name an output folder with --output")
    if path.is_file():
        from corpus_audit.schemas.spec.audit_file import load_audit

        loaded = load_audit(path)
        path = loaded.base / loaded.spec.output
    if (path / "run.json").is_file():
        path = path.resolve().parent
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder; 'corpus-audit run' creates it")
    return path
